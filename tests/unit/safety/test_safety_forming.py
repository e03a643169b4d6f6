"""Form mode before the judge: one missing proof is enough to refuse, whichever it is, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.island_site import contactor, island_site
from tests.unit.safety.safety_cases import NOW_S, Scene, codes

from mimctl.model.island import FormOrder, FormWish
from mimctl.model.plan import SafePlan
from mimctl.model.sample import Quality
from mimctl.model.site import Site
from mimctl.model.state import TransferImage
from mimctl.model.transfer import TransferState
from mimctl.safety.settings import Forming

WISH = FormWish("n1", "ann", "mim-rack1", "i1")
ORDER = FormOrder("mim-rack1", "i1", 230.0, 50.0)
FEED, PDU, RACK2 = 0, 1, 3
#: voltage [V] of a bus that is dead, and of one that is formed
DEAD, ALIVE = 0.0, 230.0


class Bus(Scene):
    """The bus of `island_site` behind its open contactor: dead and nobody forms it, or formed by the first MIM since a minute."""

    def __init__(self, *, formed: bool = False, site: Site | None = None) -> None:
        site = island_site(neutral_rating_a=15.0) if site is None else site
        nodes, ports, mims = len(site.nodes), sum(len(m.ports) for m in site.mims), len(site.mims)
        super().__init__(site, np.zeros((nodes, 3), complex), np.zeros(ports, complex), np.zeros(ports, complex))
        volts = ALIVE if formed else DEAD
        self.since_s, self.ended_s = np.full(mims, np.inf), np.full(mims, -np.inf)
        self.able = np.array([True, True, False])
        self.states = np.array([3.0 if formed else 1.0, 1.0, np.nan])
        if formed:
            self.since_s[0] = NOW_S - 60
        self.volts = np.full((nodes, 3), volts)
        self.volts[FEED] = 0.0
        self.hertz = np.full(nodes, 50.0)
        self.ports(voltage_v=np.full(ports, volts))
        taken = np.full(len(site.transfers), NOW_S - 0.2)
        good = np.full(len(site.transfers), int(Quality.GOOD))
        nan = np.full(len(site.transfers), np.nan)
        self.image = TransferImage(np.full(len(site.transfers), int(TransferState.OPEN)), good, taken, nan, nan)
        self.options["forms"] = (WISH,)

    def verdict(self) -> SafePlan:
        self.nodes(voltage_ln_v=self.volts, frequency_hz=self.hertz)
        self.mims(operating_state=self.states)
        self.state = replace(self.state, transfers=self.image)
        self.accepted = replace(self.accepted, forming=Forming(self.since_s, self.ended_s, self.able))
        return self.run()


def set_(name: str, at: int, value: float) -> Callable[[Bus], None]:
    def change(bus: Bus) -> None:
        getattr(bus, name)[at] = value

    return change


def image(**more: float) -> Callable[[Bus], None]:
    def change(bus: Bus) -> None:
        [(name, value)] = more.items()
        bus.image = replace(bus.image, **{name: np.full(1, value, dtype=getattr(bus.image, name).dtype)})

    return change


def nodes(name: str, at: int, value: float) -> Callable[[Bus], None]:
    def change(bus: Bus) -> None:
        values = getattr(bus.state.nodes, name).copy()
        values[at] = value
        bus.nodes(**{name: values})

    return change


def mims(name: str, at: int, value: float) -> Callable[[Bus], None]:
    def change(bus: Bus) -> None:
        values = getattr(bus.state.mims, name).copy()
        values[at] = value
        bus.mims(**{name: values})

    return change


def port_volts(k: int, value: float) -> Callable[[Bus], None]:
    def change(bus: Bus) -> None:
        volts = bus.state.ports.voltage_v.copy()
        volts[k] = value
        bus.ports(voltage_v=volts)

    return change


def option(**more: object) -> Callable[[Bus], None]:
    return lambda bus: bus.options.update(more)


def soc(value: float, quality: Quality = Quality.GOOD) -> Callable[[Bus], None]:
    return lambda bus: bus.batteries(soc_pct=np.array([value, 60.0]), quality=np.array([int(quality), int(Quality.GOOD)])) and None


def held(k: int, power_va: complex) -> Callable[[Bus], None]:
    def change(bus: Bus) -> None:
        setpoint = bus.accepted.setpoint_va.copy()
        setpoint[k] = power_va
        bus.accepted = replace(bus.accepted, setpoint_va=setpoint)

    return change


#: what is wrong → a part of what is said; it counts at any time
ALWAYS: dict[str, tuple[Callable[[Bus], None], str]] = {
    "stopped": (option(emergency_stop=True), "emergency stop"),
    "locked out": (option(locked=frozenset({"mim-rack1"})), "mim-rack1 is locked out"),
    "its node is locked out": (option(locked=frozenset({"pdu"})), "mim-rack1 is locked out"),
    "closed": (image(state=int(TransferState.NORMAL)), "k is normal, not open"),
    "faulty": (image(state=int(TransferState.FAULT)), "k is fault, not open"),
    "means nothing": (image(state=int(TransferState.UNKNOWN)), "k is unknown, not open"),
    "stale": (image(taken_at_s=NOW_S - 5.1), "what k said is 5.1 s old"),
    "from the future": (image(taken_at_s=NOW_S + 1.1), "what k said is -1.1 s old"),
    "never heard": (image(taken_at_s=np.nan), "what k said is nan s old"),
    "suspect": (image(quality=int(Quality.SUSPECT)), "k does not tell its state"),
    "voltage above": (set_("volts", FEED, 24.0), "there is voltage above k: 10% of nominal at feed"),
    "voltage above not known": (set_("volts", FEED, np.nan), "nobody knows whether feed, above k, has voltage"),
    "meter above is stale": (nodes("taken_at_s", FEED, NOW_S - 6), "nobody knows whether feed, above k, has voltage"),
    "it leaks": (nodes("import_w", PDU, 230 * 0.8 * 200 * 0.021), "3.4 A flow through k"),
    "no form mode": (set_("able", 0, False), "mim-rack1 has no form mode"),
    "its data is stale": (mims("taken_at_s", 0, NOW_S - 6), "mim-rack1 does not tell its state"),
    "its data is suspect": (mims("quality", 0, int(Quality.SUSPECT)), "mim-rack1 does not tell its state"),
    "a port is not measured": (port_volts(1, np.nan), "mim-rack1 does not tell what is at its ports"),
    "at its reserve": (soc(20.0), "mim-rack1 has nothing to give"),
    "charge not known": (soc(np.nan), "mim-rack1 has nothing to give"),
    "charge not believed": (soc(60.0, Quality.BAD), "mim-rack1 has nothing to give"),
    "another forms it": (set_("states", 1, 3.0), "mim-rack2 forms it"),
    "another was told to": (set_("since_s", 1, NOW_S - 1), "mim-rack2 forms it"),
    "another is silent": (mims("taken_at_s", 1, NOW_S - 6), "nobody knows whether mim-rack2 forms it"),
}
#: before it begins
BEFORE: dict[str, tuple[Callable[[Bus], None], str]] = {
    "alive": (set_("volts", PDU, 24.0), "pdu has 10% of nominal voltage"),
    "not measured": (set_("volts", PDU, np.nan), "no voltage is measured at pdu"),
    "alive below": (set_("volts", RACK2, 230.0), "rack2 has 100% of nominal voltage"),
    "alive at a port": (port_volts(4, 230.0), "mim-rack2 has 230 V at a port"),
    "it follows still": (held(0, 100 + 0j), "mim-rack1 holds a setpoint still"),
    "another follows still": (held(7, 100j), "mim-rack3 holds a setpoint still"),
    "nobody knows what another holds": (held(7, complex(np.nan)), "mim-rack3 holds a setpoint still"),
    "formed just now": (set_("ended_s", 1, NOW_S - 4.9), "it was formed 4.9 s ago: 5 s without voltage are needed"),
}
#: while it goes on
WHILE: dict[str, tuple[Callable[[Bus], None], str]] = {
    "it does not": (set_("states", 0, 2.0), "mim-rack1 does not form it"),
    "its state is not known": (set_("states", 0, np.nan), "mim-rack1 does not form it"),
    "low at a port": (port_volts(0, 206.0), "90% to 100% of nominal voltage at the ports of mim-rack1"),
    "low at the bus": (set_("volts", PDU, 206.0), "pdu has 90% to 90% of nominal voltage"),
    "high at the bus": (set_("volts", PDU, 254.0), "pdu has 110% to 110% of nominal voltage"),
    "bus not measured": (set_("volts", PDU, np.nan), "no voltage is measured at pdu any more"),
    "slow": (set_("hertz", PDU, 47.4), "pdu runs at 47.40 Hz"),
    "fast": (set_("hertz", PDU, 51.6), "pdu runs at 51.60 Hz"),
    # 3.7 kW on L1 alone are 16.1 A, all of it in the neutral
    "neutral": (lambda bus: bus.ports(inject_w=np.array([3700.0, *np.zeros(8)])) and None, "neutral of mim-rack1 carries 16.1 A"),
    "overload": (lambda bus: bus.ports(inject_w=np.array([6130.0, *np.zeros(8)])) and None, "overloaded: 102% of a port"),
}


def refused(plan: SafePlan) -> str:
    return "; ".join(j.reason.text for j in plan.judgements if j.mim == "mim-rack1" and j.reason.code == "form.refused")


@pytest.mark.parametrize("formed", [False, True])
def test_with_every_proof_it_forms_and_gets_nothing_else(formed):
    plan = Bus(formed=formed).verdict()
    assert plan.forms == (ORDER,)
    assert not (plan.send | plan.refresh | plan.release)[0]
    assert codes(plan, "mim-rack1") == ["form.forming"]
    assert bool(plan.release[1:].all()) is not formed, (
        "the others stand behind an open contactor, or follow on a bus that is formed"
    )


@pytest.mark.parametrize("what", ALWAYS | BEFORE)
def test_one_missing_proof_keeps_it_from_beginning(what):
    change, says = (ALWAYS | BEFORE)[what]
    bus = Bus()
    change(bus)
    plan = bus.verdict()
    assert plan.forms == ()
    assert plan.release[0]
    assert says in refused(plan)


@pytest.mark.parametrize("what", ALWAYS | WHILE)
def test_one_lost_proof_ends_it(what):
    change, says = (ALWAYS | WHILE)[what]
    bus = Bus(formed=True)
    change(bus)
    plan = bus.verdict()
    assert plan.forms == ()
    assert plan.release[0]
    assert says in refused(plan)


_PLACES = st.sets(st.sampled_from(sorted(ALWAYS | BEFORE | WHILE)), max_size=3)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(formed=st.booleans(), wrong=_PLACES)
def test_it_forms_only_where_nothing_is_wrong_and_says_everything_that_is(formed, wrong):
    relevant = {name: (ALWAYS | (WHILE if formed else BEFORE)).get(name) for name in sorted(wrong)}
    bus = Bus(formed=formed)
    for entry in relevant.values():
        if entry is not None:
            entry[0](bus)
    plan = bus.verdict()
    bad = any(entry is not None for entry in relevant.values())
    assert (plan.forms == ()) is bad
    assert plan.release[0] == bad
    assert (refused(plan) == "") is not bad


def test_two_wishes_for_one_bus_form_it_once():
    bus = Bus()
    bus.options["forms"] = (WISH, FormWish("n2", "bob", "mim-rack2", "i1"))
    plan = bus.verdict()
    assert plan.forms == (ORDER,)
    assert any(j.mim == "mim-rack2" and j.reason.text == "mim-rack1 forms it already" for j in plan.judgements)


@pytest.mark.parametrize("by", ["its own account", "our order"])
def test_who_forms_unasked_is_ended(by):
    bus = Bus(formed=True)
    bus.options["forms"] = ()
    if by == "its own account":
        bus.since_s[0] = np.inf
    else:
        bus.states[0] = 1.0
    plan = bus.verdict()
    assert plan.release[0]
    assert refused(plan) == "nobody's lease has it form a bus now"


def test_a_former_has_time_to_begin_but_not_to_be_overloaded():
    bus = Bus(formed=True)
    bus.since_s[0], bus.states[0] = NOW_S - 2, 1.0
    bus.volts[:], bus.hertz[:] = 0.0, np.nan
    bus.ports(voltage_v=np.zeros(9))
    assert bus.verdict().forms == (ORDER,)
    bus.since_s[0] = NOW_S - 4
    assert "does not form it" in refused(bus.verdict())


def test_every_switch_that_is_named_must_be_open():
    site = island_site(also_open=("q",))
    site = replace(site, transfers=(*site.transfers, replace(contactor(), id="q", node="feed")))
    bus = Bus(site=site)
    assert bus.verdict().forms == (ORDER,)
    bus.image = replace(bus.image, state=np.array([int(TransferState.OPEN), int(TransferState.NORMAL)]))
    assert refused(bus.verdict()) == "q is normal, not open"


def test_what_is_formed_is_what_the_island_says():
    site = island_site(voltage_pu=0.98, frequency_pu=1.01)
    [order] = Bus(site=site).verdict().forms
    assert (order.voltage_ln_v, order.frequency_hz) == pytest.approx((225.4, 50.5))


def follows(since_s: float, *, plan_va: complex = 400.0, load_va: complex = 3000.0, rating_va: float = 6000.0) -> SafePlan:
    """MIM 3 wants to give this on L1, at rack 3, on a bus that has been formed for so long and draws this on L1 there."""
    bus = Bus(formed=True, site=island_site(rating_va=rating_va))
    bus.since_s[0] = NOW_S - since_s
    k = bus.layout.ports_of_mim[2].start
    rack3 = bus.node_of("rack3")
    bus.plan_va = np.zeros(9, complex)
    bus.plan_va[k], bus.plan_va[k + 1] = plan_va, -plan_va
    bus.plan, bus.bounds = bus._plan(), bus._bounds()
    load = np.zeros((5, 3))
    load[rack3, 0] = load[rack3, 1] = load_va
    bus.forecast = replace(bus.forecast, load_w=load)
    flow = np.zeros((5, 3))
    flow[rack3] = load[rack3]
    flow[bus.node_of("rack1"), :2] = -load_va  # what the former gives flows out of its rack; nothing passes the contactor
    bus.nodes(import_w=flow, import_var=np.zeros((5, 3)))
    bus.ports(inject_w=np.array([load_va, load_va, *np.zeros(7)]))
    return bus.verdict()


def test_others_follow_only_when_the_bus_has_been_formed_for_as_long_as_a_source_must_be_healthy():
    early, late = follows(9.9), follows(10.1)
    assert early.release.tolist() == [False, True, True]
    assert late.release.tolist() == [False, False, False]
    assert late.inject_w[6:8] == pytest.approx([400, -400])
    assert late.send[2]


def test_a_follower_never_pushes_power_back_into_the_former():
    """On L1 the bus draws 300 W: more than that may not flow back to its top, where the former counts as standing."""
    plan = follows(60.0, load_va=300.0, plan_va=1000.0)
    assert plan.forms == (ORDER,)
    assert plan.inject_w[6] <= 300


def test_a_follower_never_loads_the_former_beyond_its_rating():
    plan = follows(60.0, load_va=5500.0, plan_va=-1000.0)
    assert plan.forms == (ORDER,)
    assert -500 <= plan.inject_w[6] < 0
