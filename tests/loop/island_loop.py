"""A site with an island in a closed loop: its feed is lost, somebody asks, a bus is formed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from tests.island_site import island_site
from tests.loop.closed_loop import ClosedLoop

from mimctl.control.what_if import form_objections
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
        return form_objections(self.cycle, draft)

    @property
    def forming(self) -> list[bool]:
        return self.fleet.formers.forming.tolist()

    @property
    def leases(self) -> list[str]:
        return [lease.kind for lease in self.controller.leases.active()]

    @property
    def mishaps(self):
        return self.plant.islands.mishaps

    @property
    def damages(self):
        return self.plant.islands.damages

    def ended(self) -> str:
        return next(e.text for e in reversed(self.events.recent()) if e.code == "lease.ended")

    def volts(self, node: str = "rack3") -> float:
        return float(np.abs(self.plant.solve().voltage_v[self.layout.node_index[node]]).max())


async def formed(**more: object) -> Island:
    """A bus that has been formed for a while."""
    loop = Island(**more)  # type: ignore[arg-type]
    await loop.run(2)
    loop.lose()
    await loop.run(2)
    assert not loop.objections()
    loop.ask()
    await loop.run(4)
    assert loop.forming == [True, False, False]
    return loop


async def over(loop: Island, why: str, *, within: int = 2) -> None:
    """The bus is dead in so many cycles, its lease over, and nothing begins again."""
    for _ in range(within):
        await loop.run(1)
    assert not any(loop.forming)
    assert loop.volts() == 0
    assert "form" not in loop.leases
    if why:
        assert why in loop.ended()
    begun = loop.fleet.formers.sequence.copy()
    await loop.run(8)
    assert not any(loop.forming)
    assert np.array_equal(loop.fleet.formers.sequence, begun), "nobody tries again"
    assert not loop.damages
