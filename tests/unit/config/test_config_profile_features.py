"""What a profile can express beyond plain points: numbering, repeated parts, directions, variants, identification, setpoints."""

from functools import partial

import pytest

from mimctl.config.profiles.registers_profile import check_profile, known_profiles, load_profile
from mimctl.model.points import ReadBlock
from mimctl.model.profile import Difference, Signed
from mimctl.model.setpoints import Failsafe, Role
from profile_files import write_profile

HEAD = """\
schema: 1
id: acme/m1
vendor: ACME
models: [M1]
class: meter
provenance: {source: by hand, confidence: high}
conventions: {active_power: load_positive}
"""
ESS = HEAD.replace("class: meter", "class: ess")
SETPOINT = "  active_power.port1: {address: 10, type: int16, unit: W, min: -3000, max: 3000}\n"
NONE = "failsafe: {kind: none}"
POINT = "points:\n  active_power.port1: {address: 0, type: int16}\n"


@pytest.fixture
def write(tmp_path):
    return partial(write_profile, tmp_path)


def found(path):
    return [(p.code, p.path) for p in check_profile(path)]


def test_modicon_numbers_say_the_function(write):
    text = HEAD + "transport: {addressing: modicon}\npoints:\n  voltage.L1: {address: 30001, type: uint16}\n"
    text += "  voltage.L2: {address: 40010, type: uint16}\n  voltage.L3: {address: 400011, type: uint16}\n"
    points = load_profile(write(text)).register_map.points
    assert [(p.function, p.address) for p in points] == [(4, 0), (3, 9), (3, 10)]


@pytest.mark.parametrize("address", ["50001", "40000", "40001, function: 4", "465537"])
def test_what_is_no_modicon_number_is_named(write, address):
    text = HEAD + f"transport: {{addressing: modicon}}\npoints:\n  voltage.L1: {{address: {address}, type: uint16}}\n"
    assert [path for _, path in found(write(text))] == ["points.voltage.L1.address"]


def test_parts_repeat_by_stride_and_by_bases(write):
    text = (
        HEAD
        + """
instances:
  circuit:
    count: 3
    points:
      current: {address: 100, type: int16, stride: 1, scale_register: {address: 50, stride: 2}}
  group:
    count: 4
    bases: [19012, 19200]
    stride: 100
    points:
      active_power.L1: {address: 8, type: float32}
"""
    )
    points = {p.key: p for p in load_profile(write(text)).register_map.points}
    assert [(points[f"current.circuit{n}"].address, points[f"current.circuit{n}"].scale_address) for n in (1, 2, 3)] == [
        (100, 50),
        (101, 52),
        (102, 54),
    ]
    assert [points[f"active_power.group{n}.L1"].address for n in (1, 2, 3, 4)] == [19020, 19208, 19308, 19408]


def test_helpers_of_a_part_are_its_own(write):
    text = (
        HEAD
        + """
instances:
  branch:
    count: 2
    stride: 10
    points:
      active_power.L1: {difference: [taken, given]}
      current.L1: {address: 5, type: uint16, signed_by: active}
      taken: {address: 0, type: uint16}
      given: {address: 1, type: uint16}
      active: {address: 2, type: int16}
"""
    )
    register_map = load_profile(write(text)).register_map
    assert register_map.differences[1] == Difference("active_power.branch2.L1", "taken.branch2", "given.branch2")
    assert register_map.signed[1] == Signed("current.branch2.L1", "active.branch2")


def test_a_bit_or_a_point_tells_the_direction(write):
    text = (
        HEAD
        + """
points:
  active_power.L1: {address: 0, type: uint16, sign_bit: {point: status, bit: 3}}
  active_power.L2: {address: 1, type: uint16, sign_bit: {point: status, bit: 4, negative: 0}}
  current.L1: {address: 2, type: uint16, signed_by: active_power.L1}
  status: {address: 3, type: bitfield16}
"""
    )
    assert load_profile(write(text)).register_map.signed == (
        Signed("active_power.L1", "status", 3, 1),
        Signed("active_power.L2", "status", 4, -1),
        Signed("current.L1", "active_power.L1"),
    )
    turned = text.replace("load_positive", "generation_positive")
    assert load_profile(write(turned)).register_map.signed[0] == Signed("active_power.L1", "status", 3, -1)


