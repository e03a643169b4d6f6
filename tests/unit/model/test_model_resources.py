"""The data that comes with mimctl is found, in a checkout and installed."""

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
