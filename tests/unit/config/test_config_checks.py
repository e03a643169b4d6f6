"""One bent site per problem code: what is found, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mimctl.config import checks
from mimctl.config.site import check_site
from site_factory import site_dict, write_site

Bend = Callable[[dict[str, Any]], None]


def base() -> dict[str, Any]:
    return site_dict(racks=4, feeds=2, battery=True)


def found(tmp_path, bend: Bend) -> list[tuple[str, str, str]]:
    data = base()
    bend(data)
    _, problems = check_site(write_site(tmp_path, data))
    assert all(p.line > 0 and p.column > 0 and p.file.endswith("site.yaml") for p in problems)
    return [(p.severity.value, p.code, p.path) for p in problems]


def put(section: str, index: int, **values: Any) -> Bend:
    return lambda data: data[section][index].update(values)


def add(section: str, *entries: dict[str, Any]) -> Bend:
    return lambda data: data.setdefault(section, []).extend(entries)


def drop(section: str, index: int, *keys: str) -> Bend:
    def bend(data: dict[str, Any]) -> None:
        for key in keys:
            del data[section][index][key]

    return bend


def both(*bends: Bend) -> Bend:
    def bend(data: dict[str, Any]) -> None:
        for each in bends:
            each(data)

    return bend


def only_feed_a(data: dict[str, Any]) -> None:
    data["zones"] = [{"id": "za", "heads": ["feed-a"]}]


def load(**values: Any) -> Bend:
    return lambda data: data["twin"]["loads"][0].update(values)


# nodes: 0 feed-a, 1 pdu-a1, 2 rack-a1-1, 3 rack-a1-2, 4 feed-b, 5 pdu-b1, 6 rack-b1-1, 7 rack-b1-2
# meters: 0 feed-a, 1 pdu-a1, 2 rack-a1-1, 3 rack-a1-2, 4 feed-b, …; mims: 0 a1-1, 1 a1-2, 2 b1-1, 3 b1-2
ZONES = [{"id": "za", "heads": ["feed-a"]}, {"id": "zb", "heads": ["feed-b"]}]

CASES: dict[str, tuple[Bend, tuple[str, str, str]]] = {
    "same id": (put("links", 1, id="gw-feed-a"), ("error", "id.duplicate", "links[1].id")),
    "case of id": (put("nodes", 3, id="RACK-a1-1"), ("error", "id.duplicate", "nodes[3].id")),
    "MIM and meter": (put("mims", 1, id="meter-feed-a"), ("error", "id.duplicate", "mims[1].id")),
    "feed to node": (put("feeds", 0, node="feed-c"), ("error", "reference.unknown", "feeds[0].node")),
    "parent": (put("nodes", 1, parent="feed-x"), ("error", "reference.unknown", "nodes[1].parent")),
    "meter node": (put("meters", 1, node="pdu"), ("error", "reference.unknown", "meters[1].node")),
    "meter link": (put("meters", 1, link="gw"), ("error", "reference.unknown", "meters[1].link")),
    "MIM link": (put("mims", 1, link="gw"), ("error", "reference.unknown", "mims[1].link")),
    "MIM node": (put("mims", 1, node="rack"), ("error", "reference.unknown", "mims[1].node")),
    "port node": (
        put("mims", 1, ports=["L1", {"node": "rack", "connection": "L2"}]),
        ("error", "reference.unknown", "mims[1].ports[1].node"),
    ),
    "battery MIM": (put("batteries", 0, mim="mim"), ("error", "reference.unknown", "batteries[0].mim")),
    "zone head": (add("zones", {"id": "z", "heads": ["feed-x"]}), ("error", "reference.unknown", "zones[0].heads[0]")),
    "rule zone": (add("rules", {"id": "r", "zones": ["z"]}), ("error", "reference.unknown", "rules[0].zones[0]")),
    "rule node": (add("rules", {"id": "r", "weights": {"x": 1}}), ("error", "reference.unknown", "rules[0].weights.x")),
    "load node": (load(node="rack"), ("error", "reference.unknown", "twin.loads[0].node")),
    "cycle": (both(put("nodes", 0, parent="rack-a1-1")), ("error", "node.cycle", "nodes[0].parent")),
    "own parent": (put("nodes", 1, parent="pdu-a1"), ("error", "node.cycle", "nodes[1].parent")),
    "feed inside": (put("feeds", 0, node="pdu-a1"), ("error", "feed.not_a_head", "feeds[0].node")),
    "one head": (put("feeds", 1, node="feed-a"), ("error", "feed.head_twice", "feeds[1].node")),
    "no feed": (lambda d: d["feeds"].pop(), ("error", "node.no_feed", "nodes[4]")),
    "phase": (
        both(put("nodes", 1, phases=["L1", "L2"]), put("nodes", 2, phases=["L3"])),
        ("error", "node.phase_unsupplied", "nodes[2].phases"),
    ),
    "phase twice": (put("nodes", 2, phases=["L1", "L1"]), ("error", "node.phase_twice", "nodes[2].phases")),
    "neutral": (
        both(put("nodes", 1, neutral=False), put("nodes", 2, neutral=True)),
        ("error", "node.neutral_unsupplied", "nodes[2].neutral"),
    ),
    "neutral rating": (
        put("nodes", 2, neutral=False, neutral_rating="16 A"),
        ("error", "node.neutral_absent", "nodes[2].neutral_rating"),
    ),
    "transformer phases": (
        put("nodes", 2, phases=["L1"], transformer={"group": "Dyn11", "rated": "20 kVA", "secondary_voltage": "230/400 V"}),
        ("error", "transformer.phases", "nodes[2].transformer"),
    ),
    "head cable": (put("nodes", 0, cable={"r": "1 mohm", "x": "1 mohm"}), ("error", "node.head_impedance", "nodes[0].cable")),
    "limits unmeasured": (
        both(lambda d: d["meters"].pop(2), put("nodes", 2, harmonic_limits={})),
        ("warning", "harmonic.limit_unmeasured", "nodes[2].harmonic_limits"),
    ),
    "limits above zones": (
        both(add("zones", {"id": "z", "heads": ["pdu-a1", "feed-b"]}), put("nodes", 0, harmonic_limits={})),
        ("warning", "harmonic.limit_above_zones", "nodes[0].harmonic_limits"),
    ),
    "two current limits": (
        put("nodes", 1, harmonic_limits={"tdd": "8 %", "isc_il": 30.0}),
        ("warning", "harmonic.limit_twice", "nodes[1].harmonic_limits.isc_il"),
    ),
    "demand over breaker": (
        put("nodes", 1, harmonic_limits={"demand": "64 A"}),
        ("warning", "harmonic.demand_over_breaker", "nodes[1].harmonic_limits.demand"),
    ),
    "late filter": (
        # at 50 Hz 150 µs are 2.7° of a cycle, 29.7° of the 11th harmonic's: 2·sin(14.85°) = 51 % of it would be left
        put("mims", 0, harmonic_filter={"orders": [3, 5, 11, 13], "timing_error": "150 us"}),
        ("warning", "harmonic.filter_late", "mims[0].harmonic_filter.timing_error"),
    ),
    "useless filter": (
        put("mims", 0, harmonic_filter={"orders": [11, 13], "timing_error": "1 ms"}),
        ("error", "harmonic.filter_useless", "mims[0].harmonic_filter.timing_error"),
    ),
    "filter without registers": (
        put("mims", 0, profile="sma/sunny_island", harmonic_filter={}),
        ("error", "harmonic.filter_profile", "mims[0].harmonic_filter"),
    ),
    "cable without x": (put("nodes", 1, cable={"r": "1 mohm"}), ("error", "cable.incomplete", "nodes[1].cable")),
    "cable both ways": (
        put("nodes", 1, cable={"r": "1 mohm", "x": "1 mohm", "length": "5 m"}),
        ("error", "cable.incomplete", "nodes[1].cable"),
    ),
    "weights": (lambda d: [n.update(balance_weight=0) for n in d["nodes"]], ("error", "node.weights_zero", "nodes")),
    "child breaker": (put("nodes", 3, rating="80 A"), ("warning", "rating.child_larger", "nodes[3].rating")),
    "small transformer": (
        put("nodes", 1, transformer={"group": "Dyn11", "rated": "10 kVA", "secondary_voltage": "230/400 V"}),
        ("warning", "rating.transformer_small", "nodes[1].transformer.rated"),
    ),
    "zero rating": (put("nodes", 3, rating="0 A"), ("error", "value.range", "nodes[3].rating")),
    "big port": (put("mims", 0, rating_va=8000), ("error", "rating.port_over_breaker", "mims[0].ports[0]")),
    "no measurement": (lambda d: d["meters"].pop(0), ("error", "node.no_measurement", "nodes[0]")),
    "address": (put("mims", 0, unit=1), ("error", "device.address_twice", "mims[0].unit")),
    "endpoint": (put("links", 1, port=15020), ("error", "link.endpoint_twice", "links[1].port")),
    "endpoint of two registered ports": (
        both(put("links", 0, host="192.0.2.9", port=502), add("links", {"id": "third", "host": "192.0.2.9"})),
        ("error", "link.endpoint_twice", "links[4].port"),
    ),
    "direction of a network": (put("links", 0, rs485={"rts_on_send": "high"}), ("error", "link.rtu", "links[0].rs485")),
    "TLS without files": (put("links", 0, type="modbus_tls"), ("error", "link.tls", "links[0]")),
    "files without TLS": (
        put("links", 0, tls={"ca": "a.pem", "certificate": "b.pem", "key": "c.pem"}),
        ("error", "link.tls", "links[0].tls"),
    ),
    "TLS files": (
        put("links", 0, type="modbus_tls", tls={"ca": "site.yaml", "certificate": "b.pem", "key": "site.yaml"}),
        ("warning", "link.tls_file", "links[0].tls.certificate"),
    ),
    "plain": (put("links", 1, host="10.0.0.7"), ("warning", "link.plain_writes", "links[1]")),
    "phase map": (put("meters", 0, phase_map=["L1", "L1", "L2"]), ("error", "meter.phase_map", "meters[0].phase_map")),
    "short phase map": (put("meters", 0, phase_map=["L1"]), ("error", "meter.phase_map", "meters[0].phase_map")),
    "sign": (put("meters", 0, sign=0), ("error", "value.choice", "meters[0].sign")),
    "two meters": (put("meters", 3, node="rack-a1-1"), ("warning", "meter.node_twice", "meters[3].node")),
    "port without node": (drop("mims", 0, "node"), ("error", "port.incomplete", "mims[0].ports[0]")),
    "port without rating": (drop("mims", 0, "rating_va"), ("error", "port.incomplete", "mims[0].ports[2]")),
    "port phase": (put("nodes", 2, phases=["L1", "L2"]), ("error", "port.phase_missing", "mims[0].ports[2]")),
    "line-to-line port phase": (
        both(put("nodes", 2, phases=["L1", "L2"]), put("mims", 0, ports=["L1L2", "L3L1"])),
        ("error", "port.phase_missing", "mims[0].ports[1]"),
    ),
    "port neutral": (put("nodes", 2, neutral=False), ("error", "port.no_neutral", "mims[0].ports[0]")),
    "profile": (put("meters", 0, profile="acme/nothing"), ("error", "profile.unknown", "meters[0].profile")),
    "timezone": (lambda d: d["site"].update(timezone="Mars/Base"), ("error", "site.timezone", "site.timezone")),
    "nested zones": (
        add("zones", *ZONES, {"id": "zc", "heads": ["pdu-a1"]}),
        ("error", "zone.overlap", "zones[2].heads[0]"),
    ),
    "zone of a part": (
        both(
            put("meters", 1, node="rack-a1-1"), add("zones", {"id": "za", "heads": ["feed-b"]}, {"id": "zc", "heads": ["pdu-a1"]})
        ),
        ("error", "zone.head_unmetered", "zones[1].heads[0]"),
    ),
    "same head": (add("zones", *ZONES, {"id": "zc", "heads": ["feed-a"]}), ("error", "zone.overlap", "zones[2].heads[0]")),
    "two zones": (
        both(add("zones", *ZONES), put("mims", 0, ports=["L1", {"node": "rack-b1-1", "connection": "L1"}])),
        ("error", "mim.zone_split", "mims[0]"),
    ),
    "no zone": (only_feed_a, ("warning", "mim.no_zone", "mims[2]")),
    "validity": (put("mims", 0, validity="2.9 s"), ("error", "mim.validity_short", "mims[0].validity")),
    "hold": (put("mims", 0, expiry_action="hold"), ("error", "mim.expiry_hold", "mims[0].expiry_action")),
    "two batteries": (
        lambda d: d["batteries"].append({**d["batteries"][0], "id": "battery-2"}),
        ("error", "battery.mim_twice", "batteries[1].mim"),
    ),
    "reserve": (put("batteries", 0, reserve="95 %"), ("error", "battery.reserve", "batteries[0].reserve")),
    "battery power": (put("batteries", 0, max_charge="7 kW"), ("warning", "battery.power", "batteries[0].max_charge")),
    "window": (
        add("rules", {"id": "r", "window": {"start": "02:30", "end": "05:00"}}),
        ("info", "rule.window_clock_change", "rules[0].window.start"),
    ),
    "data age": (
        both(
            add("zones", {"id": "z", "heads": ["feed-a", "feed-b"], "cycle": "3 s"}),
            lambda d: d.update(control={"max_data_age": "2 s"}),
        ),
        ("error", "control.data_age", "control.max_data_age"),
    ),
    "data age of the zone that nobody named": (
        lambda d: d.update(control={"max_data_age": "900 ms"}),
        ("error", "control.data_age", "control.max_data_age"),
    ),
    "voltage band": (lambda d: d.update(control={"min_voltage": "110 %"}), ("error", "value.range", "control.min_voltage")),
    "MIM with the profile of a meter": (
        put("mims", 0, profile="schneider/iem3155"),
        ("error", "mim.no_setpoints", "mims[0].profile"),
    ),
    "ports of a profile": (put("mims", 0, profile="sma/sunny_island"), ("error", "mim.profile_ports", "mims[0].ports")),
    "SunSpec profile that is only watched": (
        put("mims", 0, profile="solaredge/inverter", ports=["3ph"]),
        ("error", "mim.no_setpoints", "mims[0].profile"),
    ),
    "ports of a SunSpec profile": (
        put("mims", 0, profile="fronius/gen24", ports=["L1", "L2"]),
        ("error", "mim.profile_ports", "mims[0].ports"),
    ),
    "inverter as a meter": (put("meters", 0, profile="huawei/sun2000"), ("warning", "meter.injects", "meters[0].profile")),
    "sign turned by profile and site": (
        put("meters", 0, profile="solaredge/meter", sign=-1),
        ("warning", "meter.sign_twice", "meters[0].sign"),
    ),
    "deaf profile": (put("mims", 0, profile="sungrow/sh", ports=["3ph"]), ("warning", "mim.no_failsafe", "mims[0].profile")),
    "huge breaker": (put("nodes", 0, rating_a=1e6), ("warning", "plausible.breaker", "nodes[0].rating_a")),
    "milliamperes": (put("nodes", 2, rating="32 mA"), ("warning", "plausible.breaker", "nodes[2].rating")),
    "megavolts": (lambda d: d["site"].update(voltage="230 kV LN"), ("warning", "plausible.voltage", "site.voltage")),
    "secondary voltage": (
        put("nodes", 1, transformer={"group": "Dyn11", "rated": "90 kVA", "secondary_voltage": "23 V LN"}),
        ("warning", "plausible.voltage", "nodes[1].transformer.secondary_voltage"),
    ),
    "aircraft": (lambda d: d["site"].update(frequency="400 Hz"), ("warning", "plausible.frequency", "site.frequency")),
    "between two grids": (lambda d: d["site"].update(frequency="55 Hz"), ("warning", "plausible.frequency", "site.frequency")),
    "battery for a second": (
        lambda d: d.update(
            batteries=[{"id": "b", "mim": "mim-a1-1", "capacity": "1 Wh", "max_charge": "3 kW", "max_discharge": "3 kW"}]
        ),
        ("warning", "plausible.battery", "batteries[0].capacity"),
    ),
    "losses in kilowatts": (put("mims", 0, losses={"standby": "5 kW"}), ("warning", "plausible.mim", "mims[0].losses")),
    "neutral of milliamperes": (put("mims", 0, neutral_rating="10 mA"), ("warning", "plausible.mim", "mims[0].neutral_rating")),
    "ramp of hours": (put("mims", 0, ramp="0.1 W/s"), ("warning", "plausible.mim", "mims[0].ramp")),
    "a share for percent": (put("mims", 0, authority="0.25 %"), ("warning", "plausible.mim", "mims[0].authority")),
    "an hour without anybody": (put("mims", 0, validity="1 h"), ("warning", "plausible.mim", "mims[0].validity")),
    "a hundredth of a breaker": (
        put("nodes", 1, continuous_factor=0.01),
        ("warning", "plausible.node", "nodes[1].continuous_factor"),
    ),
    "a neutral for signals": (put("nodes", 1, neutral_rating="1 A"), ("warning", "plausible.node", "nodes[1].neutral_rating")),
    # 63 A · 5 ohm = 315 V
    "a cable that burns": (put("nodes", 1, cable={"r": "5 ohm", "x": "3 mohm"}), ("warning", "plausible.cable", "nodes[1].cable")),
    "a patient link": (put("links", 1, timeout="30 s"), ("warning", "link.timeout_long", "links[1].timeout")),
    "a patient zone": (lambda d: d.update(control={"hold_cycles": 600}), ("warning", "control.patience", "control.hold_cycles")),
    "measured long ago": (
        lambda d: d.update(control={"max_data_age": "1 h"}),
        ("warning", "control.patience", "control.max_data_age"),
    ),
    "a hasty site level": (
        lambda d: d.update(control={"site_period": "0.1 s"}),
        ("warning", "control.site_period", "control.site_period"),
    ),
    "tiny port": (put("mims", 0, rating_va=2.0), ("warning", "plausible.port", "mims[0].ports[0]")),
    "one phase": (put("mims", 0, ports=["L1", "L1", "L1"]), ("warning", "mim.one_phase", "mims[0].ports")),
    "no MIM": (lambda d: d.update(mims=[], batteries=[]), ("warning", "site.no_mim", "site")),
    "load over its breaker": (load(typical="8 kW"), ("warning", "load.over_breaker", "twin.loads[0].typical")),
    "loads over a breaker above": (put("nodes", 1, rating_a=3), ("warning", "load.over_breaker", "nodes[1].rating_a")),
    "load phase": (
        both(put("nodes", 2, phases=["L2", "L3"]), put("mims", 0, ports=["L2"])),
        ("error", "load.phase_missing", "twin.loads[0].connection"),
    ),
    "load neutral": (
        both(put("nodes", 2, neutral=False), put("mims", 0, ports=["L1L2"])),
        ("error", "load.no_neutral", "twin.loads[0].connection"),
    ),
    "column": (
        lambda d: [x.update(column="c1") for x in d["twin"]["loads"][:2]],
        ("error", "load.column_twice", "twin.loads[1].column"),
    ),
    "power factor": (load(power_factor=0), ("error", "load.power_factor", "twin.loads[0].power_factor")),
    "spectrum": (load(spectrum="psu"), ("error", "load.spectrum", "twin.loads[0].spectrum")),
}


@pytest.mark.parametrize("name", CASES)
def test_each_mistake_is_found_at_its_place(tmp_path, name):
    bend, expected = CASES[name]
    assert expected in found(tmp_path, bend)


def test_the_unbent_site_has_no_problem(tmp_path):
    assert found(tmp_path, lambda data: None) == []


ONLY_ONE = [
    "MIM and meter",
    "own parent",
    "child breaker",
    "address",
    "endpoint",
    "plain",
    "hold",
    "reserve",
    "profile",
    "spectrum",
    "nested zones",
    "MIM with the profile of a meter",
    "huge breaker",
    "aircraft",
    "one phase",
    "no MIM",
    "load over its breaker",
]


@pytest.mark.parametrize("name", ONLY_ONE)
def test_one_mistake_is_one_problem(tmp_path, name):
    bend, expected = CASES[name]
    assert found(tmp_path, bend) == [expected]


@pytest.mark.parametrize(
    "bend",
    [
        put("mims", 0, expiry_action="hold", accept_hold=True),
        put("links", 1, host="10.0.0.7", isolated=True),
        put("links", 1, host="::1"),
        put("nodes", 2, neutral=False, transformer={"group": "Dyn11", "rated": "30 kVA", "secondary_voltage": "230/400 V"}),
        add("rules", {"id": "r", "window": {"start": "22:00", "end": "06:00"}}),
        add("rules", {"id": "r", "window": {"start": "02:00", "end": "02:00"}}),  # all day: its ends never matter
        add("zones", *ZONES),
        lambda d: d["site"].update(frequency="60 Hz", voltage="277/480 V"),
        # from feed to feed: the same phase on both sides is a way to move power
        put("mims", 0, ports=["L1", {"node": "rack-b1-1", "connection": "L1"}]),
        put("mims", 1, profile="sungrow/sh", ports=["3ph"], accept_hold=True),
        put("mims", 1, profile="sungrow/sh", ports=["3ph"], authority="50 %"),
    ],
)
def test_what_is_meant_is_accepted(tmp_path, bend):
    assert not [p for p in found(tmp_path, bend) if p[1] not in {"port.no_neutral", "load.no_neutral"}]


def test_a_zone_below_a_feed_needs_a_meter_at_its_head_and_no_more(tmp_path):
    data = base()
    data["zones"] = [{"id": "za", "heads": ["pdu-a1"]}, {"id": "zb", "heads": ["feed-b"]}]
    site, problems = check_site(write_site(tmp_path, data))
    assert not [p for p in problems if p.severity == "error"]
    assert site is not None
    data["meters"] = [m for m in data["meters"] if m["node"] != "pdu-a1"]
    _, problems = check_site(write_site(tmp_path, data))
    (problem,) = (p for p in problems if p.code == "zone.head_unmetered")
    assert problem.message == (
        "nothing measures 'pdu-a1', so its zone cannot be held to its share of 'feed-a': "
        "add a meter with 'node: pdu-a1', or name a metered node as head"
    )


def test_messages_name_the_likely_meaning(tmp_path):
    data = base()
    data["meters"][0]["node"] = "feed-aa"
    data["mims"][0]["expiry_action"] = "zer"
    data["nodes"][2]["paren"] = data["nodes"][2].pop("parent")
    _, problems = check_site(write_site(tmp_path, data))
    text = "\n".join(p.message for p in problems)
    for meant in ("'feed-a'", "'zero'", "'parent'"):
        assert f"(did you mean {meant}?)" in text


def test_shape_errors_do_not_hide_dangling_references(tmp_path):
    def bend(data: dict[str, Any]) -> None:
        data["nodes"][2]["rating"] = 32  # no unit
        data["mims"][0]["prots"] = data["mims"][0].pop("ports")
        data["mims"][2]["link"] = "gw-x"
        data["links"][0]["port"] = 70000
        data["twin"]["loads"][5]["node"] = "rack-x"

    codes = {(code, path) for _, code, path in found(tmp_path, bend)}
    assert codes == {
        ("quantity.no_unit", "nodes[2].rating"),
        ("key.unknown", "mims[0].prots"),
        ("reference.unknown", "mims[2].link"),
        ("value.range", "links[0].port"),
        ("reference.unknown", "twin.loads[5].node"),
    }


def test_a_misspelt_section_is_one_problem(tmp_path):
    def bend(data: dict[str, Any]) -> None:
        data["nodez"] = data.pop("nodes")
        data["meters"][0]["link"] = "gw-x"

    assert [p[1:] for p in found(tmp_path, bend)] == [("reference.unknown", "meters[0].link"), ("key.unknown", "nodez")]


def test_every_check_says_its_code():
    for check in checks.CHECKS:
        assert check.__doc__
        assert check.__doc__.startswith("`")


def test_an_id_given_twice_says_where_the_first_one_is(tmp_path):
    data = site_dict()
    data["nodes"].append(dict(data["nodes"][-1]))
    _, problems = check_site(write_site(tmp_path, data))
    (twice,) = (p for p in problems if p.code == "id.duplicate")
    assert f"(nodes[{len(data['nodes']) - 2}]); choose another id" in twice.message
