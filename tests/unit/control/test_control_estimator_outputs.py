"""What nobody knows of a MIM's output is held against no meter: MIMs that act late, and MIMs that are not heard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import state_of
from tests.unit.control.estimator_case import Bench, hall

from mimctl.model.address import DeviceAddress
from mimctl.model.connection import Connection
from mimctl.model.latency import TYPICAL, WIRED, Latency, LatencyClass
from mimctl.model.sample import Quality
from mimctl.model.site import Mim, PortSpec

SLOW = TYPICAL[LatencyClass.SLOW]
TOLD = np.array([3000, 0, -3000], dtype=complex)


def bench(racks: int, latency: Latency) -> Bench:
    """One PDU with its racks, and a MIM on the PDU itself."""
    site = hall(1, racks)
    ports = tuple(PortSpec("pdu0", Connection(phase), 5000.0) for phase in ("L1", "L2", "L3"))
    mim = Mim("mim", DeviceAddress("gw", 90), ports, latency=latency, validity_s=300.0, response_s=0.1)
    return Bench(replace(site, mims=(mim,)))


def run(case: Bench, seconds: int, acts_at_s: float, until_s: float = np.inf, *, heard: bool = True, wrong: float = 1.0) -> None:
    """Told at 20 s, the MIM really acts from then until then; where it is not heard its reports end at 60 s.

    Args:
        wrong: what the last rack's meter multiplies the truth by.
    """
    case.estimator.tracker.outputs.commanded(case.clock.monotonic_s(), np.zeros(3, dtype=complex))
    rng, begun_s = np.random.default_rng(3), case.clock.monotonic_s()
    every_s = case.layout.mims[0].latency.report_every_s or 1.0
    said, said_at_s = np.zeros(3, dtype=complex), begun_s
    for second in range(seconds):
        now_s = begun_s + second
        case.clock.advance_to(now_s)
        out = TOLD if acts_at_s <= second < until_s else np.zeros(3, dtype=complex)
        if second % every_s == 0:
            said, said_at_s = out, now_s
        flow = case.flow(np.full((len(case.racks), 3), 4000 + 500j))
        flow[:2] -= out
        flow = flow * (1 + 0.001 * rng.standard_normal(flow.shape))
        flow[-1] *= wrong
        alive = np.array([heard or second < 60])
        state = state_of(case.site, flow, said, now_s=now_s, node_taken_s=now_s, mim_taken_s=said_at_s, good_mims=alive)
        found = case.estimator.estimate(state)
        assert not case.open("bad_meter"), f"after {second} s"
        assert (found.nodes.quality == Quality.GOOD).all()
        if second == 20:
            case.estimator.tracker.outputs.commanded(now_s, TOLD)


@pytest.mark.parametrize("racks", [1, 3])
@pytest.mark.parametrize("acts_at_s", [21, 50, 75])
def test_a_slow_mim_that_acts_sooner_or_later_than_declared_makes_no_meter_look_wrong(racks: int, acts_at_s: float) -> None:
    run(bench(racks, SLOW), 130, acts_at_s)


@pytest.mark.parametrize("racks", [1, 3])
def test_a_mim_that_trips_unheard_makes_no_meter_look_wrong(racks: int) -> None:
    run(bench(racks, WIRED), 130, 21, 70, heard=False)


@pytest.mark.parametrize("latency", [WIRED, SLOW])
def test_a_meter_that_is_wrong_is_still_found(latency: Latency) -> None:
    with pytest.raises(AssertionError, match="after"):
        run(bench(3, latency), 300, 50, wrong=1.5)
