"""Form mode on request: refused with everything that is not proven, or granted and told whether the bus has come alive."""

from __future__ import annotations

from typing import Any

from mimctl.control.forming.form_watch import BEGIN_WITHIN_S
from mimctl.control.site_controller import SiteController
from mimctl.control.what_if import form_objections
from mimctl.control.zone import ZoneController
from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.model.lease import Action, Form, Lease
from mimctl.model.sample import Quality
from mimctl.model.site import Site
from mimctl.model.transfer import TransferState

_LOOK_EVERY_S = 0.05
#: beyond the time in which a former begins: the cycle that sees that it has not [s]
_MARGIN_S = 5.0


def at_its_node(site: Site, action: Action) -> Action:
    """A bus that was named by its feed, by the node of it."""
    heads = {feed.id: feed.node for feed in site.feeds}
    return Form(heads.get(action.bus, action.bus)) if isinstance(action, Form) else action


class FormDesk:
    """Of one running site."""

    def __init__(self, controller: SiteController, clock: Clock) -> None:
        self._controller = controller
        self._clock = clock

    def check(self, lease: Lease) -> None:
        """Refuse what is not proven now; the judge asks again in every cycle.

        Raises:
            UserError: in one line, with everything that is missing.
        """
        missing = form_objections(self._zone_of(lease).cycle, lease)
        if missing:
            raise UserError(f"{lease.scope} may not form the bus of {_bus(lease)} now: {'; '.join(missing)}")

    async def formed(self, lease: Lease) -> None:
        """Return when the MIM says that it forms the bus.

        Raises:
            UserError: the lease came to nothing, and why.
        """
        zone = self._zone_of(lease)
        deadline_s = self._clock.monotonic_s() + BEGIN_WITHIN_S + _MARGIN_S + zone.loop.period_s
        while self._clock.monotonic_s() < deadline_s:
            if lease.id in {wish.lease for wish in zone.cycle.forming.formed(zone.cycle.last).values()}:
                return
            if lease.id not in {standing.id for standing in self._controller.leases.active()}:
                break
            await self._clock.sleep_until(self._clock.monotonic_s() + _LOOK_EVERY_S)
        raise UserError(f"{lease.scope} does not form the bus of {_bus(lease)}: {self._why(lease)}")

    def _why(self, lease: Lease) -> str:
        ended = [e.text for e in self._controller.events.recent() if e.code.startswith("lease.") and f"lease {lease.id})" in e.text]
        return ended[-1].removeprefix(f"{lease}; ") if ended else "its zone does not answer"

    def _zone_of(self, lease: Lease) -> ZoneController:
        for zone in self._controller.zones:
            inside = any(island.node == _bus(lease) for island in zone.layout.site.islands)
            if inside and lease.scope in zone.layout.mim_index:
                return zone
        raise UserError(f"no zone has {lease.scope} and the whole bus of {_bus(lease)}")


def _bus(lease: Lease) -> str:
    return lease.action.bus if isinstance(lease.action, Form) else lease.scope


def islands_status(zone: ZoneController) -> dict[str, Any]:
    """The islands of one zone: whether each is cut off, by its contactor's word, and who forms it."""
    record, site = zone.cycle.last, zone.layout.site
    if record is None or not site.islands:
        return {}
    formed, image = zone.cycle.forming.formed(record), record.state.transfers
    index = {device.id: t for t, device in enumerate(site.transfers)}
    found: dict[str, Any] = {}
    for island in site.islands:
        t, wish = index.get(island.contactor), formed.get(island.id)
        state = TransferState.UNKNOWN
        if t is not None and image is not None and image.quality[t] > Quality.BAD:
            state = TransferState(int(image.state[t]))
        found[island.id] = {
            "node": island.node,
            "contactor": island.contactor,
            "contactor_state": state.word,
            "formed_by": None if wish is None else wish.mim,
            "for": None if wish is None else wish.owner,
            "lease": None if wish is None else wish.lease,
        }
    return found
