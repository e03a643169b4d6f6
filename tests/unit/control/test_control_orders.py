"""What a zone makes of its orders: good until they expire or their picture is left, and what stands where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import START, state_of
from tests.unit.control.levels import known_load, zoned_site

from mimctl.analysis.report import Analyst
from mimctl.control.events import EventLog
from mimctl.control.levels.grants import HeadLimit
from mimctl.control.levels.orders import HeadOrder, SiteOrders, Standing
from mimctl.control.levels.upstream import HeadPrice
from mimctl.control.limits import BoundsMaker
from mimctl.control.narrow import Situation
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds, UpstreamPrice
from mimctl.model.clock import VirtualClock
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.zoning import restrict

SITE = restrict(zoned_site(), zoned_site().zones[0])
OPERATORS = TreeOperators(SiteLayout(SITE))
SHARE = HeadLimit(np.full(3, 20.0), 15.0, 0.0, rise_a=np.full(3, 4.0))
GRANT = HeadLimit(np.array([30.0, 40.0, 50.0]), 25.0, -100.0, until_s=160.0)
STANDING = UpstreamPrice(np.zeros(6), np.eye(6), np.zeros(6), np.inf)
TOLD = UpstreamPrice(np.full(6, 1e-5), 1e-9 * np.eye(6), np.zeros(6), 160.0)
LOAD = np.array([[4600.0, 2300.0, 1150.0]], dtype=complex)  # 20 A, 10 A, 5 A


def orders(events: EventLog | None = None) -> SiteOrders:
    log = EventLog(VirtualClock(START)) if events is None else events
    return SiteOrders(OPERATORS, [Standing(STANDING, SHARE)], "z1", log, patience_s=30.0)


def narrowed(own: SiteOrders, now_s: float, load: ComplexArray = LOAD) -> Bounds:
    fine = np.ones(1, dtype=np.bool_)
    nothing = np.zeros(3, dtype=np.complex128)
    bounds = BoundsMaker(OPERATORS.layout, "z1").bounds(START, nothing, 1.0, obeying=fine, reported=fine)
    state = state_of(SITE, load, now_s=now_s)
    report = Analyst(OPERATORS).report(state, detail=False)
    return own.narrow(bounds, Situation(state, report, known_load(load), nothing, fine))


def test_a_grant_holds_until_it_expires():
    own = orders()
    own.take([HeadOrder(HeadPrice(TOLD, LOAD[0]), GRANT)])
    held = narrowed(own, 159.9)
    assert held.node_limit_a[0] == pytest.approx([30.0, 40.0, 50.0])
    assert held.node_neutral_limit_a[0] == 25.0
    assert held.head_min_import_w[0] == -100.0
    assert held.upstream == (TOLD,)
    assert held.restrictions == ()
    alone = narrowed(own, 160.0)
    assert alone.upstream == (STANDING,)
    assert alone.head_min_import_w[0] == 0.0
    assert [r.reason.code for r in alone.restrictions] == ["zone.fair_share"]


def test_on_its_own_a_zone_keeps_to_its_share_and_raises_nothing_by_much():
    """20 A a phase is its share. Where the load has that already it may not rise; elsewhere by 4 A at most."""
    assert narrowed(orders(), 100.0).node_limit_a[0] == pytest.approx([20.0, 14.0, 9.0])
    # a load above the share is no overload by itself: others decide whether it is one
    assert narrowed(orders(), 100.0, LOAD * 2).node_limit_a[0] == pytest.approx([40.0, 20.0, 14.0])


def test_a_limit_never_widens_what_the_head_itself_may_carry():
    """63 A for 80 % of the time: 50.4 A."""
    own = orders()
    own.take([HeadOrder(None, replace(GRANT, phase_a=np.full(3, 500.0), neutral_a=np.inf, min_import_w=-1e6))])
    held = narrowed(own, 100.0)
    assert held.node_limit_a[0] == pytest.approx([50.4] * 3)
    assert held.node_neutral_limit_a[0] == 63.0


def test_a_price_ends_when_the_load_has_left_its_picture_and_lives_again_when_it_comes_back():
    own = orders()
    own.take([HeadOrder(HeadPrice(TOLD, LOAD[0]), GRANT)])
    assert narrowed(own, 101.0).upstream == (TOLD,)
    moved = LOAD + np.array([[0, 0.3 * 63 * 230, 0]])
    assert narrowed(own, 102.0, moved).upstream == (STANDING,)
    assert narrowed(own, 103.0).upstream == (TOLD,)


def test_silence_is_told_after_a_while_at_the_start_and_at_once_later():
    events = EventLog(VirtualClock(START))
    own = orders(events)
    for now_s, told in ((100.0, False), (129.0, False), (131.0, True)):
        narrowed(own, now_s)
        assert bool(events.open()) is told
    own.take([HeadOrder(None, GRANT)])
    narrowed(own, 140.0)
    assert not events.open()
    narrowed(own, 161.0)
    assert [e.code for e in events.open()] == ["zone.on_its_own"]


def test_a_zone_at_the_head_of_a_feed_is_left_alone():
    own = SiteOrders(OPERATORS, [Standing(None, None)], "z1", EventLog(VirtualClock(START)), 30.0)
    bounds = narrowed(own, 1000.0)
    assert bounds.upstream == ()
    assert bounds.restrictions == ()


RATING_VA = 63 * 230.0
FLAT = np.zeros((6, 6))


def price(gradient=1e-5, curvature=1e-9, at=0.0, load=LOAD[0], until_s=160.0) -> HeadOrder:
    """An order with a price out of figures, arrays or single values."""
    bend = curvature * np.eye(6) if np.isscalar(curvature) else curvature
    told = UpstreamPrice(gradient * np.ones(6), bend, at * np.ones(6), until_s)
    return HeadOrder(HeadPrice(told, load), replace(GRANT, until_s=until_s))


NONSENSE = {
    "a gradient that is no number": (price(gradient=np.nan), "no number"),
    "one that is infinite": (price(gradient=np.inf), "no number"),
    "a curvature that is no number": (price(curvature=np.nan), "no number"),
    "an unknown place": (price(at=np.nan), "no number"),
    "an unknown load": (price(load=LOAD[0] * np.nan), "no number"),
    "a watt dearer than a thousand breakers": (price(gradient=1.1e4 / RATING_VA), "beyond all measure"),
    "the same with the other sign": (price(gradient=-1.1e4 / RATING_VA), "beyond all measure"),
    "a bend beyond measure": (price(curvature=1.1e8 / RATING_VA**2), "beyond all measure"),
    "a price without a minimum": (price(curvature=-1e-9), "no minimum"),
    "one that is not symmetric": (price(curvature=1e-9 * (np.eye(6) + np.eye(6, k=1))), "no minimum"),
    "five figures": (HeadOrder(HeadPrice(UpstreamPrice(np.zeros(5), FLAT, np.zeros(6), 160.0), LOAD[0])), "six figures"),
    "a flow of ten ratings": (price(at=11 * RATING_VA), "cannot have"),
    "a load of ten ratings": (price(load=np.full(3, 11 * RATING_VA + 0j)), "cannot have"),
    "one that came too late": (price(until_s=99.0), "after its end"),
    "one that stands for an hour": (price(until_s=3700.0), "longer than 60 s"),
    "one that never ends": (price(until_s=np.inf), "longer than 60 s"),
    "one whose end nobody knows": (price(until_s=np.nan), "longer than 60 s"),
    "a limit that is no number": (HeadOrder(None, replace(GRANT, phase_a=np.array([30.0, np.nan, 50.0]))), "no number"),
    "a boundless one": (HeadOrder(None, replace(GRANT, phase_a=np.full(3, np.inf))), "no number"),
    "a negative one": (HeadOrder(None, replace(GRANT, phase_a=np.array([30.0, -1.0, 50.0]))), "less than nothing"),
    "an unknown neutral": (HeadOrder(None, replace(GRANT, neutral_a=np.nan)), "less than nothing"),
    "an unknown least import": (HeadOrder(None, replace(GRANT, min_import_w=np.nan)), "no number"),
    "one import too many": (HeadOrder(None, replace(GRANT, min_import_w=-np.inf)), "no number"),
    "a limit that never ends": (HeadOrder(None, replace(GRANT, until_s=np.inf)), "longer than 60 s"),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_is_refused_with_an_event_and_the_zone_goes_on_alone(what: str):
    nonsense, why = NONSENSE[what]
    events = EventLog(VirtualClock(START))
    own, alone = orders(events), narrowed(orders(), 100.0)
    own.take([nonsense])
    held = narrowed(own, 100.0)
    assert held.upstream == (STANDING,)
    assert (held.node_limit_a == alone.node_limit_a).all()
    assert (held.head_min_import_w == alone.head_min_import_w).all()
    (refused,) = [event for event in events.open() if event.code == "zone.orders_refused"]
    assert why in refused.text
    own.take([price()])
    assert narrowed(own, 101.0).upstream != (STANDING,)
    assert "zone.orders_refused" not in {event.code for event in events.open()}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_is_refused_after_sense_as_well(what: str):
    nonsense, _ = NONSENSE[what]
    own = orders()
    own.take([price()])
    assert narrowed(own, 100.0).upstream != (STANDING,)
    own.take([nonsense])
    assert narrowed(own, 100.0).upstream == (STANDING,)


def test_orders_for_another_number_of_heads_are_refused():
    events = EventLog(VirtualClock(START))
    own = orders(events)
    own.take([price(), price()])
    assert narrowed(own, 100.0).upstream == (STANDING,)
    assert "for 2 heads" in events.open()[0].text


@pytest.mark.parametrize("curvature", [0.0, 9e7 / RATING_VA**2])
def test_what_is_dear_is_believed(curvature: float):
    """The price of a breaker that is over its limit by as much as it may carry: 42 for each unit of its rating."""
    own = orders()
    dear = price(gradient=42 / RATING_VA, curvature=curvature)
    own.take([dear])
    assert dear.price is not None
    assert narrowed(own, 100.0).upstream == (dear.price.price,)
