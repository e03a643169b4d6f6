"""Everything that can go wrong, in virtual time: no limit is exceeded because of control, and control comes back.

Each fault begins in the settled state; while it lasts the loads of all phases change places, so that whatever is frozen, late or
wrong is wrong for the new loads as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from fault_cases import RACKS, UNTIL_S, fault, hall, run

from mimctl.model.fault import Fault

MIM, RACK, PDU, FEED = "mim-rack-a1", "m-rack-a1", "m-pdu-a", "m-feed"
MIMS = tuple(f"mim-{rack}" for rack in RACKS)
METERS = (FEED, PDU, "m-pdu-b", *(f"m-{rack}" for rack in RACKS))
#: a fault is over; control is back after so long [s]
SOON_S = 15.0
#: a MIM that did not follow is tried again after a minute
PROBATION_S = 75.0
#: multiple of its rating that a breaker carries for an hour without tripping.
#: Reference: IEC 60898-1, conventional non-tripping current 1.13 In for 1 h (up to 63 A)
NEVER_TRIPS = 1.13
#: of that hour, what a fault may take of it: until a MIM that does not follow is left out and the rest has taken over [s]
ABOVE_LIMIT_S = 20.0


@dataclass(frozen=True)
class Case:
    """One fault, and what it may cost.

    Args:
        during_s: the gap to the optimum of what is left is under 10 % again so long after the beginning, the change of loads 8 s
            after it included; None = it may stay open while the fault lasts.
        after_s: the same after its end; None = the MIM is left out for longer than the run, because it did not do as it was told or
            because its own metering was found wrong.
        says: events that must be raised.
    """

    name: str
    fault: Fault
    during_s: float | None = 20.0
    after_s: float | None = SOON_S
    says: tuple[str, ...] = ()


def _cases() -> list[Case]:
    silent, stray = ("device.unreachable",), ("mim.ignores_setpoint",)
    found = [
        Case("MIM offline", fault("offline", MIM), says=(*silent, "mim.write_failed")),
        Case("two MIMs offline", fault("offline", MIM, "mim-rack-b1"), says=silent),
        Case("rack meter offline", fault("offline", RACK), says=silent),
        Case("PDU meter offline", fault("offline", PDU), says=silent),
        Case("feed meter offline", fault("offline", FEED), None),
        Case("stuck", fault("stuck", MIM), 25.0, PROBATION_S, stray),
        Case("two stuck", fault("stuck", MIM, "mim-rack-b1"), None, None, stray),
        Case("pretending", fault("pretending", MIM), 25.0, None, stray),
        Case("read only", fault("read_only", MIM), 25.0, None, stray),
        Case("rejecting", fault("rejecting", MIM), 25.0, PROBATION_S, stray),
        Case("rebooted", fault("rebooted", MIM, until_s=15.0), says=silent),
        Case("all rebooted", fault("rebooted", *MIMS, until_s=15.0), says=silent),
        Case("MIM skewed 3 s", fault("skewed", MIM, late_s=3.0), None, None),
        Case("all meters skewed 2 s", fault("skewed", *METERS, late_s=2.0), None),
        Case("rack meter lying in one phase", fault("lying", RACK, gain=0.3, phases=("L2",)), 25.0),
        Case("PDU meter lying by an offset", fault("lying", PDU, offset_w=-2000.0), 25.0),
        Case("rack meter with noise of 20 %", fault("noisy", RACK, noise_pct=20.0), None),
        Case("all meters with noise of 5 %", fault("noisy", *METERS, noise_pct=5.0), None),
        Case("MIM with noise of 10 %", fault("noisy", MIM, noise_pct=10.0)),
        Case("link down", fault("link_down", "gw-a"), says=silent),
        Case("link of the feed down", fault("link_down", "gw-feed"), None),
        Case("rack tripped", fault("rack_tripped", "rack-a1"), None),
        Case("PDU tripped", fault("rack_tripped", "pdu-a"), after_s=25.0),
        Case("feed lost", fault("feed_lost", "A")),
        Case("mains too slow", fault("frequency", frequency_hz=47.2), after_s=25.0, says=("grid.lost",)),
        Case("mains too fast", fault("frequency", frequency_hz=52.0), after_s=25.0, says=("grid.lost",)),
        Case("mains slow, inside the band", fault("frequency", frequency_hz=49.2)),
        Case("site level paused", fault("site_paused")),
        Case("zone stopped", fault("zone_stopped", "za")),
    ]
    found += [Case(f"delivers {x:g} %", fault("clipped", MIM, delivers_pct=x), None, None) for x in (0.0, 90.0)]
    found += [Case("delivers 50 %", fault("clipped", MIM, delivers_pct=50.0), None, PROBATION_S)]
    found += [Case(f"derated to {x:g} %", fault("derated", MIM, rating_pct=x), None, None) for x in (10.0, 50.0)]
    found += [Case(f"late by {x:g} s", fault("delayed", MIM, delay_s=x), None, None) for x in (3.0, 8.0)]
    found += [Case(f"MIM lies × {x:g}", fault("lying", MIM, gain=x), None, None) for x in (-1.0, 2.0)]
    for meter, within_s in ((RACK, 25.0), (PDU, None), (FEED, None)):
        found += [Case(f"{meter} lies × {x:g}", fault("lying", meter, gain=x), within_s) for x in (0.5, 2.0)]
    found += [Case(f"{quantity} has no value", fault("no_values", RACK, quantity=quantity)) for quantity in ("voltage", "power")]
    found += [Case("MIM without values", fault("no_values", MIM, quantity="all"))]
    for meter, within_s in ((RACK, 25.0), (PDU, None)):
        found += [Case(f"{meter} swapped", fault("ct_swapped", meter, order=("L2", "L1", "L3")), within_s)]
        found += [Case(f"{meter} reversed in L1", fault("ct_reversed", meter, phases=("L1",)), within_s)]
        found += [Case(f"{meter} reversed", fault("ct_reversed", meter), within_s)]
    found += [Case(f"{x:g} % of frames lost", fault("link_loss", "gw-a", loss_pct=x), 25.0) for x in (1.0, 10.0)]
    found += [Case(f"{x:g} % of frames lost", fault("link_loss", "gw-a", loss_pct=x), None) for x in (30.0, 50.0)]
    found += [Case(f"clock {x:+g} s", fault("clock_step", by_s=x)) for x in (-3600.0, 3600.0)]
    return found


CASES = _cases()


def test_the_matrix_is_as_large_as_it_should_be() -> None:
    assert len(CASES) >= 40
    assert len({case.fault.kind for case in CASES}) == 23, "every kind"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_limit_is_exceeded_and_control_comes_back(case: Case) -> None:
    result = run(hall(), [case.fault], UNTIL_S + max(SOON_S, case.after_s or 0.0) + 3.0)
    (told,) = result["faults"]
    assert result["limit_violations"] == 0
    assert told["limit_violations"] == 0
    for found in (result, told):
        assert found["above_limit"]["max_of_rating"] <= NEVER_TRIPS, found["above_limit"]
        assert found["above_limit"]["longest_s"] <= ABOVE_LIMIT_S, found["above_limit"]
    assert set(case.says) <= {event["code"] for event in told["events"]}
    if case.during_s is not None:
        assert _within(told["recovery_s"], case.during_s), told
    if case.after_s is not None:
        assert _within(told["recovery_after_s"], case.after_s), told


def _within(seconds: Any, most_s: float) -> bool:
    return seconds is not None and seconds <= most_s
