"""Every kind of profile is found, judged and loaded by the same rules, and never outside of its own folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimctl.config.profiles.payload_profile import PAYLOAD_PROFILES
from mimctl.config.profiles.registers_profile import DEVICE_PROFILES
from mimctl.config.profiles.zigbee_profile import ZIGBEE_PROFILES
from mimctl.model.errors import ConfigError

SHELVES = [
    (DEVICE_PROFILES, "schneider/iem3155"),
    (PAYLOAD_PROFILES, "example/meter3"),
    (ZIGBEE_PROFILES, "generic/plug"),
]
pytestmark = pytest.mark.parametrize(("shelf", "own"), SHELVES, ids=["registers", "payloads", "Zigbee"])


def copied(shelf, own: str, folder: Path, name: str) -> Path:
    path = folder / "device_profiles" / shelf.folder / f"{name}.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(shelf.find(own).read_text(encoding="utf-8"), encoding="utf-8")
    return path


def test_each_kind_finds_its_own_and_no_other(shelf, own):
    assert own in shelf.known()
    assert [own in other.known() for other, _ in SHELVES].count(True) == 1
    assert shelf.load(shelf.find(own)).id == own


def test_beside_the_site_file_comes_first(shelf, own, tmp_path):
    path = copied(shelf, own, tmp_path, own)
    assert shelf.find(own, tmp_path) == path


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/../b", "plug", "A/B", f"{'x/' * 3}y", ""])
def test_an_id_is_no_path(shelf, own, name, tmp_path):
    assert shelf.find(name, tmp_path) is None


def test_the_id_is_the_place_of_the_file_and_a_draft_may_lie_anywhere(shelf, own, tmp_path):
    (problem,) = shelf.check(copied(shelf, own, tmp_path, "acme/other"))
    assert (problem.code, problem.severity, problem.line > 0) == ("profile.id", "error", True)
    draft = tmp_path / "draft.yaml"
    draft.write_text(shelf.find(own).read_text(encoding="utf-8"), encoding="utf-8")
    profile, (told,) = shelf.judge(draft)
    assert (told.code, told.severity) == ("profile.id", "warning")
    assert profile == shelf.load(shelf.find(own))


def test_a_wrong_file_is_no_profile_and_sound_ones_are_still_found(shelf, own, tmp_path):
    path = copied(shelf, own, tmp_path, "acme/wrong")
    with pytest.raises(ConfigError) as told:
        shelf.load(path)
    assert [p.code for p in told.value.problems] == ["profile.id"]
    assert list(shelf.sound(["acme/wrong", own, "acme/none"], tmp_path)) == [own]
