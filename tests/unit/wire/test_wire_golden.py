"""The golden vectors of every profile that comes with mimctl, run through the codec."""

from dataclasses import replace

import pytest

from mimctl.config.profiles.registers_profile import load_profile
from mimctl.model.profile import GoldenVector
from mimctl.model.resources import data_root
from mimctl.wire.golden import check_vectors

PROFILES = sorted((data_root() / "device_profiles").glob("*/*.yaml"))


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_profile_reads_what_it_claims(path):
    assert check_vectors(load_profile(path)) == []


def test_a_wrong_value_is_named():
    profile = load_profile(data_root() / "device_profiles" / "schneider" / "iem3155.yaml")
    vector = GoldenVector("off", ((2999, bytes.fromhex("41480000")),), (("current.L1", 12.0), ("current.L2", None)))
    found = check_vectors(replace(profile, vectors=(vector,)))
    assert [(p.code, p.path) for p in found] == [
        ("profile.vector", "tests[0].expect.current.L1"),
        ("profile.vector", "tests[0].expect.current.L2"),
    ]
    assert "gives 12.5, expected 12" in found[0].message
