"""Form mode in a closed loop: only by an operator's lease, only on a bus that is proven dead and cut off, and at an end in time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from tests.island_site import island_site
from tests.loop.closed_loop import ClosedLoop

from mimctl.model.fault import Fault, FaultKind
from mimctl.model.lease import Form, Lease, LeaseSource
from mimctl.twin.faults import schedule


@dataclass(eq=False)
class Island(ClosedLoop):
    """Loads that the former of rack 1 can carry."""

    site: object = field(default_factory=lambda: island_site(rating_va=8000))  # type: ignore[assignment]
    delay_cycles: int = 0

    @property
    def cycle(self):
        return self.controller.zones[0].cycle

    @property
    def switch(self):
        return self.plant.switches.devices[0]

    def lose(self, seconds: float = 1000.0) -> None:
        """The feed is lost; its contactor opens."""
        now_s = self.plant.t_s
        schedule(self.plant, [Fault(FaultKind.FEED_LOST, ("A",), now_s, now_s + seconds)])

    def ask(self, mim: str = "mim-rack1", *, owner: str = "ann", seconds: float = 600.0) -> Lease:
        book = self.controller.leases
        lease = book.draft(LeaseSource.OPERATOR, owner, mim, Form("pdu"), seconds=seconds, reason="feed A is out")
        book.put(lease)
        return lease

    def objections(self, mim: str = "mim-rack1") -> tuple[str, ...]:
        draft = self.controller.leases.draft(LeaseSource.OPERATOR, "ann", mim, Form("pdu"), seconds=60.0, reason="try")
        return self.cycle.form_objections(draft)

    @property
    def forming(self) -> list[bool]:
        return self.fleet.formers.forming.tolist()

    @property
    def leases(self) -> list[str]:
        return [lease.kind for lease in self.controller.leases.active()]

    @property
    def mishaps(self):
        return self.plant.islands.mishaps

    def ended(self) -> str:
        return next(e.text for e in reversed(self.events.recent()) if e.code == "lease.ended")

    def volts(self, node: str = "rack3") -> float:
        return float(np.abs(self.plant.solve().voltage_v[self.layout.node_index[node]]).max())


async def formed(**more: object) -> Island:
    """A bus that has been formed for a while."""
    loop = Island(**more)  # type: ignore[arg-type]
    await loop.run(8)
    loop.lose()
    await loop.run(8)
    assert not loop.objections()
    loop.ask()
    await loop.run(8)
    assert loop.forming == [True, False, False]
    return loop


async def test_a_bus_is_formed_by_lease_once_it_is_dead_and_feeds_its_racks():
    loop = await formed()
    assert loop.volts() == pytest.approx(230)
    assert {event.code for event in loop.events.open()} >= {"island.formed", "transfer.open"}
    await loop.run(60)
    assert loop.forming == [True, False, False]
    assert "mim.ignores_setpoint" not in {event.code for event in loop.events.open()}
    assert not loop.mishaps
