"""Leases as bounds: any set of them only takes away, and where two cannot both be met the greater source decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import START, rack_site

from mimctl.control.authority.lease_bounds import lease_bounds
from mimctl.control.authority.scopes import Scopes
from mimctl.control.limits import BoundsMaker
from mimctl.model.layout import SiteLayout
from mimctl.model.lease import Cap, Lease, LeaseSource, LockOut, Pause, Setpoint, Stop

S = LeaseSource
SITE = rack_site(3)
LAYOUT, SCOPES = SiteLayout(SITE), Scopes(SITE)
EVERYBODY = np.ones(3, dtype=bool)
WISHING = (S.OPTIMISER, S.TENANT, S.BMS, S.OPERATOR)


def wide(rules=True):
    layout = LAYOUT if rules else SiteLayout(replace(SITE, rules=()))
    maker = BoundsMaker(layout, "z")
    return maker.bounds(START, np.zeros(9, dtype=complex), 1.0, obeying=EVERYBODY, reported=EVERYBODY)


def lease(action, scope, source, number=0):
    if isinstance(action, Stop | LockOut):
        source, until = (S.EMERGENCY_STOP if isinstance(action, Stop) else S.MAINTENANCE), None
    else:
        until = START + timedelta(hours=1)
    made = Lease(f"n{number}", source, "ann", scope, action, "why", START, until)
    SCOPES.check(scope, action)
    return made


def left_by(*leases, rules=True, usable=EVERYBODY):
    return lease_bounds(wide(rules), leases, SCOPES, LAYOUT, usable)


NUMBERS = st.floats(0, 500)
POWERS = st.builds(complex, st.floats(-1400, 1400), st.floats(-1400, 1400))  # inside the 2 kVA of a port
MIMS, NODES = [m.id for m in SITE.mims], [n.id for n in SITE.nodes]
SETPOINTS = st.tuples(POWERS, *[st.none() | POWERS] * 2).map(Setpoint)
LEASES = st.lists(
    st.one_of(
        st.tuples(st.just(Stop()), st.just("test")),
        st.tuples(st.just(LockOut()), st.sampled_from([*MIMS, *NODES, "gw", "z"])),
        st.tuples(st.just(Pause()), st.sampled_from(["z", "test"])),
        st.tuples(st.builds(Cap, max_va=NUMBERS), st.sampled_from([*MIMS, *NODES, "mim-rack1/2"])),
        st.tuples(st.builds(Cap, max_a=NUMBERS), st.sampled_from([*MIMS, *NODES, "mim-rack3/1"])),
        st.tuples(st.builds(Cap, max_export_w=st.floats(-500, 500)), st.just("feed")),
        st.tuples(SETPOINTS, st.sampled_from(MIMS)),
    ).flatmap(lambda pair: st.sampled_from(WISHING).map(lambda source: lease(*pair, source))),
    max_size=6,
)


@given(LEASES, st.lists(st.booleans(), min_size=3, max_size=3), st.booleans())
def test_any_set_of_leases_only_takes_away(leases, usable, rules):
    usable, before = np.array(usable), wide(rules)
    after = lease_bounds(before, leases, SCOPES, LAYOUT, usable)
    assert (after.port_s_max_va <= before.port_s_max_va).all()
    assert (after.node_limit_a <= before.node_limit_a).all()
    assert (after.head_min_import_w >= before.head_min_import_w).all()
    assert (after.weights <= before.weights).all()
    for same in ("mim_neutral_max_a", "mim_dc_w", "step_max_va", "node_neutral_limit_a"):
        assert (getattr(after, same) == getattr(before, same)).all()
    wanted = {one.scope for one in leases if isinstance(one.action, Setpoint)}
    set_ = np.array([mim in wanted for mim in MIMS]) & usable
    assert (after.mim_enabled <= (before.mim_enabled | set_)).all(), "commanded only by a rule or a setpoint"
    assert (after.mim_release >= (before.mim_release & ~set_)).all()
    barred = np.zeros(3, dtype=bool)
    for one in leases:
        if isinstance(one.action, Stop | LockOut):
            barred |= [mim in SCOPES.mims(one.scope) for mim in MIMS]
    assert not after.mim_enabled[barred].any(), "stop and lock-out stand above every wish"
    assert after.mim_release[barred].all()
    assert not (after.mim_enabled & after.mim_release).any()
    told = {(r.where, r.reason.code) for r in after.restrictions}
    assert {one.scope for one in leases} <= {where for where, _ in told}, "every lease is told"


@given(LEASES, st.randoms())
def test_the_order_of_leases_does_not_matter_but_for_setpoints_of_one_source(leases, random):
    one_each = {(one.source, one.scope, isinstance(one.action, Setpoint) or id(one)): one for one in leases}
    leases = list(one_each.values())
    mixed = random.sample(leases, len(leases))
    first, second = left_by(*leases), left_by(*mixed)
    assert (first.port_s_max_va == second.port_s_max_va).all()
    assert (first.mim_enabled == second.mim_enabled).all()
    assert (first.node_limit_a == second.node_limit_a).all()
    if first.port_pinned_va is None:
        assert second.port_pinned_va is None
    else:
        assert np.array_equal(first.port_pinned_va, second.port_pinned_va, equal_nan=True)


def codes(bounds, where):
    return {r.reason.code for r in bounds.restrictions if r.where == where}


def set_to(watts):
    return Setpoint((complex(watts), None, None))


def test_no_lease_leaves_the_bounds_as_they_are():
    before = wide()
    assert lease_bounds(before, [], SCOPES, LAYOUT, EVERYBODY) is before


def test_the_setpoint_of_an_operator_stands_before_that_of_the_bms():
    for order in ((S.BMS, S.OPERATOR), (S.OPERATOR, S.BMS)):
        wants = {S.BMS: lease(set_to(100), "mim-rack1", S.BMS, 1), S.OPERATOR: lease(set_to(-50), "mim-rack1", S.OPERATOR, 2)}
        after = left_by(*(wants[source] for source in order))
        assert after.port_pinned_va[0] == -50
        assert codes(after, "mim-rack1") == {"lease.setpoint", "lease.overruled"}
        [beaten] = [r.reason.text for r in after.restrictions if r.reason.code == "lease.overruled"]
        assert "by ann (bms, lease n1)" in beaten
        assert "lease n2" in beaten


def test_a_setpoint_ends_the_calm_of_its_own_mim_and_of_no_other():
    before = replace(wide(), deadband_a=0.2, dwell_s=30.0)
    after = lease_bounds(before, [lease(set_to(100), "mim-rack2", S.OPERATOR)], SCOPES, LAYOUT, EVERYBODY)
    assert (after.deadband_a, after.dwell_s) == (0.2, 30.0)
    assert after.mim_at_once.tolist() == [False, True, False]
    assert left_by(lease(Cap(max_va=300), "mim-rack1", S.BMS)).mim_at_once is None


@pytest.mark.parametrize(
    ("pauses", "sets", "stands"),
    [(S.BMS, S.OPERATOR, True), (S.OPERATOR, S.OPERATOR, False), (S.OPERATOR, S.BMS, False), (S.TENANT, S.OPTIMISER, False)],
)
def test_a_pause_gives_way_to_greater_sources_only(pauses, sets, stands):
    after = left_by(lease(Pause(), "z", pauses), lease(set_to(100), "mim-rack1", sets))
    assert after.mim_enabled.tolist() == [stands, False, False]
    assert after.mim_release.tolist() == [not stands, True, True]
    assert (after.port_pinned_va is not None) == stands


@pytest.mark.parametrize(
    ("caps", "sets", "gets"), [(S.BMS, S.OPERATOR, 400), (S.OPERATOR, S.OPERATOR, 300), (S.OPERATOR, S.BMS, 300)]
)
def test_a_cap_cuts_the_setpoints_of_its_own_and_of_lesser_sources(caps, sets, gets):
    after = left_by(lease(Cap(max_va=300), "mim-rack1", caps), lease(set_to(400), "mim-rack1", sets))
    assert after.port_pinned_va[0] == pytest.approx(gets)
    assert after.port_s_max_va[0] == (2000 if gets == 400 else 300)
    assert after.port_s_max_va[3] == 2000


def test_of_two_caps_the_tighter_one_holds_whoever_says_it():
    for tighter in (S.TENANT, S.OPERATOR):
        looser = S.OPERATOR if tighter is S.TENANT else S.TENANT
        after = left_by(lease(Cap(max_a=10), "rack1", tighter), lease(Cap(max_a=20), "rack1", looser))
        assert after.node_limit_a[2].tolist() == [10, 10, 10]


def test_what_a_current_means_depends_on_the_scope():
    at_port = left_by(lease(Cap(max_a=2), "mim-rack1/2", S.BMS))
    assert at_port.port_s_max_va[:3].tolist() == [2000, 460, 2000]
    at_node = left_by(lease(Cap(max_a=2), "rack1", S.BMS))
    assert (at_node.port_s_max_va == 2000).all()
    assert at_node.node_limit_a[2].tolist() == [2, 2, 2]
    both = left_by(lease(Cap(max_a=2, max_va=50), "rack1", S.BMS))
    assert both.port_s_max_va[:4].tolist() == [50, 50, 50, 2000]


def test_what_may_flow_back_at_a_head():
    assert left_by(lease(Cap(max_export_w=-200), "feed", S.BMS)).head_min_import_w.tolist() == [200]
    assert left_by(lease(Cap(max_export_w=200), "feed", S.BMS)).head_min_import_w.tolist() == [0], "the feed permits none"


def test_a_bound_that_is_no_number_stays_none():
    before = replace(wide(), port_s_max_va=np.full(9, np.nan))
    after = lease_bounds(before, [lease(Cap(max_va=5), "mim-rack1", S.BMS)], SCOPES, LAYOUT, EVERYBODY)
    assert np.isnan(after.port_s_max_va).all()


def test_a_setpoint_alone_commands_its_mim_where_it_is_usable():
    wish = lease(set_to(100), "mim-rack2", S.OPERATOR)
    alone = left_by(wish, rules=False)
    assert alone.mim_enabled.tolist() == [False, True, False]
    assert not alone.weights.any(), "nothing is to be balanced"
    gone = left_by(wish, rules=False, usable=np.array([True, False, True]))
    assert not gone.mim_enabled.any()
    assert gone.mim_release[1]
