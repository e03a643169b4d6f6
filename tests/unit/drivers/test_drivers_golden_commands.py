"""The golden vectors of commands of every profile that comes with mimctl, run through the driver's encoder."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mimctl.config.profiles.registers_profile import load_profile
from mimctl.drivers.golden_commands import check_command_vectors
from mimctl.model.command_vectors import CommandStep, CommandVector, ExpectedWrite, StepKind
from mimctl.model.profile import DeviceProfile
from mimctl.model.resources import data_root

PROFILES = [load_profile(path) for path in sorted((data_root() / "device_profiles").glob("*/*.yaml"))]
COMMANDED = [p for p in PROFILES if p.register_map.mim is not None or (p.chain is not None and p.chain.controls)]


@pytest.mark.parametrize("profile", [p for p in PROFILES if p.command_vectors], ids=lambda p: p.id)
def test_every_profile_writes_what_it_claims(profile):
    assert check_command_vectors(profile) == []


@pytest.mark.parametrize("profile", COMMANDED, ids=lambda p: p.id)
def test_every_profile_with_setpoints_shows_a_command_a_sign_of_life_a_release_and_a_refusal(profile):
    steps = [step for vector in profile.command_vectors for step in vector.steps]
    assert {step.kind for step in steps} == set(StepKind)
    refused = [step for step in steps if step.refused]
    assert refused
    if profile.chain is None:
        assert {value > 0 for step in refused for _, value in step.setpoints} == {True, False}, "over the most and under the least"


def models_in(image: tuple[tuple[int, bytes], ...], base: int) -> set[int]:
    """Ids of a chain: behind the mark "SunS", each model says its id and length, 0xFFFF or nothing ends it."""
    words = {first + n: int.from_bytes(data[2 * n : 2 * n + 2]) for first, data in image for n in range(len(data) // 2)}
    found, at = set(), base + 2
    while words.get(at, 0xFFFF) != 0xFFFF:
        found.add(words[at])
        at += 2 + words[at + 1]
    return found


@pytest.mark.parametrize("profile", [p for p in COMMANDED if p.chain is not None], ids=lambda p: p.id)
def test_every_model_that_takes_setpoints_is_commanded_by_some_vector(profile):
    """Of those in a chain the first in this order is taken: 704, 124, 123."""
    rules = profile.chain
    allowed = [model for model in (704, 124, 123) if rules.allows(model)]
    base = rules.bases[0]
    images = [models_in(vector.image, base) for vector in profile.command_vectors]
    assert {next(model for model in allowed if model in image) for image in images} == set(allowed)


def gx(*steps: CommandStep) -> DeviceProfile:
    profile = next(p for p in PROFILES if p.id == "victron/gx")
    return replace(profile, command_vectors=(CommandVector("tried", (), steps),))


def told(w: float, *writes: tuple[int, str], refused: bool = False) -> CommandStep:
    """One phase commanded, and the frames by function 6 that are said to come of it."""
    frames = tuple(ExpectedWrite(address, bytes.fromhex(data), 6) for address, data in writes)
    return CommandStep(StepKind.COMMAND, (("active_power.port1", w),), writes=frames, refused=refused)


RIGHT = ((37, "fe0c"), (40, "0000"), (41, "0000"))


@pytest.mark.parametrize(
    ("step", "path", "says"),
    [
        (told(500.0, *RIGHT), None, None),
        (
            told(501.0, *RIGHT),
            "command_tests[0].steps[0].writes[0]",
            "tried: writes function 6, 37: fe0b; expected function 6, 37: fe0c",
        ),
        (told(500.0, *RIGHT[::-1]), "command_tests[0].steps[0].writes[0]", "writes function 6, 37: fe0c; expected function 6, 41"),
        (told(500.0, *RIGHT[:2]), "command_tests[0].steps[0].writes", "also writes function 6, 41: 0000"),
        (told(500.0, *RIGHT, (42, "0000")), "command_tests[0].steps[0].writes[3]", "does not write function 6, 42: 0000"),
        (
            told(99999.0, *RIGHT),
            "command_tests[0].steps[0]",
            "refused, since setpoint_active_power.port1 = 99999 is over",
        ),
        (told(500.0, refused=True), "command_tests[0].steps[0].refused", "is not refused; it would write function 6, 37: fe0c; "),
    ],
)
def test_what_is_wrong_is_named_by_its_place(step, path, says):
    found = check_command_vectors(gx(step))
    assert [p.path for p in found] == ([] if path is None else [path])
    assert says is None or says in found[0].message


def test_the_function_is_part_of_the_proof():
    step = told(500.0, *RIGHT)
    wrong = replace(step, writes=(*step.writes[:2], replace(step.writes[2], function=16)))
    (found,) = check_command_vectors(gx(wrong))
    assert "writes function 6, 41: 0000; expected function 16, 41: 0000" in found.message


def test_what_follows_a_wrong_step_is_not_judged():
    found = check_command_vectors(gx(told(501.0, *RIGHT), told(500.0)))
    assert [p.path for p in found] == ["command_tests[0].steps[0].writes[0]"]


def test_a_refusal_leaves_the_device_as_it_was():
    release = CommandStep(StepKind.RELEASE, writes=tuple(ExpectedWrite(a, bytes(2), 6) for a in (37, 40, 41)))
    alive = replace(told(0.0, *RIGHT), kind=StepKind.KEEP_ALIVE, setpoints=())
    assert check_command_vectors(gx(told(500.0, *RIGHT), told(99999.0, refused=True), alive, release)) == []


def test_a_profile_without_setpoints_has_nothing_to_prove():
    meter = next(p for p in PROFILES if p.id == "schneider/iem3155")
    (found,) = check_command_vectors(replace(meter, command_vectors=gx(told(1.0)).command_vectors))
    assert "takes no setpoints" in found.message
