"""Leases and the emergency stop on request: lists, grants, revokes, stops, clears, and sees to what must outlive the service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from mimctl.control.authority.leases import STOP_ID
from mimctl.control.site_controller import SiteController
from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.model.lease import Action, Form, Lease, LeaseSource, LockOut, Setpoint
from mimctl.model.lease_plain import action_of, lease_plain, source_of
from mimctl.model.lease_text import OWNER_MOST, check_line
from mimctl.model.reason import Reason
from mimctl.service.form_desk import FormDesk, at_its_node
from mimctl.service.lease_store import LeaseStore
from mimctl.service.lease_view import lease_view
from mimctl.service.left_behind import ENDS, STAYS, endless

#: how long a lock-out waits for its MIMs to be told, in cycles of the slowest zone
_CYCLES = 3
_LOOK_EVERY_S = 0.05
STOPPED = Reason("interlock.emergency_stop", "emergency stop: every MIM is released")


class LeaseDesk:
    """Speaks for the lease book of one running site.

    Args:
        store: None = nothing outlives this process.
    """

    def __init__(self, controller: SiteController, clock: Clock, store: LeaseStore | None = None) -> None:
        self._controller = controller
        self._book = controller.leases
        self._clock = clock
        self._store = store
        self._forms = FormDesk(controller, clock)
        self._writing = asyncio.Lock()
        self._calls = 0
        self._log = structlog.get_logger("mimctl.lease")

    async def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A request about leases that came through the door: `do` is `list`, `grant` or `revoke`.

        Raises:
            UserError: something in it is wrong.
        """
        if request.get("do") == "list":
            return {"leases": self.leases()}
        self._note(request)
        match request.get("do"):
            case "grant":
                return await self.grant(request)
            case "revoke":
                return await self.revoke(str(request.get("id")), owner_of(request))
            case other:
                raise UserError(f"leases are listed, granted or revoked; not '{other}'")

    async def answer_stop(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A request about the emergency stop: `do` is `emergency` or `clear`.

        Raises: as `answer`.
        """
        self._note(request)
        match request.get("do"):
            case "emergency":
                # nobody's stop fails for its wording: the book makes a line of it
                return await self.stop_now(owner_of(request), str(request.get("reason", "")))
            case "clear" if request.get("yes") is True:
                return await self.clear(owner_of(request))
            case "clear":
                raise UserError("control begins again when the stop is cleared: confirm it")
            case other:
                raise UserError(f"an emergency stop is called or cleared; not '{other}'")

    def _note(self, request: Mapping[str, Any]) -> None:
        """Whose process asks, whoever it says it is."""
        self._log.info("asked", do=request.get("do"), owner=owner_of(request), peer=request.get("peer"))

    def leases(self) -> list[dict[str, Any]]:
        """All in force, with what is left of them."""
        return [self._plain(lease) for lease in self._book.active()]

    def status(self) -> dict[str, Any]:
        """What everybody who looks at the site must know of."""
        stop = self._book.emergency_stop
        return {"emergency_stop": stop and lease_plain(stop), "leases": self.leases()}

    async def grant(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Put a lease in force; one that must outlive the service is on the disk when this returns.

        A lock-out returns when its MIMs have been told, or could not be for a few cycles; form mode when the bus is formed.
        """
        lease = self._lease(request)
        if isinstance(lease.action, Form):
            self._forms.check(lease)
        replaced = self._book.put(lease)
        await self._keep()
        if isinstance(lease.action, Form):
            await self._forms.formed(lease)
        waiting = await self._not_yet_released(lease) if isinstance(lease.action, LockOut) else []
        return {"lease": self._plain(lease), "replaced": [old.id for old in replaced], "not_released": waiting}

    async def revoke(self, lease_id: str, by: str) -> dict[str, Any]:
        """End a lease before its time."""
        check_line("owner", by, OWNER_MOST)
        if lease_id == STOP_ID:
            raise UserError("the emergency stop ends by: mimctl stop SITE --clear")
        lease = self._book.take(lease_id, by)
        if lease is None:
            raise UserError(f"no lease '{lease_id}' is in force; there are: {', '.join(self._ids()) or 'none'}")
        await self._keep()
        return {"lease": lease_plain(lease)}

    async def stop_now(self, owner: str, reason: str) -> dict[str, Any]:
        """Emergency stop: nothing but releases is written from here on; every MIM that can be reached is released now."""
        self._calls += 1
        stop = self._book.call_stop(owner, reason)
        kept = asyncio.create_task(self._keep_stop(stop))
        left = await self._controller.release_now(STOPPED)
        stay = endless(self._controller, left)
        for mim in left:
            self._log.error("could not be released; it is tried again each cycle", mim=mim, then=STAYS if mim in stay else ENDS)
        silent = [mim for zone in self._controller.zones for mim in zone.cycle.dispatcher.held.unmet() if mim not in left]
        told = {"not_released": list(left), "endless": list(stay), "silent": silent}
        return {"emergency_stop": lease_plain(stop), **told, "not_kept": await kept}

    async def clear(self, by: str) -> dict[str, Any]:
        """End the emergency stop: control goes on with the next cycle."""
        check_line("owner", by, OWNER_MOST)
        if not self._book.stopped:
            return {"cleared": False}
        gone = [x for x in self._book.active() if isinstance(x.action, LockOut) and not self._book.scopes.knows(x.scope)]
        if gone:
            named = f"'{gone[0].scope}' is locked out and is nothing here"
            raise UserError(f"{named}; lock out what it is called now, then revoke {gone[0].id}")
        calls = self._calls
        async with self._writing:
            if self._store is not None:
                await asyncio.to_thread(self._store.clear_stop)
                await asyncio.to_thread(self._store.keep, self._book.active())
        if calls != self._calls:
            raise UserError("the emergency stop was called again meanwhile: it stands")
        self._book.take(STOP_ID, by)
        return {"cleared": True}

    async def watch(self) -> None:
        """Call each second or so: hears a stop that was called by its file, and notices steps of the wall clock."""
        self._book.active()
        if self._store is not None and not self._book.stopped:
            stop = self._store.stop(self._clock.utc())
            if stop is not None:
                await self.stop_now(stop.owner, stop.reason)
        if self._book.watch_clock():
            try:
                await self._keep()
            except UserError as error:
                self._log.error("leases keep the instants of the old clock on disk", reason=str(error))

    def _lease(self, request: Mapping[str, Any]) -> Lease:
        try:
            action = at_its_node(self._book.site, self._with_every_port(str(request.get("scope")), action_of(request)))
            default = LeaseSource.MAINTENANCE if isinstance(action, LockOut) else LeaseSource.OPERATOR
            source = default if request.get("source") is None else source_of(request["source"])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise UserError(f"not understood: {error}") from error
        if source is LeaseSource.EMERGENCY_STOP:
            raise UserError("an emergency stop is called by: mimctl stop SITE --emergency")
        seconds = request.get("seconds")
        if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float)):
            raise UserError("seconds is a number")
        reason = _text(request, "reason")
        return self._book.draft(source, owner_of(request), str(request.get("scope")), action, seconds=seconds, reason=reason)

    def _with_every_port(self, scope: str, action: Action) -> Action:
        """The ports behind the last one that was named are left to the solve."""
        mim = next((mim for mim in self._book.site.mims if mim.id == scope), None)
        if mim is None or not isinstance(action, Setpoint) or len(action.power_va) >= len(mim.ports):
            return action
        return Setpoint((*action.power_va, *(None for _ in mim.ports[len(action.power_va) :])))

    async def _not_yet_released(self, lease: Lease) -> list[str]:
        """MIMs of a lock-out that still hold a setpoint of ours, after a few cycles at most."""
        deadline_s = self._clock.monotonic_s() + _CYCLES * max(zone.loop.period_s for zone in self._controller.zones)
        while (holding := self._holding(lease)) and self._clock.monotonic_s() < deadline_s:
            await self._clock.sleep_until(self._clock.monotonic_s() + _LOOK_EVERY_S)
        return holding

    def _holding(self, lease: Lease) -> list[str]:
        reached = self._book.scopes.mims(lease.scope)
        return [
            mim.id
            for zone in self._controller.zones
            for told in (zone.cycle.dispatcher.held,)
            for mim, held, forms in zip(zone.layout.mims, told.in_force | told.unproven.waiting, told.forms.holding, strict=True)
            if (held or forms) and mim.id in reached
        ]

    async def _keep(self) -> None:
        """Write what must outlive the service, beside the event loop."""
        if self._store is not None:
            async with self._writing:
                await asyncio.to_thread(self._store.keep, self._book.active())

    async def _keep_stop(self, stop: Lease) -> str:
        """Why a stop would not outlive the service; empty where it would."""
        if self._store is None:
            return ""
        try:
            async with self._writing:
                await asyncio.to_thread(self._store.keep_stop, stop)
        except UserError as error:
            self._log.error("the emergency stop does not outlive this service", reason=str(error))
            return str(error)
        return ""

    def _plain(self, lease: Lease) -> dict[str, Any]:
        return lease_view(self._controller, lease)

    def _ids(self) -> list[str]:
        return [lease.id for lease in self._book.active() if lease.id != STOP_ID]


def owner_of(request: Mapping[str, Any]) -> str:
    """Who asks: by the name given, else by the user whose process it is, as the machine says."""
    named = request.get("owner")
    if isinstance(named, str) and named:
        return named
    peer = request.get("peer")
    return str(peer["user"]) if isinstance(peer, Mapping) and "user" in peer else "unknown"


def _text(request: Mapping[str, Any], key: str) -> str:
    value = request.get(key, "")
    if not isinstance(value, str):
        raise UserError(f"{key} is one line of text")
    return value
