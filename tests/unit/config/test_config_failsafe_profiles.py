"""Every shipped profile with setpoints against the rule that a sign of life comes three times before the device gives up."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimctl.config.profiles.registers_profile import load_profile
from mimctl.config.site import check_site
from mimctl.model.setpoints import Failsafe
from site_factory import site_dict, write_site

FILES = [f for f in sorted(Path(__file__).parents[3].glob("device_profiles/*/*.yaml")) if "\nsetpoints:" in f.read_text()]
COMMANDABLE = [profile for profile in map(load_profile, FILES) if profile.register_map.mim is not None]


def refused(folder: Path, profile: str, cycle_s: float) -> list[str]:
    data = site_dict(1)
    data["mims"][0]["profile"] = profile
    data["zones"] = [{"id": "z", "heads": ["feed-a"], "cycle": f"{cycle_s:.6f} s"}]
    found = check_site(write_site(folder, data))[1]
    return [p.message for p in found if p.code == "mim.failsafe_short"]


def test_the_shipped_profiles_show_more_than_one_kind_of_failsafe() -> None:
    kinds = {profile.register_map.mim.failsafe for profile in COMMANDABLE if profile.register_map.mim is not None}
    assert {Failsafe.NONE, Failsafe.REPEAT} <= kinds


@pytest.mark.parametrize("profile", COMMANDABLE, ids=lambda p: p.id)
def test_the_cycle_is_at_most_a_third_of_what_the_device_waits(tmp_path: Path, profile) -> None:
    commands = profile.register_map.mim
    validity = commands.validity.maximum if commands.validity is not None else None
    waits = [t for t in (commands.failsafe_s, validity) if t is not None]
    if not waits:
        assert commands.failsafe is Failsafe.NONE or commands.validity is not None
        assert refused(tmp_path, profile.id, 10.0) == []
        return
    third_s = min(waits) / 3
    if third_s <= 60:
        assert refused(tmp_path, profile.id, third_s * 0.99) == []
    (message,) = refused(tmp_path, profile.id, third_s * 1.01)
    assert f"waits {min(waits):g} s at most" in message
