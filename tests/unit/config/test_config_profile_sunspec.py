"""Profiles of devices that tell their own register map: what the section `sunspec` becomes, and what is wrong with one."""

from functools import partial

import pytest

from mimctl.config.profiles.registers_profile import check_profile, load_profile
from mimctl.model.chain import ChainDifference, ChainPoint, ControlModel
from profile_files import write_profile

INVERTER = """\
schema: 1
id: acme/m1
vendor: ACME
models: [M1]
class: inverter
provenance: {source: by hand, confidence: high}
conventions: {active_power: generation_positive, reactive_power: capacitive_load_positive}
sunspec:
  models: [113, 103]
  commands: [{model: 123, write: single}, {model: 124}]
"""
METER = (
    INVERTER.replace("class: inverter", "class: meter")
    .replace("[113, 103]", "[203]")
    .replace("  commands: [{model: 123, write: single}, {model: 124}]\n", "")
)


@pytest.fixture
def write(tmp_path):
    return partial(write_profile, tmp_path)


def found(path):
    return [(p.code, p.path, p.line) for p in check_profile(path)]


def test_a_section_becomes_rules(write):
    text = INVERTER + "  bases: [40000]\n  ignore: [160]\n  common: {manufacturer: ['AC*', 'ac*']}\n  silent_zeros: [voltage]\n"
    text += "  leave_out: [energy_export]\nwrite_policy: {min_interval: 2 s, active_deadband: 20 W}\n"
    rules = load_profile(write(text)).chain
    assert (rules.bases, rules.models, rules.ignored) == ((40000,), (113, 103), (160,))
    assert rules.common == (("manufacturer", ("AC*", "ac*")),)
    assert (rules.silent_zeros, rules.left_out, rules.turned) == (("voltage",), ("energy_export",), ())
    assert rules.controls == (ControlModel(123, single=True), ControlModel(124))
    assert (rules.policy.min_interval_s, rules.policy.deadband_w) == (2, 20)
    assert rules.allows(124)
    assert not rules.allows(704)


@pytest.mark.parametrize(
    ("active", "reactive", "turned"),
    [
        ("load_positive", "inductive_load_positive", ()),
        ("generation_positive", "inductive_load_positive", ("active_power",)),
        ("generation_positive", "capacitive_load_positive", ("active_power", "reactive_power")),
    ],
)
def test_a_meter_is_turned_where_it_counts_what_is_given(write, active, reactive, turned):
    text = METER.replace("generation_positive, reactive_power: capacitive_load_positive", f"{active}, reactive_power: {reactive}")
    assert load_profile(write(text)).chain.turned == turned


def test_points_have_mimctls_signs_and_halves_their_order(write):
    text = INVERTER.replace("capacitive_load_positive}", "capacitive_load_positive, battery_power: charge_positive}")
    text += "  points:\n    active_power.L1: {model: 160, point: DCW, sign: -1, nan: [7], requires: [124]}\n"
    text += "    up: {model: 160, point: DCA}\n    down: {model: 160, point: DCV}\n    battery_power: {difference: [up, down]}\n"
    rules = load_profile(write(text)).chain
    assert rules.points[0] == ChainPoint("active_power.L1", 160, "DCW", -1, (7,), (124,))
    assert rules.differences == (ChainDifference("battery_power", "down", "up"),)


