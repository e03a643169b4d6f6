"""An operator's setpoint for one MIM: a lease for a while, on the ordinary way of bounds, solve, judge and dispatcher.

Nothing here writes. The zone's next cycles do, or do not, and what they say is handed back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mimctl.control.authority.leases import LONGEST_SETPOINT_S
from mimctl.control.unmet import Outcome, unmet_ports
from mimctl.control.what_if import preview
from mimctl.control.zone import ZoneController
from mimctl.model.clock import Clock
from mimctl.model.decision import DecisionRecord
from mimctl.model.errors import UserError
from mimctl.model.lease import Lease, LeaseSource, Setpoint
from mimctl.model.plan import SafePlan, Verdict
from mimctl.service.lease_desk import owner_of

_SOURCE = LeaseSource.OPERATOR
#: the longest that a setpoint by hand may stand
MOST_S = LONGEST_SETPOINT_S
#: cycles after which the outcome of a setpoint must be there
_CYCLES = 4
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class PortWish:
    """One port, counted from 1; injection positive [W], [var]."""

    port: int
    inject_w: float
    inject_var: float = 0.0


class OperatorWrites:
    """Takes operators' setpoints for the MIMs of these zones."""

    def __init__(self, zones: Sequence[ZoneController], clock: Clock) -> None:
        self._zones = zones
        self._clock = clock

    async def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A request that came through the door.

        Raises:
            UserError: something in it is wrong.
        """
        device, owner = str(request.get("device")), owner_of(request)
        if request.get("do") == "release":
            return self.release(device, owner)
        wishes = [_wish(item) for item in request.get("ports") or ()]
        seconds = request.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise UserError("say for how many seconds the setpoint is to stand")
        if request.get("yes") is True:
            return await self.write(device, wishes, float(seconds), owner)
        return self.preview(device, wishes, float(seconds), owner)

    def preview(self, device: str, wishes: Sequence[PortWish], seconds: float, owner: str = "operator") -> dict[str, Any]:
        """What the judge would let through now. Nothing is kept."""
        zone = self._zone(device)
        lease = self._lease(zone, device, wishes, seconds, owner)
        bounds, plan, safe = preview(zone.cycle, lease)
        planned_va, set_va = plan.inject_w + 1j * plan.inject_var, safe.inject_w + 1j * safe.inject_var
        outcome = Outcome(zone.layout, bounds, safe.judgements, zone.cycle.dispatcher.held.setpoint_va, planned_va, set_va)
        return _told(zone, lease, outcome, safe, {"applied": False, "outcome": None})

    async def write(self, device: str, wishes: Sequence[PortWish], seconds: float, owner: str = "operator") -> dict[str, Any]:
        """Set the ports and wait for the cycle that writes, or says why not. A setpoint that is refused is taken back."""
        zone = self._zone(device)
        if zone.cycle.paused:
            raise UserError(f"zone {zone.zone.id} is paused: nothing is written there")
        lease = self._lease(zone, device, wishes, seconds, owner)
        zone.cycle.leases.put(lease)
        record = await self._record_with(zone, lease)
        outcome = next((o for o in record.outcomes if o.mim == device), None)
        went_out = outcome is not None and outcome.kind != "release" and outcome.error is None and not outcome.skipped
        # what stood before may have been kept alive all the same: that is no setpoint of this operator
        applied = went_out and not _refused(record.safe_plan, device)
        if not applied:
            zone.cycle.leases.take(lease.id, "mimctl: nothing was written")
        told = None
        if outcome is not None:
            told = {"kind": outcome.kind, "error": "this is a dry run" if outcome.skipped else outcome.error}
        return _told(zone, lease, Outcome.of(record), record.safe_plan, {"applied": applied, "outcome": told})

    def release(self, device: str, by: str = "operator") -> dict[str, Any]:
        """End an operator's setpoint now; the next cycle goes on without it."""
        zone = self._zone(device)
        standing = [x for x in zone.cycle.leases.active() if (x.source, x.kind, x.scope) == (_SOURCE, Setpoint.kind, device)]
        for lease in standing:
            zone.cycle.leases.take(lease.id, by)
        return {"mim": device, "zone": zone.zone.id, "was_pinned": bool(standing)}

    async def _record_with(self, zone: ZoneController, lease: Lease) -> DecisionRecord:
        """The first record that knows of the setpoint and has an outcome for the MIM; else the last of a few."""
        device = lease.scope
        begun, m = zone.cycle.number, zone.layout.mim_index[device]
        deadline_s = self._clock.monotonic_s() + (_CYCLES + 1) * zone.loop.period_s
        while self._clock.monotonic_s() < deadline_s:
            last = zone.cycle.last
            if last is not None and last.number > begun and last.bounds.port_pinned_va is not None:
                written = any(o.mim == device for o in last.outcomes)
                if written or not last.bounds.mim_enabled[m] or last.number > begun + _CYCLES:
                    return last
            await self._clock.sleep_until(self._clock.monotonic_s() + _LOOK_EVERY_S)
        if zone.cycle.last is None or zone.cycle.last.bounds.port_pinned_va is None:
            zone.cycle.leases.take(lease.id, "mimctl: no cycle came")
            raise UserError(f"zone {zone.zone.id} runs no cycles; nothing was written")
        return zone.cycle.last

    def _zone(self, device: str) -> ZoneController:
        for zone in self._zones:
            if device in zone.layout.mim_index:
                return zone
        raise UserError(f"'{device}' is no MIM of any zone: it takes no setpoint")

    def _lease(self, zone: ZoneController, device: str, wishes: Sequence[PortWish], seconds: float, owner: str) -> Lease:
        """The setpoint as a lease that is not in force yet.

        Raises:
            UserError: it makes no sense, or somebody has forbidden it.
        """
        book = zone.cycle.leases
        if (barring := book.bar(device, _SOURCE)) is not None:
            raise UserError(f"{device} may not be set now: {barring}")
        ports = zone.layout.mims[zone.layout.mim_index[device]].ports
        power: list[complex | None] = [None] * len(ports)
        for wish in wishes:
            if not 1 <= wish.port <= len(ports):
                raise UserError(f"{device} has ports 1 to {len(ports)}, not {wish.port}")
            power[wish.port - 1] = complex(wish.inject_w, wish.inject_var)
        return book.draft(_SOURCE, owner, device, Setpoint(tuple(power)), seconds=seconds, reason="device write")


