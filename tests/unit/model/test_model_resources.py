"""The data that comes with mimctl is found, and a site's own profiles come first."""

import pytest

from mimctl.model import resources
from mimctl.model.errors import UserError


def test_a_checkout_is_recognised_by_its_layout(tmp_path, monkeypatch):
    package = tmp_path / "src" / "mimctl"
    (tmp_path / "device_profiles").mkdir()
    monkeypatch.setattr(resources, "_PACKAGE", package)
    monkeypatch.setattr(resources, "_CHECKOUT", tmp_path)
    assert resources.data_root() == tmp_path


def test_an_installed_package_carries_its_data(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "mimctl"
    monkeypatch.setattr(resources, "_PACKAGE", package)
    monkeypatch.setattr(resources, "_INSTALLED", package / "data")
    assert resources.data_root() == package / "data"


def test_an_unknown_site_names_the_known_ones(tmp_path, monkeypatch):
    (tmp_path / "site_configs").mkdir()
    (tmp_path / "site_configs" / "demo.yaml").write_text("")
    monkeypatch.setattr(resources, "data_root", lambda: tmp_path)
    assert resources.site_config("demo") == tmp_path / "site_configs" / "demo.yaml"
    with pytest.raises(UserError, match=r"no site 'dmeo' comes with mimctl \(there are: demo\)"):
        resources.site_config("dmeo")


def test_own_profiles_come_before_packaged_ones(tmp_path, monkeypatch):
    site, state, packaged = tmp_path / "site", tmp_path / "state", tmp_path / "packaged"
    for base in (site, state):
        (base / "device_profiles").mkdir(parents=True)
    monkeypatch.setattr(resources, "data_root", lambda: packaged)
    assert resources.device_profile_roots(site / "site.yaml", state) == [
        site / "device_profiles",
        state / "device_profiles",
        packaged / "device_profiles",
    ]
    assert resources.device_profile_roots() == [packaged / "device_profiles"]


def test_a_site_among_the_packaged_ones_searches_once(tmp_path, monkeypatch):
    assert resources.device_profile_roots(tmp_path / "none" / "site.yaml")[-1].name == "device_profiles"
