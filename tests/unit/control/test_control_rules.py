"""The rule book: any set of rules only takes away, and each takes what it says where it says."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import START, rack_site, state_of

from mimctl.analysis.report import Analyst
from mimctl.control.authority.lease_bounds import lease_bounds
from mimctl.control.authority.scopes import Scopes
from mimctl.control.events import EventLog
from mimctl.control.limits import BoundsMaker
from mimctl.control.narrow import Situation
from mimctl.control.rulebook.rule_conditions import Answer
from mimctl.control.rulebook.rules import RuleBook
from mimctl.grid.tree import TreeOperators
from mimctl.model.clock import VirtualClock
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import SiteLayout
from mimctl.model.lease import Lease, LeaseSource, Setpoint
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
from mimctl.model.site import BalanceRule, Battery

SITE = replace(rack_site(3), batteries=(Battery("b", "mim-rack1", 5000.0, 1000.0, 1000.0),))
EVERYBODY = np.ones(3, dtype=bool)
#: own loads by node and phase [W]: feed, pdu, rack1, rack2, rack3
LOAD_W = np.array([[0, 0, 0], [0, 0, 0], [4600, 2300, 1150], [2300, 2300, 2300], [1150, 0, 4600]], dtype=float)
PDU = Place(nodes=("pdu",))


class Bench:
    """One zone without its cycle: rules in, bounds out."""

    def __init__(self, *rules, site=SITE, balance=None, load_w=LOAD_W, period_s=2.0):
        self.site = replace(site, restraints=rules, rules=site.rules if balance is None else balance)
        self.layout = SiteLayout(self.site)
        self.operators = TreeOperators(self.layout)
        self.clock = VirtualClock(START)
        self.events = EventLog(self.clock)
        self.book = RuleBook(self.operators, "z", period_s, 5.0, self.events)
        self.maker = BoundsMaker(self.layout, "z")
        self.load_w = load_w

    def situation(self, usable=EVERYBODY, known=True):
        flow = self.operators.flow(self.load_w.astype(complex))
        state = state_of(self.site, flow, good_nodes=np.full(len(self.layout.nodes), known))
        state = replace(state, now_s=self.clock.monotonic_s(), utc=self.clock.utc())
        report = Analyst(self.operators).report(state, detail=False)
        seen = np.full(len(self.layout.nodes), known)
        load = np.where(known, self.load_w, np.nan)
        return Situation(state, report, LoadForecast(load, 0 * load, seen, seen), np.zeros(len(self.layout.ports), complex), usable)

    def bounds(self, usable=EVERYBODY, known=True):
        """(without, with) the rules."""
        situation = self.situation(usable, known)
        idle = self.book.look(situation.state, situation.report)
        wide = self.maker.bounds(situation.state.utc, situation.setpoint_va, 2.0, obeying=usable, reported=usable, idle_rules=idle)
        return wide, self.book.narrow(wide, situation)

    def left(self, usable=EVERYBODY, known=True):
        return self.bounds(usable, known)[1]

    def wait(self, seconds):
        self.clock.advance_to(self.clock.monotonic_s() + seconds)
        return self


FIGURES = st.floats(0, 300)
MAYBE = st.none() | FIGURES
SHARES = st.floats(0, 100)
NODES, MIMS = [n.id for n in SITE.nodes], [m.id for m in SITE.mims]
PLACES = st.one_of(
    st.just(Place()),
    st.just(Place(zones=("z",))),
    st.lists(st.sampled_from(NODES), min_size=1, max_size=2, unique=True).map(lambda n: Place(nodes=tuple(n))),
    st.lists(st.sampled_from(MIMS), min_size=1, max_size=2, unique=True).map(lambda m: Place(mims=tuple(m))),
)
WHEN = st.none() | st.builds(
    Condition, st.sampled_from([Watched.CURRENT, Watched.LOAD]), FIGURES, st.booleans(), FIGURES, st.sampled_from(NODES)
)
COMMON = {"id": st.just(""), "place": PLACES, "when": WHEN}
RULES = st.lists(
    st.one_of(
        st.builds(LimitRule, **COMMON, max_a=MAYBE, max_pct=st.none() | SHARES, max_neutral_a=MAYBE, min_import_w=MAYBE),
        st.builds(ReserveRule, **COMMON, rating_pct=SHARES, soc_pct=st.none() | SHARES, spare_mims=st.integers(0, 4)),
        st.builds(RampRule, **COMMON, max_w_per_s=MAYBE, max_a_per_s=MAYBE),
        st.builds(LockRule, **COMMON),
        st.builds(HarmonicRule, **COMMON, max_share_pct=SHARES, reserve_pct=st.none() | SHARES, thd_v_pct=MAYBE),
        st.builds(RelianceRule, **COMMON, max_a=FIGURES, max_s_per_day=FIGURES),
    ),
    max_size=6,
).map(lambda rules: [replace(rule, id=f"r{n}") for n, rule in enumerate(rules)])


@given(RULES, st.lists(st.booleans(), min_size=3, max_size=3), st.booleans(), st.floats(0.2, 30))
def test_any_set_of_rules_only_takes_away(rules, usable, known, times):
    bench = Bench(*rules, load_w=times * LOAD_W)
    for _ in range(3):
        before, after = bench.wait(7).bounds(np.array(usable), known)
        for smaller in ("mim_enabled", "port_s_max_va", "mim_neutral_max_a", "mim_dc_w", "step_max_va", "node_limit_a"):
            assert (getattr(after, smaller) <= getattr(before, smaller)).all(), smaller
        assert (after.node_neutral_limit_a <= before.node_neutral_limit_a).all()
        assert (after.head_min_import_w >= before.head_min_import_w).all()
        assert (after.mim_release >= before.mim_release).all()
        assert not (after.mim_enabled & after.mim_release).any()
        assert (after.port_s_max_va >= 0).all()
        for same in ("weights", "deadband_a", "dwell_s", "upstream", "port_pinned_va"):
            assert getattr(after, same) is getattr(before, same), same
        if after.harmonics is not None:
            assert (after.harmonics.share_max <= 1).all()
            assert (after.harmonics.reserve_max <= 1).all()
        in_force = {state.id for state in bench.book.states() if state.in_force} - {"balance"}
        told = {r.reason.text.split(":")[0].removeprefix("rule ") for r in after.restrictions if r.reason.code.startswith("rule.")}
        assert in_force == told, "every rule in force is told, no other"


@given(RULES, st.randoms())
def test_the_order_of_rules_does_not_matter_but_for_spares_and_reliance(rules, random):
    rules = [rule for rule in rules if not isinstance(rule, RelianceRule) and not getattr(rule, "spare_mims", 0)]
    first, second = Bench(*rules).left(), Bench(*random.sample(rules, len(rules))).left()
    for name in ("mim_enabled", "mim_release", "port_s_max_va", "node_limit_a", "step_max_va", "head_min_import_w", "mim_dc_w"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


def test_without_rules_the_bounds_are_as_they_were():
    before, after = Bench().bounds()
    assert after is before


def test_a_limit_at_a_node_and_its_kinds():
    after = Bench(LimitRule(id="l", place=PDU, max_a=40.0, max_neutral_a=12.0)).left()
    assert after.node_limit_a[1].tolist() == [40, 40, 40]
    assert after.node_limit_a[0].tolist() == [320, 320, 320]
    assert after.node_neutral_limit_a.tolist() == [400, 12, 63, 63, 63]
    # a share of the breaker's rating (200 A), and 9 200 W at 230 V
    assert Bench(LimitRule(id="l", place=PDU, max_pct=30.0)).left().node_limit_a[1].tolist() == [60, 60, 60]
    assert Bench(LimitRule(id="l", place=PDU, max_import_w=9200.0)).left().node_limit_a[1] == pytest.approx([40, 40, 40])


def test_no_phase_is_held_below_the_mean_of_all_three():
    """20.7 kW on three phases are 30 A each, however they are spread: a limit below that would freeze everything."""
    bench = Bench(LimitRule(id="l", place=PDU, max_a=20.0))
    assert 30.0 < bench.left().node_limit_a[1, 0] < 32.0
    (event,) = bench.events.open()
    assert (event.code, event.where) == ("rule.limit_unattainable", "pdu")
    assert event.text == (
        "pdu cannot be kept at 20.0 A a phase (rule l): its load takes 30.0 A however it is spread over the phases; move load"
    )
    assert bench.left(known=False).node_limit_a[1, 0] == 20.0, "what is not known moves no limit"
    assert Bench(LimitRule(id="l", place=PDU, max_a=20.0), load_w=20 * LOAD_W).left().node_limit_a[1, 0] == 160, "the breaker's"


@pytest.mark.parametrize("place", [Place(), Place(zones=("z",)), Place(nodes=("feed",))])
def test_a_least_import_is_that_of_the_head(place):
    after = Bench(LimitRule(id="l", place=place, min_import_w=500.0)).left()
    assert after.head_min_import_w.tolist() == [500]
    assert Bench(LimitRule(id="l", place=place, min_import_w=-500.0)).left().head_min_import_w.tolist() == [0]


def test_a_reserve_of_the_ratings_scales_the_neutral_with_them():
    before, after = Bench(ReserveRule(id="r", place=Place(nodes=("rack1",)), rating_pct=25.0)).bounds()
    assert after.port_s_max_va.tolist() == [1500.0] * 3 + [2000.0] * 6
    assert after.mim_neutral_max_a / before.mim_neutral_max_a == pytest.approx([0.75, 1, 1])


def test_below_its_reserve_a_battery_is_not_discharged():
    rule = ReserveRule(id="r", soc_pct=60.0)  # the builder's batteries are at 60 %
    bench = Bench(rule)
    situation = bench.situation()
    wide, _ = bench.bounds()
    asked = replace(wide, mim_dc_w=np.array([500.0, 0.0, 0.0]))
    assert bench.book.narrow(asked, situation).mim_dc_w.tolist() == [0, 0, 0]
    charging = replace(wide, mim_dc_w=np.array([-500.0, 0.0, 0.0]))
    assert bench.book.narrow(charging, situation).mim_dc_w.tolist() == [-500, 0, 0]
    fuller = Bench(replace(rule, soc_pct=59.0))
    assert fuller.book.narrow(asked, fuller.situation()).mim_dc_w.tolist() == [500, 0, 0]


def test_a_spare_mim_rests_until_another_fails_and_is_not_relieved():
    bench = Bench(ReserveRule(id="r", spare_mims=1))
    assert bench.left().mim_enabled.tolist() == [True, True, False]
    assert bench.left().mim_release.tolist() == [False, False, True]
    without_first = np.array([False, True, True])
    assert bench.left(usable=without_first).mim_enabled.tolist() == [False, True, True], "it steps in"
    assert bench.left().mim_enabled.tolist() == [False, True, True], "who comes back is the spare"
    assert bench.left(usable=np.array([True, True, False])).mim_enabled.tolist() == [True, True, False]


def test_a_ramp_of_mims_and_of_what_a_node_sees():
    own = Bench(RampRule(id="r", place=Place(mims=("mim-rack2",)), max_w_per_s=100.0)).left()
    assert own.step_max_va.tolist() == [np.inf] * 3 + [200.0] * 3 + [np.inf] * 3, "two seconds between two plans"
    amperes = Bench(RampRule(id="r", place=Place(zones=("z",)), max_a_per_s=1.0)).left()
    assert amperes.step_max_va == pytest.approx([460.0] * 9)
    # three ports of 2 kVA on each phase share what the node may move: 2 s · 300 W/s / 3
    node = Bench(RampRule(id="r", place=PDU, max_w_per_s=300.0)).left()
    assert node.step_max_va == pytest.approx([200.0] * 9)
    rack = Bench(RampRule(id="r", place=Place(nodes=("rack1",)), max_a_per_s=2.0)).left()
    assert rack.step_max_va == pytest.approx([920.0] * 3 + [np.inf] * 6)


def test_no_ramp_holds_up_whoever_stands_below_a_breaker_that_is_over_its_limit():
    """20 A on L1 of rack1, the breaker of which has 16 A for hours now."""
    nodes = tuple(replace(n, rating_a=20.0) if n.id == "rack1" else n for n in SITE.nodes)
    bench = Bench(RampRule(id="r", max_w_per_s=100.0), site=replace(SITE, nodes=nodes))
    assert bench.left().step_max_va.tolist() == [np.inf] * 3 + [200.0] * 6


def test_no_ramp_holds_up_whoever_feeds_back():
    load_w = LOAD_W.copy()
    load_w[2, 0] = -8000.0
    assert np.isinf(Bench(RampRule(id="r", max_w_per_s=100.0), load_w=load_w).left().step_max_va).all()


def test_what_is_locked_is_given_back_and_only_an_operator_may_set_it():
    bench = Bench(LockRule(id="l", place=Place(nodes=("rack1",))))
    after = bench.left()
    assert after.mim_enabled.tolist() == [False, True, True]
    assert after.mim_release.tolist() == [True, False, False]
    for source, stands in ((LeaseSource.TENANT, False), (LeaseSource.BMS, False), (LeaseSource.OPERATOR, True)):
        wish = Setpoint((100 + 0j, None, None))
        lease = Lease("n", source, "ann", "mim-rack1", wish, "", START, START + timedelta(hours=1))
        leased = lease_bounds(after, [lease], Scopes(bench.site), bench.layout, EVERYBODY)
        assert leased.mim_enabled.tolist() == [stands, True, True]
        assert leased.mim_release.tolist() == [not stands, False, False]


def test_harmonic_rules_hand_on_the_tightest():
    place = Place(nodes=("rack1",))
    bench = Bench(
        HarmonicRule(id="a", place=place, max_share_pct=50.0, reserve_pct=10.0, thd_v_pct=5.0),
        HarmonicRule(id="b", max_share_pct=80.0, tdd_pct=8.0),
    )
    terms = bench.left().harmonics
    assert terms.share_max.tolist() == [0.5] * 3 + [0.8] * 6
    assert terms.reserve_max.tolist() == [0.1] * 3 + [1.0] * 6
    assert terms.thd_v_pct[2] == 5.0
    assert np.isnan(terms.thd_v_pct[[0, 1, 3, 4]]).all()
    assert terms.tdd_pct[0] == 8.0, "the head, where no node is named"
    assert np.isnan(terms.tdd_pct[1:]).all()
    assert bench.left().harmonics is terms
    assert Bench(LockRule(id="l")).left().harmonics is None


def test_a_window_decides_to_the_second():
    bench = Bench(LimitRule(id="l", place=PDU, max_a=40.0, window=Window(start=time(0, 0, 10), end=time(0, 0, 20))))
    assert bench.wait(9).left().node_limit_a[1, 0] == 160
    assert bench.wait(1).left().node_limit_a[1, 0] == 40
    assert bench.wait(9).left().node_limit_a[1, 0] == 40
    assert bench.wait(1).left().node_limit_a[1, 0] == 160


# 4600 + 2300 + 1150 = 8050 W on L1 of the PDU: 35 A
FULL = Condition(Watched.CURRENT, 34.0, True, 30.0, "pdu")


def test_a_condition_decides_and_what_is_unknown_counts_as_restricted():
    bench = Bench(LockRule(id="l", when=FULL))
    assert not bench.left().mim_enabled.any()
    bench.load_w = 0.8 * LOAD_W
    assert bench.wait(1).left().mim_enabled.all(), "28 A"
    assert bench.wait(5).left(known=False).mim_enabled.all(), "the last answer stands for 5 s"
    assert not bench.wait(1).left(known=False).mim_enabled.any()
    assert [(e.code, e.where) for e in bench.events.open()] == [("rule.condition_unknown", "l")]
    assert bench.wait(1).left().mim_enabled.all()
    assert bench.events.open() == ()


def test_while_the_first_readings_are_on_their_way_nobody_is_told():
    bench = Bench(LockRule(id="l", when=FULL), RelianceRule(id="r", place=PDU))
    assert not bench.left(known=False).mim_enabled.any()
    assert bench.wait(5).left(known=False) is not None
    assert bench.events.open() == ()
    bench.wait(1).left(known=False)
    assert [e.code for e in bench.events.open()] == ["rule.condition_unknown"]


def test_a_balance_rule_gives_way_to_the_next_while_its_condition_does_not_hold():
    first, second = BalanceRule("full", ("z",), deadband_a=1.0, when=FULL), BalanceRule("else", ("z",), deadband_a=2.0)
    bench = Bench(balance=(first, second))
    assert bench.left().deadband_a == 1.0
    bench.load_w = 0.5 * LOAD_W
    assert bench.wait(1).left().deadband_a == 2.0
    assert bench.wait(6).left(known=False).deadband_a == 2.0, "what is not known does not balance"
    alone = Bench(balance=(first,), load_w=0.5 * LOAD_W)
    assert not alone.left().mim_enabled.any()
    assert alone.left().restrictions[0].reason.code == "rule.none_in_force"


def test_states_tell_what_is_in_force():
    bench = Bench(LockRule(id="l", place=Place(mims=("mim-rack1",)), when=FULL), RampRule(id="r", place=PDU, max_w_per_s=1.0))
    assert bench.book.states() == ()
    bench.left()
    balance, lock, ramp = bench.book.states()
    assert (balance.id, balance.kind, balance.in_force, balance.condition) == ("balance", "balance", True, None)
    assert (lock.where, lock.open, lock.condition, lock.in_force) == (("mim-rack1",), True, Answer.HOLDS, True)
    assert lock.value == pytest.approx(35.0)
    assert (ramp.kind, ramp.where, ramp.in_force) == ("ramp", ("pdu",), True)


def test_rules_of_other_zones_are_no_business_of_this_one():
    bench = Bench(LockRule(id="a", place=Place(zones=("y",))), LimitRule(id="b", place=Place(nodes=("x",)), max_a=1.0))
    before, after = bench.bounds()
    assert after is before


# --- reliance: PDU with 35 A, 20 A and 35 A; its limit is 0.8 times the rating ---------------------------------------


def pdu_rated(rating_a):
    return replace(SITE, nodes=tuple(replace(n, rating_a=rating_a) if n.id == "pdu" else n for n in SITE.nodes))


def test_nothing_rests_on_mims_while_the_firm_load_is_inside_the_limit():
    bench = Bench(RelianceRule(id="r", place=PDU), site=pdu_rated(44.0))  # 35.2 A for hours
    before, after = bench.bounds()
    assert (after.port_s_max_va == before.port_s_max_va).all()
    assert bench.events.open() == ()


def test_up_to_the_amperes_of_the_rule_mims_hold_the_breaker():
    bench = Bench(RelianceRule(id="r", place=PDU, max_a=4.0), site=pdu_rated(40.0))  # 32 A for hours: 3 A over
    before, after = bench.bounds()
    assert (after.port_s_max_va == before.port_s_max_va).all()


def test_beyond_the_relief_of_the_phases_is_capped_and_a_person_is_told():
    bench = Bench(RelianceRule(id="r", place=PDU, max_a=2.0), site=pdu_rated(40.0))
    after = bench.left()
    # L1 and L3 are 3 A over: three ports each take off 2 A together; L2 with its 20 A is free
    assert after.port_s_max_va == pytest.approx([2 * 230 / 3, 2000, 2 * 230 / 3] * 3)
    (event,) = bench.events.open()
    assert event.code == "rule.reliance"
    assert event.text == "pdu L1, L3: 3.0 A rest on MIMs, 2 A may (rule r): move load away"


def test_what_keeps_the_breaker_inside_its_rating_is_always_permitted():
    bench = Bench(RelianceRule(id="r", place=PDU, max_a=0.0), site=pdu_rated(30.0))  # 35 A on a breaker of 30 A
    relief_a = 35 - 0.97 * 30
    assert bench.left().port_s_max_va[[0, 3, 6]] == pytest.approx(relief_a * 230 / 3)


def test_noise_at_the_edge_does_not_switch_the_cap():
    bench = Bench(RelianceRule(id="r", place=PDU, max_a=2.9), site=pdu_rated(40.0))
    caps = []
    for n in range(20):
        bench.load_w = LOAD_W * (1 + 0.005 * (-1) ** n)  # ±0.18 A around 3.0 A
        caps.append(bool((bench.wait(1).left().port_s_max_va < 2000).any()))
    assert caps == [True] * 20
    bench.load_w = LOAD_W * 33.8 / 35  # 1.8 A over: more than 3 % of 32 A below what is permitted
    assert (bench.wait(1).left().port_s_max_va == 2000).all()


def test_the_minutes_of_a_day_run_out_and_come_back_at_midnight():
    """However they were used: by somebody's count of all day, whether the rule was in force or not."""
    bench = Bench(RelianceRule(id="r", place=PDU, max_a=5.0, max_s_per_day=600.0), site=pdu_rated(40.0))
    day, at = bench.book.day, bench.book.day.places(bench.layout)
    resting = np.array([node.id == "pdu" for node in bench.layout.nodes])
    for _ in range(10):
        assert (bench.wait(60).left().port_s_max_va == 2000).all()
        day.add(at, resting, 60.0, bench.clock.utc())
    capped = bench.wait(60).left()
    needed_a = max(0.0, 35 - 0.97 * 40)
    assert capped.port_s_max_va[0] == pytest.approx(needed_a * 230 / 3, abs=1e-6)
    assert "the 10 min of today are used up" in bench.events.open()[0].text
    bench.wait(86_400 - 11 * 60)  # midnight by UTC, the zone of this site
    assert (bench.left().port_s_max_va == 2000).all()


def test_a_load_that_nobody_knows_is_taken_for_too_large():
    bench = Bench(RelianceRule(id="r", place=PDU, max_a=5.0), site=pdu_rated(40.0))
    after = bench.left(known=False)
    assert after.port_s_max_va == pytest.approx([5 * 230 / 3] * 9)
