"""Profiles of Zigbee devices: what they say, and every line that is wrong with one."""

from pathlib import Path

import pytest

from mimctl.config.profiles.zigbee_profile import (
    check_zigbee_profile,
    find_zigbee_profile,
    known_zigbee_profiles,
    load_zigbee_profile,
)
from mimctl.model.profile import DeviceClass

PLUG = """\
schema: 1
id: acme/plug
vendor: ACME
models: [P1]
class: meter
provenance: {source: its manual, confidence: high}
attributes:
  active_power.L1: {cluster: 0x0B04, attribute: 0x050B, divisor: 0x0605, sign: -1, nan: [-1], change: 5}
tests:
  - name: counts the other way round
    told:
      - {cluster: 0x0B04, attribute: 0x050B, type: int16, raw: 1234}
      - {cluster: 0x0B04, attribute: 0x0605, type: uint16, raw: 10}
    expect: {active_power.L1: -123.4}
  - name: its own word for nothing
    told: [{cluster: 0x0B04, attribute: 0x050B, type: int16, raw: -1}]
    expect: {active_power.L1: null}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "device_profiles" / "zigbee" / "acme" / "plug.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_a_plug_needs_no_python(tmp_path):
    path = written(tmp_path, PLUG)
    assert find_zigbee_profile("acme/plug", tmp_path) == path
    assert "acme/plug" in known_zigbee_profiles(tmp_path)
    (point,) = load_zigbee_profile(path).map.points
    assert (point.cluster, point.attribute, point.divisor, point.multiplier) == (0x0B04, 0x050B, 0x0605, None)
    assert (point.sign, point.absent, point.change, point.endpoint) == (-1, (-1,), 5.0, 1)


@pytest.mark.parametrize("name", known_zigbee_profiles())
def test_shipped_profiles_are_right(name):
    path = find_zigbee_profile(name)
    assert path is not None
    assert check_zigbee_profile(path) == []
    assert load_zigbee_profile(path).id == name


def test_the_mim_is_one_of_them():
    path = find_zigbee_profile("mim/zigbee")
    assert path is not None
    found = load_zigbee_profile(path)
    assert (found.device_class, found.map.commands) == (DeviceClass.MIM, True)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("id: acme/plug", "id: acme/other", "device_profiles/zigbee/acme/other.yaml"),
        ("active_power.L1", "activ_power.L1", "did you mean 'active_power'"),
        ("active_power.L1", "active_power.X", "is no place"),
        ("attribute: 0x050B", "attribute: 0x10000", "65535"),
        ("change: 5", "least_s: 90", "longer than most_s"),
        ("sign: -1", "colour: red", "unknown key 'colour'"),
        ("class: meter", "class: meter\nmim_cluster: true", "leave it out"),
        ("expect: {active_power.L1: -", "expect: {active_powr.L1: -", "did you mean 'active_power.L1'"),
        ("type: int16, raw: 1234", "type: int17, raw: 1234", "no data type 'int17'"),
    ],
)
def test_each_mistake_has_its_line(tmp_path, old, new, says):
    problems = check_zigbee_profile(written(tmp_path, PLUG.replace(old, new)))
    assert any(says in p.message and p.line for p in problems), problems


def test_a_profile_without_attributes_or_with_one_twice_is_refused(tmp_path):
    nothing = PLUG[: PLUG.index("attributes:")]
    assert any("reports nothing" in p.message for p in check_zigbee_profile(written(tmp_path / "a", nothing)))
    twice = PLUG.replace("tests:", "  active_power.L2: {cluster: 0x0B04, attribute: 0x050B}\ntests:")
    assert any("already" in p.message for p in check_zigbee_profile(written(tmp_path / "b", twice)))


def test_attributes_that_nothing_proves_are_warned_of(tmp_path):
    (problem,) = check_zigbee_profile(written(tmp_path, PLUG[: PLUG.index("tests:")]))
    assert (problem.code, problem.severity, problem.line) == ("profile.test", "warning", 7)
    assert "work some values out by hand" in problem.message