def test_a_chain_may_be_all_that_a_profile_has(write):
    profile = load_profile(write(METER))
    assert profile.register_map.points == ()
    assert profile.chain.controls == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (INVERTER.replace("113", "203"), ("profile.sunspec", "sunspec.models[0]", 9)),
        (METER.replace("[203]", "[203, 103]"), ("profile.sunspec", "sunspec.models[1]", 9)),
        (INVERTER.replace("113", "104"), ("value.choice", "sunspec.models[0]", 9)),
        (INVERTER.replace("[113, 103]", "[113, 113]"), ("profile.sunspec", "sunspec.models[1]", 9)),
        (INVERTER.replace("class: inverter", "class: pdu"), ("profile.sunspec", "class", 5)),
        (INVERTER + "  ignore: [103]\n", ("profile.sunspec", "sunspec.ignore", 11)),
        (INVERTER + "  ignore: [123]\n", ("profile.sunspec", "sunspec.commands[0].model", 10)),
        (INVERTER + "  leave_out: [volts]\n", ("profile.quantity", "sunspec.leave_out[0]", 11)),
        (INVERTER + "  silent_zeros: [voltage.L1]\n", ("profile.quantity", "sunspec.silent_zeros[0]", 11)),
        (INVERTER + "  points: {soc: {model: 124}}\n", ("profile.point", "sunspec.points.soc", 11)),
        (INVERTER + "  points: {charge: {model: 124, point: W}}\n", ("profile.quantity", "sunspec.points.charge", 11)),
        (INVERTER + "  points: {soc: {difference: [a, b]}}\n", ("profile.reference", "sunspec.points.soc.difference[0]", 11)),
        (INVERTER + "identify: [{address: 1, type: uint16, equals: [1]}]\n", ("profile.sunspec", "identify", 11)),
        (INVERTER + "max_gap: 3\n", ("profile.sunspec", "max_gap", 11)),
        (INVERTER + "transport: {addressing: one_based}\n", ("profile.sunspec", "transport.addressing", 11)),
        (INVERTER + "write_policy: {daily_budget: 3}\n", ("profile.sunspec", "write_policy.daily_budget", 11)),
        (METER + "write_policy: {min_interval: 2 s}\n", ("profile.sunspec", "write_policy", 10)),
        (METER + "  commands: [{model: 124}]\n", ("profile.sunspec", "sunspec.commands", 10)),
        (INVERTER.replace("model: 124", "model: 704, write: single"), ("profile.sunspec", "sunspec.commands[1].write", 10)),
        (INVERTER.replace("model: 124", "model: 123"), ("profile.sunspec", "sunspec.commands[1].model", 10)),
        (INVERTER.replace("model: 124", "model: 160"), ("value.choice", "sunspec.commands[1].model", 10)),
        (INVERTER.replace("capacitive", "inductive"), ("profile.sunspec", "sunspec.commands", 10)),
        (
            INVERTER + "  points: {soc: {model: 124, point: ChaState}}\npoints: {soc: {address: 1, type: uint16}}\n",
            ("profile.sunspec", "sunspec.points.soc", 11),
        ),
    ],
)
def test_what_is_wrong_is_named_at_its_line(write, text, expected):
    assert expected in found(write(text))


def test_the_sign_of_vars_is_never_taken_for_granted(write):
    text = METER.replace(", reactive_power: capacitive_load_positive", "")
    [problem] = check_profile(write(text))
    assert (problem.code, problem.path) == ("profile.sunspec", "conventions")
    assert "leave_out: [reactive_power]" in problem.message
    assert found(write(text + "  leave_out: [reactive_power]\n")) == [("profile.vector", "tests", 2)]


def test_a_device_commanded_by_its_chain_is_asked_for_vectors_of_commands(write):
    [warned] = [p for p in check_profile(write(INVERTER)) if p.code == "profile.command_test"]
    assert (warned.path, warned.severity) == ("sunspec.commands", "warning")
    watched = INVERTER.replace("  commands: [{model: 123, write: single}, {model: 124}]\n", "")
    signs_of_life = INVERTER.replace("commands: [{model: 123, write: single}, {model: 124}]", "commands: [{model: 802}]")
    for text in (METER, watched, signs_of_life):
        assert not [p for p in check_profile(write(text)) if p.code == "profile.command_test"]


def test_values_of_a_vector_are_quantities(write):
    text = METER + 'tests: [{name: one, image: [{address: 0, hex: "0000"}], expect: {volts.L1: 1, voltage.L1: 2}}]\n'
    assert [path for _, path, _ in found(write(text))] == ["tests[0].expect.volts.L1"]


def test_a_model_that_measures_nothing_is_told_which_ones_do(write):
    [problem] = check_profile(write(INVERTER.replace("113", "104")))
    assert "104 is not one of 101, 102, 103, 111," in problem.message
