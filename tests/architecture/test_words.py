"""The project stands alone: no file of it speaks of the place where it was written."""

import pytest

# Put together from parts, so that this file does not hold them.
NEEDLES = ("/wo" + "rk/", "sub" + "agent", "../sha" + "red")
SKIPPED = {"__pycache__", "build", "dist", "out"}


def project_files(folder):
    """Yield the files of the project: nothing hidden except CI, nothing that is built."""
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".") and path.name not in {".ci", ".github", ".gitignore"}
        if hidden or path.name in SKIPPED or path.name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from project_files(path)
        else:
            yield path


@pytest.mark.parametrize("needle", NEEDLES)
def test_no_file_mentions(root, needle):
    """No file holds the word, in any case."""
    files = list(project_files(root))
    assert root / "pyproject.toml" in files
    mentions = [path for path in files if needle.encode() in path.read_bytes().lower()]
    assert not mentions
