"""Profiles of devices with payloads: what is wrong with one, and where they are found."""

import pytest
import yaml

from mimctl.config.profiles.payload_profile import (
    check_payload_profile,
    find_payload_profile,
    known_payload_profiles,
    load_payload_profile,
)
from mimctl.model.errors import ConfigError

GOOD = {
    "schema": 1,
    "id": "acme/sensor",
    "vendor": "acme",
    "models": ["S1"],
    "class": "mim",
    "provenance": {"source": "made up", "confidence": "low"},
    "uplinks": [
        {
            "name": "a",
            "f_port": 1,
            "length": 4,
            "fields": {"sequence_ack": {"at": 0, "type": "uint8"}, "soc": {"at": 1, "type": "uint8"}},
        }
    ],
    "setpoint": {
        "name": "set",
        "f_port": 2,
        "length": 8,
        "header": "21",
        "fields": {
            "sequence": {"at": 1, "type": "uint8"},
            "validity": {"at": 2, "type": "uint16"},
            "active_power.port1": {"at": 4, "type": "int16"},
        },
    },
    "tests": [{"name": "t", "f_port": 1, "hex": "07 64 00 00", "expect": {"soc": 100}}],
    "command_tests": [
        {
            "name": "c",
            "values": {"sequence": 3, "validity": 600, "active_power.port1": -2},
            "hex": "21 03 0258 fffe 0000",
        }
    ],
}


ASK = {"name": "which", "f_port": 2, "hex": "22"}
ANSWER = {
    "name": "held",
    "f_port": 3,
    "length": 5,
    "fields": {
        "sequence_ack": {"at": 0, "type": "uint8"},
        "watchdog_remaining": {"at": 1, "type": "uint16"},
        "setpoint_active_power.port1": {"at": 3, "type": "int16"},
    },
}


@pytest.fixture
def problems(tmp_path):
    """Problems of the good profile with one change."""

    def judge(change):
        content = yaml.safe_load(yaml.safe_dump(GOOD))
        change(content)
        path = tmp_path / "device_profiles" / "lorawan" / "acme" / "sensor.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))
        return [(p.code, p.path) for p in check_payload_profile(path)]

    return judge


def test_a_good_profile_is_found_beside_the_site_and_loaded(problems, tmp_path):
    assert problems(lambda p: None) == []
    path = find_payload_profile("acme/sensor", beside=tmp_path)
    assert path is not None
    profile = load_payload_profile(path)
    assert (profile.ports, profile.longest_uplink, profile.shortest_uplink) == (1, 4, 4)
    assert "acme/sensor" in known_payload_profiles(tmp_path)
    assert "acme/sensor" not in known_payload_profiles()


def test_a_name_that_is_a_path_finds_nothing(tmp_path):
    assert find_payload_profile("../../etc/passwd", beside=tmp_path) is None


def field(**more):
    return {"at": 3, "type": "uint8", **more}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda p: p["uplinks"][0]["fields"].update({"sco": field()}), ("profile.quantity", "uplinks[0].fields.sco")),
        (lambda p: p["uplinks"][0]["fields"].update({"voltage.L9": field()}), ("profile.place", "uplinks[0].fields.voltage.L9")),
        (
            lambda p: p["uplinks"][0]["fields"].update({"temperature": field(at=4)}),
            ("payload.field", "uplinks[0].fields.temperature"),
        ),
        (
            lambda p: p["uplinks"][0]["fields"].update({"temperature": field(at=1)}),
            ("payload.field", "uplinks[0].fields.temperature"),
        ),
        (
            lambda p: p["uplinks"][0]["fields"].update({"temperature": field(mask=5)}),
            ("payload.field", "uplinks[0].fields.temperature.mask"),
        ),
        (
            lambda p: p["uplinks"][0]["fields"].update({"temperature": field(mask=256)}),
            ("payload.field", "uplinks[0].fields.temperature.mask"),
        ),
        (
            lambda p: p["uplinks"][0]["fields"].update({"temperature": field(signed=True)}),
            ("payload.field", "uplinks[0].fields.temperature.signed"),
        ),
        (lambda p: p["uplinks"].append(p["uplinks"][0]), ("payload.ambiguous", "uplinks[1]")),
        (lambda p: p["setpoint"]["fields"]["sequence"].update(at=0), ("payload.field", "setpoint.fields.sequence")),
        (lambda p: p["setpoint"]["fields"].pop("validity"), ("payload.setpoint", "setpoint.fields")),
        (
            lambda p: p["setpoint"]["fields"].update({"active_power.port3": field(at=6, type="int16")}),
            ("payload.setpoint", "setpoint.fields"),
        ),
        (lambda p: p["setpoint"]["fields"].update({"soc": field(at=6)}), ("payload.setpoint", "setpoint.fields.soc")),
        (lambda p: p["uplinks"][0]["fields"].pop("sequence_ack"), ("payload.setpoint", "uplinks")),
        (lambda p: p.update({"class": "meter"}), ("payload.setpoint", "class")),
        (lambda p: p.update({"id": "acme/other"}), ("profile.id", "id")),
        (lambda p: p["uplinks"][0].update(f_port=0), ("value.range", "uplinks[0].f_port")),
    ],
)
def test_what_is_wrong_is_named(problems, change, found):
    assert found in problems(change)


def test_a_wrong_profile_is_not_loaded(problems, tmp_path):
    problems(lambda p: p["setpoint"]["fields"].pop("sequence"))
    path = find_payload_profile("acme/sensor", beside=tmp_path)
    assert path is not None
    with pytest.raises(ConfigError, match="sequence"):
        load_payload_profile(path)


def test_a_question_is_told_from_a_setpoint_and_has_an_answer(problems):
    def asking(**changes):
        def change(content):
            content["ask"] = ASK | changes
            content["uplinks"].append(ANSWER)

        return change

    def without(key):
        def change(content):
            asking()(content)
            content.pop(key, None) if key == "setpoint" else content["uplinks"].pop()
            content.pop("command_tests") if key == "setpoint" else None

        return change

    assert problems(asking()) == []
    assert problems(asking(hex="21 00 00 00 00 00 00 00")) == [("payload.ask", "ask")]
    assert problems(without("uplinks")) == [("payload.ask", "ask")]
    assert ("payload.ask", "ask") in problems(without("setpoint"))
