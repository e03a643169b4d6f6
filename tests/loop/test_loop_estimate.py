"""The closed loop with meters that are dead or wrong: their flows follow from the others, and balancing goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.loop.closed_loop import ClosedLoop, uneven_site

from mimctl.config.site import load_site
from mimctl.model.fault import Fault, FaultKind
from mimctl.model.layout import SiteLayout
from mimctl.simulation.engine import Request, simulate
from mimctl.twin.faults import schedule
from mimctl.twin.generator import GeneratedLoads
from mimctl.twin.loads import LoadSet

SITES = Path(__file__).parents[2] / "site_configs"


async def run(loop: ClosedLoop, seconds: int, rng: np.random.Generator) -> None:
    """Loads that wander by some percent a second."""
    base = loop.source.power_va.copy()
    for _ in range(seconds):
        loop.source.power_va = np.clip(loop.source.power_va.real * (1 + 0.03 * rng.standard_normal(len(base))), 300, 4000) * (
            1 + 0.25j
        )
        await loop.run(1)


async def faulty(kind: FaultKind, target: str, seconds: int = 60, **values: Any) -> ClosedLoop:
    loop, rng = ClosedLoop(uneven_site(meter_noise_pct=0.1)), np.random.default_rng(1)
    await run(loop, 30, rng)
    schedule(loop.plant, [Fault(kind, (target,), at_s=30.0, values=tuple(values.items()))])
    await run(loop, seconds, rng)
    return loop


def accused(loop: ClosedLoop) -> dict[str, str]:
    return {event.where: event.text for event in loop.events.open() if event.code == "bad_meter"}


async def test_with_every_meter_right_nobody_is_accused() -> None:
    loop = ClosedLoop(uneven_site(meter_noise_pct=0.1))
    await run(loop, 120, np.random.default_rng(2))
    assert "bad_meter" not in {event.code for event in (*loop.events.open(), *loop.events.recent())}


async def test_a_dead_rack_meter_costs_next_to_nothing() -> None:
    loop, whole = await faulty(FaultKind.OFFLINE, "m-rack2", 40), ClosedLoop(uneven_site(meter_noise_pct=0.1))
    await run(whole, 70, np.random.default_rng(1))
    removed = [1 - np.mean(which.objectives[-20:]) / which.without_control() for which in (loop, whole)]
    assert removed[0] > removed[1] - 0.01
    state = loop.controller.zones[0].cycle.last.state
    at = loop.layout.node_index["rack2"]
    assert state.nodes.estimated[at]
    assert state.bad_nodes() == ["rack2"]
    refused = [event.text for event in loop.events.open() if event.code == "judge.refused"]
    assert not refused, "no MIM is held back"


@pytest.mark.parametrize(
    ("kind", "target", "values", "looks"),
    [
        (FaultKind.LYING, "m-pdu", {"gain": 1.5}, "1.50 times the truth"),
        (FaultKind.LYING, "m-rack2", {"gain": 1.5}, "1.50 times the truth"),
        (FaultKind.CT_REVERSED, "m-rack2", {}, "looked the other way"),
        (FaultKind.CT_SWAPPED, "m-rack1", {}, "current transformers on L1 and L2 were exchanged"),
    ],
)
async def test_a_meter_that_goes_wrong_is_named_and_done_without(kind: FaultKind, target: str, values: dict, looks: str) -> None:
    loop = await faulty(kind, target, **values)
    found = accused(loop)
    assert list(found) == [target]
    assert looks in found[target]
    assert np.mean(loop.objectives[-20:]) < 0.1 * loop.without_control()


async def test_a_rack_meter_that_was_wrong_from_the_start_is_named_by_the_moves_of_its_mim() -> None:
    loop, rng = ClosedLoop(uneven_site(meter_noise_pct=0.1)), np.random.default_rng(3)
    schedule(loop.plant, [Fault(FaultKind.LYING, ("m-rack2",), values=(("gain", 1.5),))])
    await run(loop, 150, rng)
    assert list(accused(loop)) == ["m-rack2"]


async def test_the_same_without_mims_is_only_detected() -> None:
    loop, rng = ClosedLoop(replace(uneven_site(meter_noise_pct=0.1), mims=())), np.random.default_rng(3)
    schedule(loop.plant, [Fault(FaultKind.LYING, ("m-rack2",), values=(("gain", 1.5),))])
    await run(loop, 60, rng)
    ((where, text),) = accused(loop).items()
    assert where == "pdu"
    assert "m-rack1 or m-rack2 or m-rack3" in text
    assert "cannot be told" in text


async def test_a_mim_that_tells_wrong_figures_of_itself_is_named_not_its_meter() -> None:
    """By a factor that its supervision still lets pass."""
    loop = await faulty(FaultKind.LYING, "mim-rack1", 90, gain=1.5)
    found = accused(loop)
    assert list(found) == ["mim-rack1"]
    assert "the sums clear the meter" in found["mim-rack1"]


@pytest.mark.parametrize(
    ("name", "dead"), [("hpc_racks", ("meter-rack-02",)), ("demo", ("meter-rack-a11", "meter-pdu-b1", "meter-rack-b22"))]
)
def test_a_tenth_of_the_meters_dead_costs_no_share_and_breaks_no_limit(name: str, dead: tuple[str, ...]) -> None:
    site, start = load_site(SITES / f"{name}.yaml"), datetime(2026, 1, 5, 8, tzinfo=UTC)
    removed = []
    for faults in ((), (Fault(FaultKind.OFFLINE, dead, at_s=20.0),)):
        loads = LoadSet(SiteLayout(site), GeneratedLoads(site.twin.loads, 1, start))
        result = simulate(Request(site, loads, start, 60 / 3600, 1.0, 1, optimum=False, faults=faults))
        assert result["limit_violations"] == 0
        removed.append(result["removed_share"])
    assert removed[1] > removed[0] - 0.005