def test_what_injects_counts_the_other_way_round(write):
    text = ESS + POINT + "  reactive_power.port1: {address: 2, type: int16}\n  battery_power: {address: 3, type: int16}\n"
    signs = {p.key: p.sign for p in load_profile(write(text)).register_map.points}
    assert signs == {"active_power.port1": -1, "reactive_power.port1": -1, "battery_power": 1}
    text = text.replace("load_positive}", "generation_positive, battery_power: charge_positive}")
    signs = {p.key: p.sign for p in load_profile(write(text)).register_map.points}
    assert signs == {"active_power.port1": 1, "reactive_power.port1": -1, "battery_power": -1}


def test_patterns_for_no_value_may_hold_for_a_type(write):
    text = HEAD + "defaults: {nan: {int16: [0x8000], uint16: [0xFFFF]}}\npoints:\n  voltage.L1: {address: 0, type: uint16}\n"
    text += "  active_power.L1: {address: 1, type: int16}\n  active_power.L2: {address: 2, type: int16, nan: []}\n"
    assert [p.sentinels for p in load_profile(write(text)).register_map.points] == [(65535,), (-32768,), ()]


def test_a_variant_replaces_adds_and_drops_points(write):
    text = (
        HEAD
        + """
identity: {version: {address: 90, type: string, count: 4}}
points:
  voltage.L1: {address: 0, type: uint16}
  frequency: {address: 5, type: uint16}
variants:
  - name: old
    when: {identity: version, below: "2.0"}
    points: {voltage.L1: {address: 1, type: uint16}, frequency: null, soc: {address: 9, type: uint16}}
    max_registers: 20
"""
    )
    profile = load_profile(write(text))
    [old] = profile.variants
    assert [(p.key, p.address) for p in old.register_map.points] == [("voltage.L1", 1), ("soc", 9)]
    assert (old.register_map.max_registers, profile.register_map.max_registers) == (20, 125)
    assert (old.when.point.address, old.when.below) == (90, "2.0")
    wrong = text.replace("soc: {address: 9", "sock: {address: 9").replace("identity: version,", "identity: verson,")
    assert set(found(write(wrong))) == {
        ("profile.quantity", "variants[0].points.sock"),
        ("profile.condition", "variants[0].when.identity"),
    }


def test_setpoints_are_written_in_order_and_read_back(write):
    text = (
        ESS
        + POINT
        + "setpoints:\n"
        + SETPOINT
        + """
switches:
  - {name: mode, address: 30, type: uint16, on: 2, when: before}
  - {name: enable, address: 11, type: uint16, on: 1, off: 0}
failsafe: {kind: reversion, action: zero, reversion: {address: 12, type: uint16, max: 600}}
"""
    )
    register_map = load_profile(write(text)).register_map
    mim_map = register_map.mim
    assert [c.role for c in mim_map.commands] == [Role.SWITCH, Role.VALIDITY, Role.ACTIVE, Role.SWITCH]
    assert mim_map.state == (ReadBlock(10, 3), ReadBlock(30, 1))
    assert mim_map.keepalive == (Role.ACTIVE, Role.REACTIVE, Role.DIRECTION, Role.VALIDITY)
    assert mim_map.failsafe is Failsafe.REVERSION
    watched = ["switch_mode", "setpoint_active_power.port1", "switch_enable"]
    assert [p.key for p in register_map.points] == ["active_power.port1", *watched]
    ordered = text + "write_policy: {order: [reversion, active_power.port1, enable, mode]}\n"
    assert [c.point.address for c in load_profile(write(ordered)).register_map.mim.commands] == [12, 10, 11, 30]


