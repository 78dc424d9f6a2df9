"""Shipped files are found in a checkout and in an installed package."""

import pytest

from t3sim import data
from t3sim.errors import T3SimError

FOLDERS = {
    "configs_dir": "configs",
    "systems_dir": "configs/systems",
    "drams_dir": "configs/dram",
    "models_dir": "configs/models",
    "sweeps_dir": "configs/sweeps",
    "traces_dir": "traces",
}


@pytest.mark.parametrize("name", FOLDERS)
def test_the_folder_exists(name):
    """Each folder of shipped files is there and holds YAML."""
    assert list(getattr(data, name)().rglob("*.yaml"))


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Pretend that the package lies elsewhere, with these folders in it or beside it."""

    def install(*folders):
        monkeypatch.setattr(data, "_PACKAGE", tmp_path / "site" / "t3sim")
        for folder in folders:
            (tmp_path / "site" / folder).mkdir(parents=True)
        return tmp_path / "site"

    return install


@pytest.mark.parametrize(("name", "folder"), FOLDERS.items())
def test_a_package_has_its_own(install, name, folder):
    """An installed package finds its own files, even where folders of the same names lie beside it."""
    site = install("t3sim/_data/configs", "t3sim/_data/traces", "configs", "traces")
    assert getattr(data, name)() == site / "t3sim/_data" / folder


@pytest.mark.parametrize(("name", "folder"), FOLDERS.items())
def test_a_checkout_has_them_beside_the_package(install, name, folder):
    """In a checkout the files are found beside the package."""
    site = install("configs", "traces")
    assert getattr(data, name)() == site / folder


def test_an_incomplete_installation_is_named(install):
    """Without the files, the error names both places where they could be."""
    site = install()
    with pytest.raises(T3SimError, match="without its traces") as error:
        data.traces_dir()
    assert str(site / "t3sim/_data/traces") in str(error.value)
    assert str(site / "traces") in str(error.value)
