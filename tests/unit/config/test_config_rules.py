"""Rules in site files: how they are read, and one bent site per problem code of theirs."""

from __future__ import annotations

from datetime import date, time
from typing import Any

import pytest

from mimctl.config.site import check_site
from mimctl.model.rules import (
    Condition,
    HarmonicRule,
    LimitRule,
    LockRule,
    Place,
    RampRule,
    RelianceRule,
    ReserveRule,
    Watched,
    Window,
)
from site_factory import site_dict, write_site

ZONES = [{"id": "za", "heads": ["feed-a"]}, {"id": "zb", "heads": ["feed-b"]}]
NIGHT = {"start": "22:00", "end": "06:00"}


def base(*rules: dict[str, Any], zones: bool = True) -> dict[str, Any]:
    data = site_dict(racks=4, feeds=2, battery=True)
    data["site"]["timezone"] = "UTC"
    if zones:
        data["zones"] = ZONES
    data["rules"] = [dict(rule) for rule in rules]
    return data


def found(tmp_path, *rules: dict[str, Any], zones: bool = True) -> list[tuple[str, str, str]]:
    _, problems = check_site(write_site(tmp_path, base(*rules, zones=zones)))
    assert all(p.line > 0 and p.column > 0 for p in problems)
    return [(p.severity.value, p.code, p.path) for p in problems]


def read(tmp_path, *rules: dict[str, Any]):
    site, problems = check_site(write_site(tmp_path, base(*rules)))
    assert [str(p) for p in problems] == []
    return site


def rule(kind: str, **values: Any) -> dict[str, Any]:
    return {"id": kind, "type": kind, **values}


def watching(above: Any = "20 A", **values: Any) -> dict[str, Any]:
    return {"quantity": "current", "node": "pdu-a1", "above": above, **values}


def test_every_type_is_read(tmp_path):
    site = read(
        tmp_path,
        rule("limit", feeds=["A"], max="30 A", max_neutral="10 A", min_import="100 W"),
        rule("limit", id="share", feeds=["A"], max_load="40 %"),
        rule("limit", id="power", feeds=["A"], max_import="6 kW"),
        rule("reserve", zones=["za"], rating="20 %", soc="50 %", spare_mims=1),
        rule("ramp", mims=["mim-a1-1"], max="200 W/s"),
        rule("ramp", id="amps", mims=["mim-a1-1"], max_current="2 A/s"),
        rule("lock", nodes=["rack-b1-1"], window={"days": ["sat", "sun"], "first_day": "2026-03-01", "last_day": "2026-04-30"}),
        rule("harmonic", nodes=["pdu-a1"], max_share="50 %", reserve="0 %", thd_v="5 %", tdd="8 %"),
        rule("reliance", nodes=["pdu-b1"], max="5 A", max_per_day="30 min", window=NIGHT),
    )
    at_head, night = Place(nodes=("feed-a",)), Window(start=time(22), end=time(6))
    days = Window((5, 6), first_day=date(2026, 3, 1), last_day=date(2026, 4, 30))
    assert site.restraints == (
        LimitRule(id="limit", place=at_head, max_a=30.0, max_neutral_a=10.0, min_import_w=100.0),
        LimitRule(id="share", place=at_head, max_pct=40.0),
        LimitRule(id="power", place=at_head, max_import_w=6000.0),
        ReserveRule(id="reserve", place=Place(zones=("za",)), rating_pct=20.0, soc_pct=50.0, spare_mims=1),
        RampRule(id="ramp", place=Place(mims=("mim-a1-1",)), max_w_per_s=200.0),
        RampRule(id="amps", place=Place(mims=("mim-a1-1",)), max_a_per_s=2.0),
        LockRule(id="lock", place=Place(nodes=("rack-b1-1",)), window=days),
        HarmonicRule(
            id="harmonic", place=Place(nodes=("pdu-a1",)), max_share_pct=50.0, reserve_pct=0.0, thd_v_pct=5.0, tdd_pct=8.0
        ),
        RelianceRule(id="reliance", place=Place(nodes=("pdu-b1",)), window=night, max_a=5.0, max_s_per_day=1800.0),
    )
    assert [r.id for r in site.rules] == ["balance"], "where no rule balances, everything is balanced always"


