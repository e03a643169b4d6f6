"""Explanations against decisions worked out by hand.

A rack of 100 A rating draws 20, 5 and 5 A in phase with the voltages. Then I0 = I2 = (20 − 5)/3 = 5 A and
J = 3·(5² + 5²)/100² = 0.015. A MIM that takes x off L1 and puts x/2 on each other phase leaves I0 = I2 = (15 − 1.5·x)/3, so
J = 6·(5 − x/2)²/10⁴ and −dJ/dx = 6·(5 − x/2)/10⁴; x = 10 A is the optimum.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import rack_site
from tests.unit.control.explain_case import VOLTS, alternative, ask, case_of, one_rack, record_of, section, told

from mimctl.cli.explain import lines_of
from mimctl.control.explain.limits import Limits
from mimctl.control.explain.numbers import Numbers
from mimctl.control.explain.words import seconds
from mimctl.control.past.light import light_record
from mimctl.control.past.memory import Memory
from mimctl.model.plan import ActiveConstraint

UNEVEN = [[20.0, 5.0, 5.0]]


def narrow_node(limit_a, *restrictions, column=1):
    """Less at the first node, on one phase."""

    def bend(bounds):
        limits = bounds.node_limit_a.copy()
        limits[0, column] = limit_a
        return replace(bounds, node_limit_a=limits, restrictions=(*bounds.restrictions, *restrictions))

    return bend


def test_a_free_mim_moves_what_the_mean_asks_for():
    why = ask(case_of(one_rack(), UNEVEN), mim="mim-1")
    assert why["free"] is True
    assert why["reasons"] == []
    assert section(why, "what it does")[0] == "mim-1 takes 10.0 A of load off L1 and puts 5.0 A on L2 and 5.0 A on L3"
    assert "head: the loads alone draw 20.0 / 5.0 / 5.0 A, L1 is heavy, 10.0 A above the mean; with the MIMs as set" in " ".join(
        section(why, "what was seen")
    )
    assert alternative(why, "without any MIM")["objective"] == pytest.approx(0.015, rel=1e-5)
    assert alternative(why, "as set")["objective"] == pytest.approx(0.0, abs=1e-6)
    assert alternative(why, "as set")["current_a"]["head"] == pytest.approx([10.0, 10.0, 10.0], abs=0.05)


def test_a_node_tells_its_phases_and_its_neutral():
    seen = section(ask(case_of(one_rack(), UNEVEN), node="head"), "what was seen")
    # 20 A and two of 5 A, each 120° apart, sum to 20 − 5 = 15 A
    assert seen[0] == "head was measured at 20.0 / 5.0 / 5.0 A rms"
    assert seen[2] == "its neutral: the loads alone 15.0 A, with the MIMs as set 0.0 A, harmonics left out"


def test_a_port_at_its_rating_says_so_and_what_an_ampere_more_is_worth():
    # 1150 VA at 230 V are 5 A: x = 5 A leaves J = 6·2.5²/10⁴ = 0.00375, and an ampere more is worth 6·2.5/10⁴ = 0.0015, 40 % of it
    why = ask(case_of(one_rack(rating_va=1150.0), UNEVEN), mim="mim-1")
    (limit,) = why["limits"]
    assert (limit["kind"], limit["place"]) == ("port_rating", 0)
    assert limit["per_unit"] == pytest.approx(0.0015, rel=0.01)
    assert limit["text"] == "port 1 of mim-1 (head L1) is at its rating of 5.0 A; each further ampere allowed would lower J by 40 %"
    assert alternative(why, "as planned")["objective"] == pytest.approx(0.00375, rel=0.01)
    assert alternative(why, "without the limit at port 1 of mim-1")["objective"] == pytest.approx(0.0, abs=1e-5)


def test_what_a_mim_is_worth_is_the_difference_that_it_makes():
    # two MIMs of 5 A a port halve the 10 A between them: without the one x = 5 A, J = 0.00375, and planned anew no better
    why = ask(case_of(one_rack(rating_va=1150.0, mims=2), UNEVEN), mim="mim-2")
    assert section(why, "what it does")[0] == "mim-2 takes 5.0 A of load off L1 and puts 2.5 A on L2 and 2.5 A on L3"
    for what in ("without mim-2, the others as set", "without mim-2, the others planned anew"):
        assert alternative(why, what)["objective"] == pytest.approx(0.00375, rel=0.02)
        assert alternative(why, what)["current_a"]["head"] == pytest.approx([15.0, 7.5, 7.5], abs=0.1)
    (line,) = section(why, "what it is for")
    assert line.startswith("mim-2 lowers J by 0.0037")
    assert line.endswith(": all of it at head")


def test_a_breaker_that_binds_has_its_price_and_the_owner_of_what_narrowed_it():
    # 7 A on L2 less 3 % are 6.79 A
    lease = told("head", "lease.cap", "head at most 7 A by alice (operator, lease 3fa2c1): cable is warm")
    case = case_of(one_rack(), UNEVEN, bend=narrow_node(7.0, *lease))
    why = ask(case, mim="mim-1")
    (limit,) = why["limits"]
    assert (limit["kind"], limit["place"], limit["over"]) == ("node_current", 1, False)
    assert (limit["value"], limit["allowed"]) == (pytest.approx(6.79, abs=0.01), pytest.approx(7.0))
    (line,) = section(why, "limits that bind")
    assert line.startswith("head L2 is full: 6.8 A planned, 7.0 A allowed (6.8 A with 3 % kept for forecasts that err)")
    assert "its breaker allows 80.0 A for hours" in line
    assert "by alice (operator, lease 3fa2c1): cable is warm" in line
    assert section(why, "what narrowed it") == [f"a lease: {lease[0].reason.text} [lease.cap]"]
    # 6.79 A on L2 leave the other two to share 23.21 A as they can: better than no limit by nothing
    assert alternative(why, "without the limit at head L2")["objective"] == pytest.approx(0.0, abs=1e-5)


def test_a_limit_with_room_does_not_bind_whatever_the_last_digits_of_a_solve_say():
    case = case_of(one_rack(), UNEVEN, bend=narrow_node(9.0))
    numbers = Numbers(case.site, case.record.solve)
    # L2 is at its 9 A; L1 has 11 A of 80 A or more, and every phase takes in 2 kW and more where nothing need flow in
    noise = (ActiveConstraint("head.L1", "node_current", 3.8e-8), ActiveConstraint("head.L3", "head_import", 1.4e-10))
    numbers.__dict__["active"] = (*numbers.active, *noise)
    (limit,) = Limits(numbers).all
    assert (limit.kind, limit.place) == ("node_current", 1)


def test_a_distance_of_years_is_not_told_in_hours():
    assert [seconds(s) for s in (9.0, 89.0, 5300.0, 47 * 3600.0, 98_076_600.0)] == [
        "9.0 s",
        "89 s",
        "88 min",
        "47.0 h",
        "1135 days",
    ]


@pytest.mark.parametrize("limit_a", [5.5, 7.0, 9.0])
def test_a_price_is_what_a_little_relief_gains(limit_a):
    def objective(limit):
        return record_of(one_rack(), UNEVEN, bend=narrow_node(limit)).plan.objective

    case = case_of(one_rack(), UNEVEN, bend=narrow_node(limit_a))
    (limit,) = Limits(Numbers(case.site, case.record.solve)).all
    step = 0.02
    gained = (objective(limit_a - step) - objective(limit_a + step)) / (2 * step)
    assert limit.per_unit == pytest.approx(gained, rel=0.02)


@settings(max_examples=15)
@given(st.lists(st.floats(2.0, 20.0), min_size=6, max_size=6), st.sampled_from([0, 1, 2]))
def test_a_price_above_many_racks_is_what_a_little_relief_gains(drawn, column):
    site = rack_site(2)
    amps = np.vstack([np.zeros((2, 3)), np.reshape(drawn, (2, 3))])
    # less on one phase than a third of the whole, so that it binds whatever the loads are; the MIMs can do that much
    limit_a = 0.9 * float(np.sum(drawn)) / 3

    def bend(limit):
        def narrow(bounds):
            limits = bounds.node_limit_a.copy()
            limits[1, column] = limit
            return replace(bounds, node_limit_a=limits)

        return narrow

    case = case_of(site, amps, bend=bend(limit_a))
    limits = Limits(Numbers(case.site, case.record.solve))
    own = [limit for limit in limits.all if limit.node == 1 and limit.place == column]
    assert own
    step = 0.02
    low, high = (record_of(site, amps, bend=bend(limit_a + by)).plan.objective for by in (-step, step))
    assert own[0].per_unit == pytest.approx((low - high) / (2 * step), rel=0.03)


def test_the_price_of_a_port_is_what_a_little_more_rating_gains():
    def objective(rating_va):
        return record_of(one_rack(rating_va=rating_va), UNEVEN).plan.objective

    case = case_of(one_rack(rating_va=1150.0), UNEVEN)
    (limit,) = Limits(Numbers(case.site, case.record.solve)).all
    gained = (objective(1150.0 - 2.3) - objective(1150.0 + 2.3)) / (4.6 / VOLTS)
    assert limit.per_unit == pytest.approx(gained, rel=0.02)


def test_a_limit_that_the_loads_alone_pass_is_told_as_such():
    # 60 A in all cannot be brought below 17.46 A a phase by moving them about
    why = ask(case_of(one_rack(), [[30.0, 15.0, 15.0]], bend=lambda b: replace(b, node_limit_a=np.full((1, 3), 18.0))), node="head")
    assert len(why["limits"]) == 3
    assert all(limit["over"] for limit in why["limits"])
    assert "head L1 stays over its limit: 20.0 A planned, 18.0 A allowed" in section(why, "limits that bind")[0]
    assert not any("lower J" in line for line in section(why, "limits that bind"))


def test_what_the_judge_did_is_told_with_its_reason():
    case = case_of(one_rack(), UNEVEN, judge_bend=lambda b: replace(b, port_s_max_va=np.full(3, 1150.0)))
    why = ask(case, mim="mim-1")
    assert section(why, "the judge") == ["a limit: scaled: goes 50.0% of the way to the plan: its port rating [limit.port_rating]"]
    does = section(why, "what it does")
    assert does[0] == "mim-1 takes 5.0 A of load off L1 and puts 2.5 A on L2 and 2.5 A on L3"
    assert does[1] == "the plan was another: mim-1 takes 10.0 A of load off L1 and puts 5.0 A on L2 and 5.0 A on L3"


def test_a_lock_out_names_who_wants_it():
    def lock(bounds):
        lease = told("head", "lease.lock_out", "head locked out by bob (maintenance, lease 12ab34): PSU swap")
        nobody = np.zeros(1, dtype=bool)
        return replace(bounds, mim_enabled=nobody, mim_release=~nobody, restrictions=lease)

    why = ask(case_of(one_rack(), UNEVEN, bend=lock, locked=frozenset(["head"])), mim="mim-1")
    assert section(why, "what it does")[0] == "mim-1 is released: it goes to its safe state and is given no setpoint"
    assert "by bob (maintenance, lease 12ab34): PSU swap [lease.lock_out]" in section(why, "what narrowed it")[0]
    assert "interlock.locked_out" in [r["code"] for r in why["reasons"]]


def test_a_missing_meter_is_told_with_what_follows_from_it():
    site = rack_site(2)
    amps = [[0.0] * 3, [0.0] * 3, [20.0, 5.0, 5.0], [8.0, 9.0, 4.0]]
    case = case_of(site, amps, good_nodes=[True, True, False, True])
    why = ask(case, mim="mim-rack1")
    assert "rack1: its flow is not known, so it counts for nothing" in section(why, "what was seen")
    data = section(why, "data")
    assert data[0].startswith("2 of 3 meters had a usable reading, the oldest 0.0 s old")
    assert any(line.startswith("rack1: missing (last read 0.0 s before)") for line in data)
    # its own loads count nowhere, so the sums above are those of the other rack alone
    assert alternative(why, "without any MIM")["current_a"]["pdu"] == pytest.approx([8.0, 9.0, 4.0], rel=1e-5)


def test_what_is_estimated_is_told_with_how_far_it_may_be_off():
    record = record_of(rack_site(2), [[0.0] * 3, [0.0] * 3, [20.0, 5.0, 5.0], [8.0, 9.0, 4.0]])
    estimated, sigma = np.array([False, False, True, False]), np.full((4, 3), 115.0)
    nodes = replace(record.state.nodes, estimated=estimated, doubted=np.zeros(4, bool), sigma_w=sigma, sigma_var=np.zeros((4, 3)))
    record = replace(record, state=replace(record.state, nodes=nodes))
    plain = case_of(rack_site(2), [[0.0] * 3, [0.0] * 3, [20.0, 5.0, 5.0], [8.0, 9.0, 4.0]])
    why = ask(replace(plain, record=light_record(record, np.zeros(6, complex), None)), node="rack1")
    # two standard deviations of 115 W are 230 W, 1 A
    assert "rack1: not read; its flow is estimated from the others, within 1.0 A" in section(why, "data")
    assert section(why, "what was seen")[0].startswith("rack1 was estimated at")


def test_inside_the_deadband_a_setpoint_stands():
    bend = lambda b: replace(b, deadband_a=0.5)  # noqa: E731
    before = np.array([10.0, -5.2, -4.8]) * VOLTS + 0j
    why = ask(case_of(one_rack(), UNEVEN, bend=bend, before_va=before), mim="mim-1")
    (reason,) = why["reasons"]
    assert reason["code"] == "rule.deadband"
    assert "is inside the deadband of 0.5 A: the setpoint stands" in reason["text"]


def test_a_write_that_failed_and_a_dry_run_are_told():
    why = ask(case_of(one_rack(), UNEVEN, failed="no answer"), mim="mim-1")
    assert section(why, "sent and answered")[0] == "the device: the setpoint failed: no answer [dispatch.failed]"


def test_what_the_device_answered_is_in_the_decision_after():
    site = one_rack(mims=2)
    first = record_of(site, UNEVEN)
    safe_va = first.safe_plan.inject_w + 1j * first.safe_plan.inject_var
    light = light_record(first, safe_va, None)
    second = record_of(site, UNEVEN, before_va=safe_va, number=8, now_s=101.0)
    mims = replace(second.state.mims, taken_at_s=np.full(2, 100.8), command_status=np.array([1.0, 2.0]))
    second = replace(second, state=replace(second.state, mims=mims))
    case = case_of(site, UNEVEN)
    case = replace(case, record=light, following=light_record(second, safe_va, light))
    answered = section(ask(case, mim="mim-2"), "sent and answered")
    assert answered[0] == "a new setpoint was written, and the device took it"
    assert (
        answered[1]
        == "by its own reading 0.8 s later it takes 5.0 A of load off L1 and puts 2.5 A on L2 and 2.5 A on L3: as it was told"
    )
    assert answered[2] == "it rejected the command"


def test_an_instant_that_is_not_remembered_is_said_to_be_so():
    case = case_of(one_rack(), UNEVEN)
    oldest = case.remembered[0]
    early = section(ask(case, asked=oldest - timedelta(minutes=30)), "when")
    assert (
        early[1]
        == "nothing older than 2026-01-05 01:00:00 (Europe/Zurich) is remembered (1 decision); this is the nearest, 30 min later"
    )
    late = section(ask(case, asked=oldest + timedelta(seconds=40)), "when")
    assert late[1] == "the nearest decision that is remembered is 40 s earlier than asked"
    assert len(section(ask(case, asked=oldest + timedelta(seconds=1)), "when")) == 1


def test_the_whole_answer_reads_like_this():
    lease = told("head", "lease.cap", "head at most 7 A by alice (operator, lease 3fa2c1): cable is warm")
    case = pickle.loads(pickle.dumps(case_of(one_rack(), UNEVEN, bend=narrow_node(7.0, *lease))))
    assert "\n".join(lines_of(ask(case, mim="mim-1"), 100)) == SNAPSHOT.strip("\n")


def test_a_summary_has_a_line_for_every_mim():
    why = ask(case_of(one_rack(rating_va=1150.0, mims=2), UNEVEN))
    assert [mim["mim"] for mim in why["mims"]] == ["mim-1", "mim-2"]
    assert why["mims"][0]["does"] == "L1 -5.0 A, L2 +2.5 A, L3 +2.5 A"
    assert "written: 2 setpoints" in section(why, "the decision")


def test_explaining_needs_nothing_but_what_is_remembered():
    memory = Memory()
    case = case_of(one_rack(), UNEVEN)
    memory.add(case.record)
    numbers = Numbers(case.site, memory.newest.solve)
    assert numbers.agrees
    assert numbers.objective(numbers.flow()) == pytest.approx(0.015, rel=1e-5)


SNAPSHOT = """
2026-01-05 01:00:00 (Europe/Zurich), zone z, cycle 7

