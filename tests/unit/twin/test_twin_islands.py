"""Buses that MIMs of the twin form: their physics, what brings them down, and what counts as damage."""

from __future__ import annotations

import numpy as np
import pytest
from tests.island_site import contactor, island_site
from tests.loop.closed_loop import SteppedLoads

from mimctl.model.fault import Fault, FaultKind
from mimctl.model.layout import SiteLayout
from mimctl.model.transfer import TransferState
from mimctl.twin.faults import schedule
from mimctl.twin.firmware import MimFleet
from mimctl.twin.loads import LoadSet
from mimctl.twin.metering import operating_states
from mimctl.twin.plant import Plant


class Hall:
    """The site of `island_site` with loads that a test sets; the contactor is open unless told otherwise."""

    def __init__(self, *, opened: bool = True, **site: object) -> None:
        self.site = island_site(**site)  # type: ignore[arg-type]
        self.layout = SiteLayout(self.site)
        watts = np.array([load.typical_w for load in self.site.twin.loads])
        self.source = SteppedLoads(self.site.twin.loads, watts * (1 + 0.25j))
        self.fleet = MimFleet(self.layout)
        self.plant = Plant(self.layout, LoadSet(self.layout, self.source), fleet=self.fleet)
        self.islands = self.plant.islands
        self.switch = self.plant.switches.devices[0]
        if opened:
            self.plant.switches.move(self.switch, TransferState.OPEN)

    def form(self, m: int = 0, *, sequence: int = 1, validity_s: float = 10.0) -> bool:
        self.fleet.form(m, 230.0, 50.0, validity_s, sequence)
        return bool(self.fleet.formers.forming[m])

    def volts(self, node: str) -> np.ndarray:
        return np.abs(self.plant.solve().voltage_v[self.layout.node_index[node]])

    def flow(self, node: str) -> np.ndarray:
        return self.plant.solve().flow_va[self.layout.node_index[node]]


def test_a_former_carries_what_its_bus_draws_phase_by_phase():
    hall = Hall()
    assert hall.volts("rack3") == pytest.approx([0, 0, 0])
    assert hall.form()
    assert operating_states(hall.fleet).tolist() == [3, 1, 1]
    # the loads of the builder: L1 3000 + 2600 + 1500, L2 1200 + 900 + 2200, L3 700 + 1900 + 400 [W], vars a quarter of it
    drawn = np.array([7100, 4300, 3000]) * (1 + 0.25j)
    assert hall.volts("rack3") == pytest.approx([0, 0, 0])
    assert not hall.fleet.formers.forming[0], "7.1 kW are more than a port of 6 kVA has"
    hall = Hall(rating_va=8000)
    assert hall.form()
    assert hall.volts("rack3") == pytest.approx([230, 230, 230])
    assert hall.volts("feed") == pytest.approx([230, 230, 230], rel=0.01)
    assert hall.plant.solve().port_va[:3] == pytest.approx(drawn)
    assert hall.flow("pdu") == pytest.approx([0, 0, 0], abs=1e-6), "nothing passes the open contactor"
    assert hall.flow("rack2") == pytest.approx(np.array([2600, 900, 1900]) * (1 + 0.25j))
    assert hall.flow("rack1") == pytest.approx(np.array([3000, 1200, 700]) * (1 + 0.25j) - drawn), "the others' loads flow out"


def test_the_storage_gives_it_and_the_bus_is_down_when_it_is_empty():
    hall = Hall(rating_va=8000, capacity_wh=1000.0)  # 600 Wh of 1 kWh at the start
    assert hall.form(validity_s=3600.0)
    hall.plant.solve()
    hall.plant.advance_to(60)
    hall.plant.solve()
    # 14.4 kW and the losses for a minute, by the one-way efficiency of √0.9
    loss_w = 5 + 0.015 * np.abs(np.array([7100, 4300, 3000]) * (1 + 0.25j)).sum()
    spent_wh = (14400 + loss_w) / 60 / np.sqrt(0.9)
    assert hall.fleet.soc_pct[0] == pytest.approx(60 - 100 * spent_wh / 1000, abs=0.1)
    for t_s in range(61, 300):
        hall.plant.advance_to(float(t_s))
        hall.plant.solve()
    assert not hall.fleet.formers.forming[0]
    assert hall.volts("rack3") == pytest.approx([0, 0, 0])
    assert "its storage gives" in hall.islands.mishaps[0].text
    assert not hall.islands.damages