def _refused(safe: SafePlan, device: str) -> bool:
    """Whether the judge let nothing of a plan through to a MIM."""
    return any(j.mim == device and j.verdict in (Verdict.REFUSED, Verdict.EXCLUDED) for j in safe.judgements)


def _wish(item: Mapping[str, Any]) -> PortWish:
    try:
        wish = PortWish(int(item["port"]), float(item["w"]), float(item.get("var", 0.0)))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError("a port is {port, w, var}") from error
    if not (math.isfinite(wish.inject_w) and math.isfinite(wish.inject_var)):
        raise UserError(f"port {wish.port}: a setpoint is a finite number")
    return wish


def _told(zone: ZoneController, lease: Lease, outcome: Outcome, safe: SafePlan, more: Mapping[str, Any]) -> dict[str, Any]:
    """What was wanted, what the judge lets through, and why."""
    layout, mim = zone.layout, lease.scope
    wishes = lease.action.power_va if isinstance(lease.action, Setpoint) else ()
    m = layout.mim_index[mim]
    span = layout.ports_of_mim[m]
    planned_va = outcome.planned_va
    why = {unmet.port: unmet.why for unmet in unmet_ports(outcome, m, wishes)}
    ports = [
        {
            "port": n,
            "node": spec.node,
            "connection": spec.connection.value,
            "wanted_w": None if wanted is None else wanted.real,
            "wanted_var": None if wanted is None else wanted.imag,
            "planned_w": round(float(planned_va[k].real), 3),
            "planned_var": round(float(planned_va[k].imag), 3),
            "setpoint_w": float(safe.inject_w[k]),
            "setpoint_var": float(safe.inject_var[k]),
            "met": None if wanted is None else n not in why,
            "why_not": {"code": why[n].code, "text": why[n].text} if n in why else None,
        }
        for n, (k, spec, wanted) in enumerate(zip(range(span.start, span.stop), layout.mims[m].ports, wishes, strict=True), start=1)
    ]
    judgements = [
        {"verdict": j.verdict.value, "code": j.reason.code, "text": j.reason.text} for j in safe.judgements if j.mim == mim
    ]
    action = "release" if safe.release[m] else "send" if safe.send[m] else "refresh" if safe.refresh[m] else "nothing"
    return {"mim": mim, "lease": lease.id, "zone": zone.zone.id, "action": action, "ports": ports, "judgements": judgements, **more}
