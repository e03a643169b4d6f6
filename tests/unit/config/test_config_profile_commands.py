"""Golden vectors of commands: what is wrong with them before they are run, and what becomes of the right ones."""

from __future__ import annotations

from functools import partial

import pytest

from mimctl.config.profiles.registers_profile import check_profile, load_profile
from mimctl.model.command_vectors import ExpectedWrite, StepKind
from mimctl.model.site import ExpiryAction
from profile_files import write_profile

HEAD = """\
schema: 1
id: acme/b1
vendor: ACME
models: [B1]
class: ess
provenance: {source: by hand, confidence: high}
transport: {addressing: one_based}
conventions: {active_power: generation_positive}
points:
  active_power.port1: {address: 1, type: int16, unit: W}
"""
SETPOINTS = """\
setpoints:
  active_power.port1: {address: 11, type: int16, unit: W, min: -3000, max: 3000}
failsafe: {kind: repeat, within: 30 s}
"""
TESTS = """\
tests:
  - {name: shown, image: [{address: 1, hex: "0064"}], expect: {active_power.port1: 100}}
"""


@pytest.fixture
def write(tmp_path):
    return partial(write_profile, tmp_path, name="acme/b1")


def vector(step: str, more: str = "") -> str:
    return f"command_tests:\n  - name: one\n    {more}\n    steps:\n      - {step}\n"


def test_a_good_vector_has_wire_addresses_and_the_registers_of_the_test_it_is_like(write):
    step = "{do: command, setpoints: {active_power.port1: -5}, validity: 1 min, expiry_action: hold, writes: [%s]}"
    step %= "{address: 11, hex: fffb}"
    path = write(HEAD + SETPOINTS + TESTS + vector(step, 'like: shown\n    image: [{address: 11, hex: "00 01 0002"}]'))
    assert check_profile(path) == []
    (found,) = load_profile(path).command_vectors
    assert found.image == ((0, b"\x00\x64"), (10, b"\x00\x01\x00\x02"))
    (only,) = found.steps
    assert (only.kind, only.validity_s, only.expiry) == (StepKind.COMMAND, 60.0, ExpiryAction.HOLD)
    assert only.writes == (ExpectedWrite(10, b"\xff\xfb", 16),)
    assert only.powers("active_power", 2) == (-5.0, 0.0)
    assert only.powers("reactive_power", 1) == (0.0,)


def test_setpoints_without_vectors_are_a_warning(write):
    (found,) = check_profile(write(HEAD + SETPOINTS + TESTS))
    assert (found.severity, found.path) == ("warning", "setpoints")
    assert "nothing proves the frames" in found.message


GOOD = "{do: command, setpoints: {active_power.port1: 5}, writes: []}"


@pytest.mark.parametrize(
    ("step", "more", "at", "says"),
    [
        ("{do: command}", "", "steps[0]", "'setpoints' is missing"),
        ("{do: command, setpoints: {active_power.port2: 5}}", "", "steps[0].setpoints.active_power.port2", "did you mean"),
        ("{do: keep_alive}", "", "steps[0].do", "a command comes first"),
        ("{do: release}\n      - {do: keep_alive}", "", "steps[1].do", "a command comes first"),
        (
            GOOD.replace("writes: []", "refused: true") + "\n      - {do: keep_alive}",
            "",
            "steps[1].do",
            "first",
        ),
        ("{do: release, setpoints: {active_power.port1: 5}}", "", "steps[0].setpoints", "release has no setpoints"),
        ("{do: release, refused: true}", "", "steps[0].refused", "release has no refused"),
        (GOOD.replace("writes: []", "refused: true, writes: [{address: 11, hex: fffb}]"), "", "steps[0].writes", "not written"),
        (GOOD.replace("[]", '[{address: 11, hex: "fff"}]'), "", "steps[0].writes[0].hex", "3 digits are no whole registers"),
        (GOOD.replace("[]", '[{address: 11, function: 6, hex: "0001 0002"}]'), "", "steps[0].writes[0].hex", "one register"),
        (GOOD.replace("[]", '[{address: 0, hex: "0001"}]'), "", "steps[0].writes[0].address", "0"),
        (GOOD, 'image: [{address: 11, hex: "ab"}]', "image[0].hex", "no whole registers"),
        (GOOD, "like: shwon", "like", "did you mean 'shown'?"),
    ],
)
def test_each_mistake_is_found_where_it_stands(write, step, more, at, says):
    found = check_profile(write(HEAD + SETPOINTS + TESTS + vector(step, more)))
    assert [p.path for p in found] == [f"command_tests[0].{at}"]
    assert says in found[0].message
    assert found[0].line > 0


def test_a_meter_has_no_commands_to_prove(write):
    (found,) = check_profile(write(HEAD + TESTS + vector(GOOD)))
    assert "the file has no setpoints" in found.message