def test_overload_brings_it_down_and_it_stays_down():
    hall = Hall(rating_va=8000)
    assert hall.form()
    hall.source.power_va = hall.source.power_va * 1.5
    hall.plant.advance_to(1)
    assert hall.volts("rack1") == pytest.approx([0, 0, 0])
    hall.source.power_va = hall.source.power_va / 1.5
    hall.plant.advance_to(2)
    hall.fleet.keep_forming(0, 99)
    assert hall.volts("rack1") == pytest.approx([0, 0, 0]), "a sign of life begins nothing"
    assert "overload: 10978 VA" in hall.islands.mishaps[0].text


def test_silence_ends_it():
    hall = Hall(rating_va=8000)
    assert hall.form(validity_s=10.0)
    for beat, t_s in enumerate((5.0, 12.0), start=1):
        hall.plant.advance_to(t_s)
        hall.fleet.keep_forming(0, beat)
    hall.plant.advance_to(21.9)
    hall.fleet.keep_forming(0, 2)  # the same count again is no news
    assert hall.fleet.formers.forming[0]
    hall.plant.advance_to(22.1)
    assert not hall.fleet.formers.forming[0]
    assert hall.plant.dead[hall.layout.node_index["rack1"]]


@pytest.mark.parametrize("why", ["live", "enabled", "old number", "no form mode"])
def test_firmware_refuses_by_itself(why):
    hall = Hall(rating_va=8000, opened=why != "live")
    m, sequence = (2 if why == "no form mode" else 0), (0 if why == "old number" else 1)
    if why == "enabled":
        hall.fleet.enabled[0] = True
    assert not hall.form(m, sequence=sequence)
    assert hall.fleet.formers.live_bus_commands[m] == (why == "live")


def test_only_one_can_form_a_bus():
    hall = Hall(rating_va=8000)
    assert hall.form(0)
    assert not hall.form(1)
    assert hall.fleet.formers.live_bus_commands.tolist() == [0, 1, 0]


def test_a_contactor_that_closes_on_it_is_damage():
    hall = Hall(rating_va=8000)
    assert hall.form()
    hall.plant.switches.move(hall.switch, TransferState.NORMAL)
    assert [mishap.where for mishap in hall.islands.damages] == ["pdu"]
    assert not hall.fleet.formers.forming[0]
    assert hall.volts("rack1") == pytest.approx([230, 230, 230], rel=0.02), "the grid has it"


def test_a_breaker_inside_takes_its_part_with_it():
    hall = Hall(rating_va=8000)
    assert hall.form()
    hall.plant.cut(hall.layout.node_index["rack3"])
    assert hall.volts("rack3") == pytest.approx([0, 0, 0])
    assert hall.plant.solve().port_va[:3].real == pytest.approx([5600, 2100, 2600])
    hall.plant.cut(hall.layout.node_index["rack1"])
    assert not hall.fleet.formers.forming[0]
    assert hall.volts("rack2") == pytest.approx([0, 0, 0])
    assert not hall.islands.damages


def test_a_dead_feed_without_an_open_contactor_would_be_fed_back():
    hall = Hall(opened=False, rating_va=8000)
    hall.plant.cut(hall.layout.node_index["feed"])
    assert not hall.form()
    assert "fed the grid back through feed" in hall.islands.damages[0].text


@pytest.mark.parametrize("reclose_s", [None, 5.0])
def test_contactors_of_islands_follow_their_feed(reclose_s):
    hall = Hall(opened=False, rating_va=8000, transfer_s=5.0, reclose_s=reclose_s)
    schedule(hall.plant, [Fault(FaultKind.FEED_LOST, ("A",), 1.0, 20.0)])
    hall.plant.advance_to(7.0)
    assert hall.switch.state is TransferState.OPEN
    assert hall.form(validity_s=60.0)
    hall.plant.advance_to(24.0)
    assert hall.volts("feed") == pytest.approx([230, 230, 230], rel=0.01), "the grid is back above it"
    assert hall.switch.state is TransferState.OPEN
    hall.plant.advance_to(26.0)
    if reclose_s is None:  # its interlock waits for a dead bus
        assert hall.switch.state is TransferState.OPEN
        hall.fleet.stop_forming(0)
        hall.plant.advance_to(27.0)
        assert not hall.islands.damages
    else:
        assert len(hall.islands.damages) == 1
    assert hall.switch.state is TransferState.NORMAL


def test_a_reboot_and_a_lie():
    hall = Hall(rating_va=8000)
    assert hall.form()
    hall.fleet.reboot(0)
    assert not hall.fleet.formers.forming[0]
    hall.switch.told = TransferState.NORMAL
    assert hall.plant.switches.values(hall.switch)[0] == 1.0
    assert contactor().state_of(1.0) is TransferState.NORMAL