@pytest.mark.parametrize(
    ("when", "meant"),
    [
        (watching(), Condition(Watched.CURRENT, 20.0, True, 19.0, "pdu-a1")),
        (
            watching("20 A", clear_at="12 A", **{"for": "2 min"}),
            Condition(Watched.CURRENT, 20.0, True, 12.0, "pdu-a1", None, 120.0),
        ),
        (
            {"quantity": "voltage", "feed": "A", "below": "210 V"},
            Condition(Watched.VOLTAGE, 210.0, False, pytest.approx(220.5), "feed-a"),
        ),
        (
            {"quantity": "soc", "battery": "battery-1", "below": "30 %", "clear_at": "40 %"},
            Condition(Watched.SOC, 30.0, False, 40.0, None, "battery-1"),
        ),
        ({"quantity": "imbalance", "above": 0.01}, Condition(Watched.IMBALANCE, 0.01, True, pytest.approx(0.0095))),
        # a tenth of a kilowatt flows back: 5 % on the other side is nearer to zero
        (
            {"quantity": "active_power", "node": "pdu-a1", "below": "-100 W"},
            Condition(Watched.ACTIVE_POWER, -100.0, False, -95.0, "pdu-a1"),
        ),
    ],
)
def test_a_condition_with_its_hysteresis(tmp_path, when, meant):
    site = read(tmp_path, rule("lock", zones=["za"], when=when))
    assert site.restraints[0].when == meant


def test_a_balance_rule_takes_a_condition_too(tmp_path):
    site = read(tmp_path, {"id": "b", "zones": ["za"], "when": watching()}, {"id": "c", "zones": ["zb"]})
    assert [r.when is not None for r in site.rules] == [True, False]


LOCK = rule("lock", zones=["za"])

