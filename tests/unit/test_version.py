"""The hash over the sources: what finished points and compiled functions are told apart by."""

import shutil
from pathlib import Path

import t3sim
from t3sim.version import __version__, code_version, source_hash

PACKAGE = Path(t3sim.__file__).parent


def test_a_byte_in_any_module_changes_the_hash(tmp_path):
    """No module of the package is left out, whatever its folder."""
    package = tmp_path / "t3sim"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    whole = source_hash(package)
    sources = sorted(package.rglob("*.py"))
    assert len({source.relative_to(package).parts[0] for source in sources}) > 15, "packages and modules at the top"
    for source in sources:
        content = source.read_bytes()
        source.write_bytes(content + b"#")
        assert source_hash(package) != whole, source
        source.write_bytes(content)
    assert source_hash(package) == whole


def test_the_name_of_a_module_counts_and_its_place_on_disk_does_not(tmp_path):
    """A module that is moved inside the package is another package; the package elsewhere is the same one."""
    for name in ("one", "two"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "a.py").write_text("x = 1\n", encoding="utf-8")
    assert source_hash(tmp_path / "one") == source_hash(tmp_path / "two")
    (tmp_path / "two" / "inner" / "a.py").rename(tmp_path / "two" / "a.py")
    assert source_hash(tmp_path / "one") != source_hash(tmp_path / "two")


def test_the_code_version_is_of_this_package():
    """It names the release, and the hash of what is imported here."""
    assert code_version() == f"{__version__}+{source_hash(PACKAGE)}"