@pytest.mark.parametrize(
    ("setpoints", "rest", "expected"),
    [
        (SETPOINT, "", ("profile.failsafe", "setpoints")),
        (SETPOINT, "failsafe: {kind: repeat}", ("profile.failsafe", "failsafe")),
        (SETPOINT, "failsafe: {kind: none, within: 3 s}", ("profile.failsafe", "failsafe.within")),
        (SETPOINT, "failsafe: {kind: hope}", ("value.choice", "failsafe.kind")),
        (SETPOINT.replace("port1", "L1"), NONE, ("profile.setpoint", "setpoints.active_power.L1")),
        (SETPOINT.replace("port1", "port2"), NONE, ("profile.setpoint", "setpoints")),
        (SETPOINT.replace("min: -3000", "min: 100"), NONE, ("profile.setpoint", "setpoints.active_power.port1.min")),
        (SETPOINT.replace("max: 3000", "max: 32769"), NONE, ("profile.setpoint", "setpoints.active_power.port1.max")),
        (SETPOINT.replace("min: -3000", "min: -32768"), NONE, ("profile.setpoint", "setpoints.active_power.port1.min")),
        (SETPOINT.replace("max: 3000", "max: 3300, scale: 0.1"), NONE, ("profile.setpoint", "setpoints.active_power.port1.max")),
        # the device counts absorption as positive: without a sign it cannot be told to inject
        (SETPOINT.replace("int16", "uint16"), NONE, ("profile.setpoint", "setpoints.active_power.port1.max")),
        (SETPOINT.replace("unit: W", "unit: kW"), NONE, ("profile.unit", "setpoints.active_power.port1.unit")),
        (SETPOINT.replace("max: 3000", "max: 3000, write: single").replace("int16", "int32"), NONE,
         ("profile.setpoint", "setpoints.active_power.port1.write")),
        (SETPOINT.replace("max: 3000", "max: 3000, persistent: true"), NONE,
         ("profile.setpoint", "setpoints.active_power.port1.persistent")),
        (SETPOINT, NONE + "\nwrite_policy: {order: [active_power.port2]}", ("profile.order", "write_policy.order[0]")),
        (SETPOINT, NONE + "\nswitches: [{name: x, address: 1, type: uint16, on: 1, off: 0, function: 4}]",
         ("profile.setpoint", "switches[0].function")),
    ],
)  # fmt: skip
def test_each_mistake_in_setpoints_is_found(write, setpoints, rest, expected):
    assert expected in found(write(ESS + POINT + "setpoints:\n" + setpoints + rest + "\n"))


def test_a_meter_takes_no_setpoints(write):
    text = HEAD + "points:\n  voltage.L1: {address: 0, type: uint16}\nsetpoints:\n" + SETPOINT + NONE + "\n"
    assert ("profile.setpoint", "class") in found(write(text))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{address: 1, type: uint16}", ("profile.condition", "identify[0]")),
        ("{address: 1, type: uint16, at_least: one}", ("profile.condition", "identify[0].at_least")),
        ("{address: 1, type: string, equals: [a]}", ("profile.point", "identify[0]")),
        ("{type: uint16, equals: [1]}", ("profile.point", "identify[0]")),
        ("{address: 70000, type: uint16, equals: [1]}", ("profile.address", "identify[0].address")),
    ],
)
def test_each_mistake_in_identification_is_found(write, rule, expected):
    text = HEAD + f"identify: [{rule}]\npoints:\n  voltage.L1: {{address: 0, type: uint16}}\n"
    assert expected in found(write(text))


def test_a_misspelt_key_deep_in_the_file_is_named_with_what_was_meant(write):
    text = ESS + POINT + "setpoints:\n" + SETPOINT + "failsafe: {kind: heartbeat, heartbeet: {address: 1}}\n"
    [problem] = [p for p in check_profile(write(text)) if p.code == "key.unknown"]
    assert problem.path == "failsafe.heartbeet"
    assert "did you mean 'heartbeat'" in problem.message


def test_every_profile_beside_a_site_is_known(tmp_path):
    (tmp_path / "device_profiles" / "acme").mkdir(parents=True)
    (tmp_path / "device_profiles" / "acme" / "m1.yaml").write_text("")
    assert {"acme/m1", "victron/gx"} <= set(known_profiles(tmp_path))