CASES: dict[str, tuple[list[dict[str, Any]], tuple[str, str, str]]] = {
    "type": ([rule("limits", max="3 A")], ("error", "value.choice", "rules[0].type")),
    "key of another type": ([rule("lock", mims=["mim-a1-1"], max="3 A")], ("error", "key.unknown", "rules[0].max")),
    "unknown node": ([rule("limit", nodes=["pdu"], max="3 A")], ("error", "reference.unknown", "rules[0].nodes[0]")),
    "unknown feed": ([rule("limit", feeds=["C"], max="3 A")], ("error", "reference.unknown", "rules[0].feeds[0]")),
    "unknown zone": ([rule("lock", zones=["z"])], ("error", "reference.unknown", "rules[0].zones[0]")),
    "unknown MIM": ([rule("lock", mims=["m"])], ("error", "reference.unknown", "rules[0].mims[0]")),
    "unknown node of a condition": (
        [LOCK | {"when": watching(node="pdu")}],
        ("error", "reference.unknown", "rules[0].when.node"),
    ),
    "unknown battery": (
        [LOCK | {"when": {"quantity": "soc", "battery": "b", "below": "3 %"}}],
        ("error", "reference.unknown", "rules[0].when.battery"),
    ),
    "same id": ([LOCK, rule("ramp", id="lock", max="2 W/s")], ("error", "id.duplicate", "rules[1].id")),
    "more than all": ([rule("reserve", rating="120 %")], ("error", "value.range", "rules[0].rating")),
    "no date": ([LOCK | {"window": {"first_day": "1.3.2026"}}], ("error", "value.invalid", "rules[0].window.first_day")),
    "dates backwards": (
        [LOCK | {"window": {"first_day": "2026-03-02", "last_day": "2026-03-01"}}],
        ("error", "rule.window_never", "rules[0].window.last_day"),
    ),
    "no such day": (  # Monday to Friday
        [LOCK | {"window": {"days": ["sat"], "first_day": "2026-03-02", "last_day": "2026-03-06"}}],
        ("error", "rule.window_never", "rules[0].window.days"),
    ),
    "empty limit": ([rule("limit", nodes=["pdu-a1"])], ("error", "rule.empty", "rules[0]")),
    "empty reserve": ([rule("reserve")], ("error", "rule.empty", "rules[0]")),
    "empty ramp": ([rule("ramp")], ("error", "rule.empty", "rules[0]")),
    "empty harmonic": ([rule("harmonic")], ("error", "rule.empty", "rules[0]")),
    "inside": (
        [rule("limit", nodes=["pdu-a1"], min_import="1 kW")],
        ("error", "rule.min_import_place", "rules[0].min_import"),
    ),
    "no MIM there": ([rule("lock", nodes=["rack-b1-2"])], ("warning", "rule.no_mim", "rules[0]")),
    "all spare": ([rule("reserve", zones=["za"], spare_mims=2)], ("error", "rule.reserve_all", "rules[0].spare_mims")),
    "all free": ([rule("reserve", rating="100 %")], ("warning", "rule.reserve_all", "rules[0].rating")),
    "never discharged": ([rule("reserve", soc="95 %")], ("error", "rule.reserve_all", "rules[0].soc")),
    "charge kept anyway": ([rule("reserve", soc="20 %")], ("warning", "rule.no_effect", "rules[0].soc")),
    # 63 A · 0.8 = 50.4 A
    "limit above the rating": ([rule("limit", nodes=["pdu-a1"], max="51 A")], ("warning", "rule.no_effect", "rules[0].max")),
    "share above the rating": ([rule("limit", nodes=["pdu-a1"], max="80 %")], ("error", "quantity.unit", "rules[0].max")),
    "share of the rating": ([rule("limit", nodes=["pdu-a1"], max_load="80 %")], ("warning", "rule.no_effect", "rules[0].max_load")),
    "neutral above the rating": (
        [rule("limit", nodes=["pdu-a1"], max_neutral="63 A")],
        ("warning", "rule.no_effect", "rules[0].max_neutral"),
    ),
    # 50.4 A · 230 V = 11 592 W
    "import above the rating": (
        [rule("limit", nodes=["pdu-a1"], max_import="11.6 kW")],
        ("warning", "rule.no_effect", "rules[0].max_import"),
    ),
    # 10 A · 230 V = 2 300 W
    "least above most": (
        [rule("limit", feeds=["A"], min_import="2.4 kW", max="10 A")],
        ("error", "rule.contradiction", "rules[0].min_import"),
    ),
    "least above most of another": (
        [rule("limit", zones=["za"], min_import="2.4 kW", window=NIGHT), rule("limit", id="l", nodes=["feed-a"], max="10 A")],
        ("error", "rule.contradiction", "rules[0].min_import"),
    ),
    "least above most, sometimes": (
        [rule("limit", feeds=["A"], min_import="2.4 kW", when=watching()), rule("limit", id="l", feeds=["A"], max="10 A")],
        ("warning", "rule.contradiction", "rules[0].min_import"),
    ),
    # 63 A · 60 % = 37.8 A at 230 V
    "a share beside a smaller current": (
        [rule("limit", nodes=["pdu-a1"], max="20 A", max_load="60 %")],
        ("warning", "rule.said_twice", "rules[0].max_load"),
    ),
    "a current beside a smaller power": (
        [rule("limit", nodes=["pdu-a1"], max="20 A", max_import="3 kW")],
        ("warning", "rule.said_twice", "rules[0].max"),
    ),
    "two ramps": ([rule("ramp", max="200 W/s", max_current="1 A/s")], ("warning", "rule.said_twice", "rules[0].max_current")),
    "no current at all": ([rule("limit", nodes=["pdu-a1"], max="0 A")], ("warning", "rule.limit_zero", "rules[0].max")),
    "distortion that nobody may filter": (
        [rule("harmonic", max_share="0 %", thd_v="3 %")],
        ("warning", "rule.contradiction", "rules[0].thd_v"),
    ),
    "reliance on nothing for a while": (
        [rule("reliance", nodes=["pdu-a1"], max_per_day="1 h")],
        ("warning", "rule.no_effect", "rules[0].max_per_day"),
    ),
    "reliance for no time": (
        [rule("reliance", nodes=["pdu-a1"], max="5 A", max_per_day="0 s")],
        ("warning", "rule.no_effect", "rules[0].max"),
    ),
    # 63 A · 0.2 = 12.6 A
    "reliance beyond the breaker": (
        [rule("reliance", nodes=["pdu-a1"], max="13 A")],
        ("warning", "rule.no_effect", "rules[0].max"),
    ),
    # 2 kVA / 230 V = 8.7 A
    "a deadband that no port leaves": ([{"id": "b", "deadband": "9 A"}], ("warning", "rule.deadband_all", "rules[0].deadband")),
    "nothing counts": (
        [{"id": "b", "zones": ["zb"], "weights": {"feed-b": 0, "pdu-b1": 0, "rack-b1-1": 0, "rack-b1-2": 0}}],
        ("warning", "rule.weights", "rules[0].weights"),
    ),
    "one node alone counts": ([{"id": "b", "weights": {"feed-a": 1e6}}], ("warning", "rule.weights", "rules[0].weights.feed-a")),
    "a load that no breaker carries": (
        [LOCK | {"when": watching("500 %", quantity="load")}],
        ("warning", "rule.condition_never", "rules[0].when.above"),
    ),
    "a current that no breaker carries": (
        [LOCK | {"when": watching("127 A")}],
        ("warning", "rule.condition_never", "rules[0].when.above"),
    ),
    "a voltage of the next level": (
        [LOCK | {"when": watching("4 kV", quantity="voltage")}],
        ("warning", "rule.condition_never", "rules[0].when.above"),
    ),
    "locked whenever balanced": (
        [{"id": "b", "zones": ["za"], "window": {"start": "23:00", "end": "05:00"}}, LOCK | {"window": NIGHT}],
        ("error", "rule.always_locked", "rules[0]"),
    ),
    "locked always": ([rule("lock")], ("error", "rule.always_locked", "rules")),
    "locked piece by piece": (
        [
            {"id": "b", "zones": ["za"]},
            rule("lock", id="l1", mims=["mim-a1-1"]),
            rule("lock", id="l2", nodes=["rack-a1-2"], window={"start": "00:00", "end": "12:00"}),
            rule("lock", id="l3", nodes=["rack-a1-2"], window={"start": "12:00", "end": "00:00"}),
        ],
        ("error", "rule.always_locked", "rules[0]"),
    ),
    "never taken": (
        [{"id": "a"}, {"id": "b", "zones": ["za"], "window": NIGHT}],
        ("warning", "rule.never_taken", "rules[1]"),
    ),
    "twice": ([rule("ramp", max="2 W/s"), rule("ramp", id="r", max="2 W/s")], ("warning", "rule.twice", "rules[1]")),
    "no threshold": ([LOCK | {"when": watching(None)}], ("error", "rule.condition_threshold", "rules[0].when")),
    "two thresholds": ([LOCK | {"when": watching(below="3 A")}], ("error", "rule.condition_threshold", "rules[0].when")),
    "hysteresis backwards": (
        [LOCK | {"when": watching(clear_at="21 A")}],
        ("error", "rule.condition_threshold", "rules[0].when.clear_at"),
    ),
    "unit of another quantity": ([LOCK | {"when": watching("20 V")}], ("error", "quantity.unit", "rules[0].when.above")),
    "no unit": ([LOCK | {"when": watching(20)}], ("error", "quantity.no_unit", "rules[0].when.above")),
    "J has no unit": (
        [LOCK | {"when": {"quantity": "imbalance", "above": "3 %"}}],
        ("error", "value.type", "rules[0].when.above"),
    ),
    "overcharged": (
        [LOCK | {"when": {"quantity": "soc", "battery": "battery-1", "above": "100 %"}}],
        ("warning", "rule.condition_never", "rules[0].when.above"),
    ),
    "less than nothing": (
        [LOCK | {"when": {"quantity": "current", "node": "pdu-a1", "below": "0 A"}}],
        ("warning", "rule.condition_never", "rules[0].when.below"),
    ),
    "nowhere": ([LOCK | {"when": watching(node=None)}], ("error", "rule.condition_where", "rules[0].when")),
    "charge of a node": (
        [LOCK | {"when": watching("20 %", quantity="soc")}],
        ("error", "rule.condition_where", "rules[0].when"),
    ),
    "current of a battery": (
        [LOCK | {"when": watching(node=None, battery="battery-1")}],
        ("error", "rule.condition_where", "rules[0].when.battery"),
    ),
    "node and feed": ([LOCK | {"when": watching(feed="A")}], ("error", "rule.condition_where", "rules[0].when.feed")),
    "measured elsewhere": (
        [rule("lock", zones=["zb"], when=watching())],
        ("error", "rule.condition_elsewhere", "rules[0].when.node"),
    ),
    "charge of elsewhere": (
        [rule("lock", zones=["zb"], when={"quantity": "soc", "battery": "battery-1", "below": "30 %"})],
        ("error", "rule.condition_elsewhere", "rules[0].when.battery"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_mistake_is_found_at_its_place(tmp_path, name):
    rules, expected = CASES[name]
    data = base(*rules)
    if name == "no MIM there":
        data["mims"].pop()
    _, problems = check_site(write_site(tmp_path, data))
    assert all(p.line > 0 and p.column > 0 for p in problems)
    assert expected in [(p.severity.value, p.code, p.path) for p in problems]


ONLY_ONE = [
    "type",
    "key of another type",
    "unknown node",
    "unknown node of a condition",
    "no date",
    "no such day",
    "empty limit",
    "inside",
    "limit above the rating",
    "least above most of another",
    "locked piece by piece",
    "locked always",
    "no threshold",
    "hysteresis backwards",
    "unit of another quantity",
    "measured elsewhere",
    "a share beside a smaller current",
    "two ramps",
    "reliance on nothing for a while",
    "a deadband that no port leaves",
    "a load that no breaker carries",
]


@pytest.mark.parametrize("name", ONLY_ONE)
def test_one_mistake_is_one_problem(tmp_path, name):
    rules, expected = CASES[name]
    codes = {code for _, code, _ in found(tmp_path, *rules)}
    assert codes == {expected[1]}


def above_zones(tmp_path, *rules):
    data = base(*rules)
    data["zones"] = [{"id": "za", "heads": ["pdu-a1"]}, {"id": "zb", "heads": ["feed-b"]}]
    _, problems = check_site(write_site(tmp_path, data))
    return [p for p in problems if p.code.startswith("rule")]


def test_above_the_zones_limits_act_and_nothing_else(tmp_path):
    at_feed = {"quantity": "current", "feed": "A", "above": "20 A"}
    assert above_zones(tmp_path, rule("limit", feeds=["A"], max="30 A", when=at_feed)) == []
    least, rests, ramp = above_zones(
        tmp_path,
        rule("limit", feeds=["A"], min_import="1 kW"),
        rule("reliance", nodes=["feed-a"]),
        rule("ramp", nodes=["feed-a"], max_current="1 A/s"),
    )
    assert (least.code, least.path) == ("rule.min_import_place", "rules[0].min_import")
    assert (rests.code, rests.path) == ("rule.outside_zones", "rules[1].nodes[0]")
    assert (ramp.code, ramp.path) == ("rule.outside_zones", "rules[2].nodes[0]")
    assert "'pdu-a1', 'feed-b'" in rests.message


def test_a_condition_for_what_is_above_the_zones_is_measured_there(tmp_path):
    (problem,) = above_zones(tmp_path, rule("limit", feeds=["A"], max="30 A", when=watching()))
    assert (problem.code, problem.path) == ("rule.condition_elsewhere", "rules[0].when.node")
    assert "above the zones" in problem.message


def test_a_condition_on_a_node_without_meter_is_warned_of(tmp_path):
    data = base(LOCK | {"when": watching()})
    data["meters"] = [m for m in data["meters"] if m["node"] != "pdu-a1"]
    _, problems = check_site(write_site(tmp_path, data))
    assert ("rule.condition_unmeasured", "rules[0].when.node") in [(p.code, p.path) for p in problems]


@pytest.mark.parametrize(
    "rules",
    [
        # one after the other
        [
            rule("limit", feeds=["A"], min_import="2.4 kW", window=NIGHT),
            rule("limit", id="l", feeds=["A"], max="10 A", window={"start": "06:00", "end": "22:00"}),
        ],
        # of two limits each is the smaller one somewhere: 60 % are 37.8 A of 63 A, and more than 100 A of the feed
        [rule("limit", nodes=["pdu-a1", "feed-a"], max="45 A", max_load="60 %")],
        # a MIM stays free
        [rule("lock", mims=["mim-a1-1"])],
        # a lock that may end at any time
        [LOCK | {"when": watching()}],
        # the first is not always open
        [{"id": "a", "window": NIGHT}, {"id": "b"}],
        [{"id": "a", "when": watching(), "zones": ["za"]}, {"id": "b"}],
        [rule("reserve", spare_mims=1)],
        # what several MIMs do together is no MIM's own ramp
        [rule("ramp", nodes=["pdu-a1"], max_current="5 A/s")],
    ],
)
def test_what_is_meant_is_accepted(tmp_path, rules):
    assert found(tmp_path, *rules) == []


def test_messages_say_how_to_mend(tmp_path):
    _, problems = check_site(write_site(tmp_path, base(rule("limit", feeds=["A"], min_import="2.4 kW", max="10 A"))))
    (problem,) = problems
    assert problem.message == (
        "at least 2400 W into each phase of 'feed-a', but its own upper limit leaves 2300 W; both are in force at once: "
        "change one figure or one window"
    )


def test_what_reaches_nothing_is_not_told_while_an_error_may_be_the_reason(tmp_path):
    data = base(rule("reserve", soc="50 %"), rule("lock", id="l", nodes=["rack-a1-1"]))
    for mim in data["mims"]:
        mim["ports"] = ["L1", "L2", "L4"]
    _, problems = check_site(write_site(tmp_path, data))
    assert {p.code for p in problems} == {"value.choice"}, "no advice to drop a rule that is right"


def test_a_rule_with_an_unknown_place_is_told_of_that_alone(tmp_path):
    assert found(tmp_path, rule("lock", nodes=["rack-a1-9"])) == [("error", "reference.unknown", "rules[0].nodes[0]")]