What it does
  mim-1 takes 8.4 A of load off L1 and puts 1.8 A on L2 and 6.6 A on L3

What was seen
  head was measured at 20.0 / 5.0 / 5.0 A rms
  head: the loads alone draw 20.0 / 5.0 / 5.0 A, L1 is heavy, 10.0 A above the mean; with the MIMs
      as set 11.6 / 6.8 / 11.6 A

What it is for
  mim-1 lowers J by 0.0135: all of it at head

Limits that bind
  head L2 is full: 6.8 A planned, 7.0 A allowed (6.8 A with 3 % kept for forecasts that err); each
      further 0.1 A allowed would lower J by 6 % (its breaker allows 80.0 A for hours; narrowed by:
      head at most 7 A by alice (operator, lease 3fa2c1): cable is warm [lease.cap])

What narrowed it
  a lease: head at most 7 A by alice (operator, lease 3fa2c1): cable is warm [lease.cap]

The judge
  let the plan through as it was

Sent and answered
  a new setpoint was written, and the device took it
  what it answers is not known yet: this is the newest decision

Data
  the meter of head had a usable reading, 0.0 s old
  mim-1 told its own state 0.0 s before

What would have happened
  without any MIM                         J 0.015     head 20.0 / 5.0 / 5.0 A
  as planned                              J 0.00155   head 11.6 / 6.8 / 11.6 A
  as set                                  J 0.00155   head 11.6 / 6.8 / 11.6 A
  without mim-1, the others as set        J 0.015     head 20.0 / 5.0 / 5.0 A
  without mim-1, the others planned anew  J 0.015     head 20.0 / 5.0 / 5.0 A
  without the limit at head L2            J 0         head 10.0 / 10.0 / 10.0 A
"""
