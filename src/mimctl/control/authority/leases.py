"""The lease book of a site: what people and systems want for a while, shared by its zones.

A lease becomes bounds before the solve; nothing edits a plan for it afterwards. Emergency stop and lock-outs go to the judge as
well, which believes no bounds. Expired means gone: how long a lease runs is counted on the monotonic clock, so that a step of the
wall clock neither prolongs nor ends it.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mimctl.control.authority.lease_bounds import lease_bounds
from mimctl.control.authority.overrules import barring, overruled_by
from mimctl.control.authority.pin_check import check_holdable
from mimctl.control.authority.scopes import Scopes
from mimctl.control.events import EventLog
from mimctl.control.forming.form_leases import barred, refuse_second, wishes
from mimctl.control.narrow import Situation
from mimctl.model.bounds import Bounds
from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.model.island import FormWish
from mimctl.model.layout import SiteLayout
from mimctl.model.lease import OF_THE_RUN, Action, Form, Lease, LeaseSource, LockOut, Pause, Setpoint, Stop
from mimctl.model.lease_text import OWNER_MOST, REASON_MOST, as_line, check_line
from mimctl.model.problem import Severity
from mimctl.model.site import Site

#: there is one emergency stop, whoever calls it
STOP_ID = "stop"
#: less than a cycle or so would be nothing
SHORTEST_S = 1.0
#: a restriction for longer belongs into the site file
LONGEST_S = 31 * 86_400.0
#: a setpoint by hand is no schedule
LONGEST_SETPOINT_S = 3600.0
#: nobody forms a bus for longer than a shift without being asked again
LONGEST_FORM_S = 8 * 3600.0
#: a larger jump between the wall clock and the monotonic one is a step
_STEP_S = 2.0
_ID_BYTES = 3


@dataclass(frozen=True, slots=True)
class _Running:
    """A lease and the monotonic instant of its end, inf = never [s]."""

    lease: Lease
    ends_s: float


def _random_id() -> str:
    return secrets.token_hex(_ID_BYTES)


class LeaseBook:
    """Every lease of one site. Implements `control.narrow.Narrower`.

    Args:
        site: the whole, whatever part of it a zone sees.
        new_id: makes ids that have not been used lately.
    """

    def __init__(self, site: Site, clock: Clock, events: EventLog, *, new_id: Callable[[], str] = _random_id) -> None:
        self.site = site
        self.scopes = Scopes(site)
        self._clock = clock
        self._events = events
        self._new_id = new_id
        self._running: dict[str, _Running] = {}
        self._wall_less_monotonic_s = self._offset_s()

    @property
    def stopped(self) -> bool:
        """The emergency stop is in force."""
        return STOP_ID in self._running

    @property
    def emergency_stop(self) -> Lease | None:
        running = self._running.get(STOP_ID)
        return None if running is None else running.lease

    def active(self) -> tuple[Lease, ...]:
        """The leases in force, oldest first."""
        now_s = self._clock.monotonic_s()
        for running in [r for r in self._running.values() if r.ends_s <= now_s]:
            del self._running[running.lease.id]
            self._told_of(running.lease, "lease.expired", "has expired")
        return tuple(running.lease for running in self._running.values())

    def remaining_s(self, lease: Lease) -> float | None:
        """How long a lease still runs; None = until it is revoked."""
        running = self._running.get(lease.id)
        left_s = 0.0 if running is None else running.ends_s - self._clock.monotonic_s()
        return left_s if math.isfinite(left_s) else None

    def draft(self, source: LeaseSource, owner: str, scope: str, action: Action, *, seconds: float | None, reason: str) -> Lease:
        """A lease from now on that is not in force yet.

        Args:
            seconds: how long; None = until it is revoked.

        Raises:
            UserError: it means nothing on this site, or contradicts itself.
        """
        check_line("owner", owner, OWNER_MOST)
        check_line("reason", reason, REASON_MOST)
        self.scopes.check(scope, action)
        most_s = {Setpoint: LONGEST_SETPOINT_S, Form: LONGEST_FORM_S}.get(type(action), LONGEST_S)
        if seconds is not None and not SHORTEST_S <= seconds <= most_s:
            raise UserError(
                f"a {action.kind} stands for at least {SHORTEST_S:g} s and at most {_longest(most_s)}, not {_longest(seconds)}"
            )
        if isinstance(action, Setpoint):
            check_holdable(self.site, scope, action.power_va)
        utc = self._clock.utc()
        until = None if seconds is None else utc + timedelta(seconds=seconds)
        lease_id = STOP_ID if isinstance(action, Stop) else self._free_id()
        lease = Lease(lease_id, source, owner, scope, action, reason, utc, until)
        refuse_second(self.active(), lease)
        return lease

    def put(self, lease: Lease) -> tuple[Lease, ...]:
        """Let a lease be in force from now on.

        Returns:
            Those that it takes the place of: the same wish of the same owner, or a setpoint of the same source for the same MIM.
        """
        replaced = tuple(old for old in self.active() if _renews(lease, old))
        for old in replaced:
            del self._running[old.id]
        length = lease.length
        ends_s = math.inf if length is None else self._clock.monotonic_s() + length.total_seconds()
        self._running[lease.id] = _Running(lease, ends_s)
        instead = f", in place of {', '.join(old.id for old in replaced)}" if replaced else ""
        self._told_of(lease, "lease.granted", f"{_until(lease)}{instead}")
        for form, over in tuple(barred(self.active(), self.bar)):
            self.give_up(form.id, f"it gives way: {over}")
        return replaced

    def take(self, lease_id: str, by: str) -> Lease | None:
        """End a lease before its time; None where there was none."""
        running = self._running.pop(lease_id, None)
        if running is None:
            return None
        self._told_of(running.lease, "lease.revoked", f"revoked by {by}")
        return running.lease

    def give_up(self, lease_id: str, why: str) -> None:
        """End a lease because what it needs is gone: only a new one begins again."""
        running = self._running.pop(lease_id, None)
        if running is not None:
            self._events.note("lease.ended", Severity.WARNING, running.lease.scope, f"{running.lease}; ended: {why}")
            self._tell()

    def forms(self, layout: SiteLayout) -> tuple[FormWish, ...]:
        """Who is to form what in one layout now, the oldest lease first."""
        return tuple(wishes(self.active(), layout)) if layout.site.islands else ()

    def call_stop(self, owner: str, reason: str) -> Lease:
        """The emergency stop: in force from this moment; who called it first is remembered."""
        standing = self.emergency_stop
        if standing is not None:
            return standing
        who, why = as_line(owner, OWNER_MOST), as_line(reason, REASON_MOST)
        stop = self.draft(LeaseSource.EMERGENCY_STOP, who, self.site.id, Stop(), seconds=None, reason=why)
        self.put(stop)
        return stop

    def restore(self, leases: Iterable[Lease]) -> None:
        """Take over what outlived the last run, for the time that is left by the wall clock and never for longer.

        What the site no longer has cannot be left alone: a lock-out of it becomes an emergency stop.
        """
        utc = self._clock.utc()
        for lease in leases:
            if isinstance(lease.action, OF_THE_RUN):
                self._told_of(lease, "lease.dropped", "what a run was asked to command ends with the run")
                continue
            length = lease.length
            left_s = math.inf if lease.expires_utc is None else (lease.expires_utc - utc).total_seconds()
            left_s = left_s if length is None else min(left_s, length.total_seconds())
            if left_s <= 0:
                self._told_of(lease, "lease.expired", "has expired while nobody ran the site")
                continue
            self._running[lease.id] = _Running(lease, self._clock.monotonic_s() + left_s)
            self._still_fits(lease)
        self._tell()

    def _still_fits(self, lease: Lease) -> None:
        try:
            self.scopes.check(lease.scope, lease.action)
        except UserError as error:
            if not isinstance(lease.action, LockOut):
                del self._running[lease.id]
                self._events.note("lease.dropped", Severity.ERROR, lease.scope, f"{lease}: dropped, for {error}")
            elif not self.stopped:
                why = f"'{lease.scope}' is locked out, but {error}; lock out what it is called now, then revoke {lease.id}"
                line = as_line(why, REASON_MOST)
                stop = self.draft(LeaseSource.EMERGENCY_STOP, "mimctl", self.site.id, Stop(), seconds=None, reason=line)
                self._running[STOP_ID] = _Running(stop, math.inf)

    def bar(self, mim: str, source: LeaseSource) -> Lease | None:
        """What keeps this source from setting a MIM now; the greatest, None = nothing."""
        return barring(self.active(), self.scopes, mim, source)

    def overruled_by(self, lease: Lease) -> Lease | None:
        """Who leaves one of the leases in force without effect for now; None = nobody."""
        return overruled_by(lease, self.active(), self.scopes)

    def paused(self, zone: str) -> bool:
        """Whether a lease pauses a zone, by its own name or the site's."""
        names = {zone, self.site.id} if self.site.id not in {z.id for z in self.site.zones} else {zone}
        return any(isinstance(lease.action, Pause) and lease.scope in names for lease in self.active())

    def locked(self, layout: SiteLayout) -> frozenset[str]:
        """Ids of the MIMs of a layout that are locked out."""
        leases = [lease for lease in self.active() if isinstance(lease.action, LockOut)]
        return frozenset(layout.mims[m].id for lease in leases for m in self.scopes.mims_of(layout, lease.scope).nonzero()[0])

    def narrow(self, bounds: Bounds, situation: Situation) -> Bounds:
        """See `Narrower.narrow`; the one thing that is added is told at `lease_bounds`."""
        return self.narrow_with((), bounds, situation)

    def narrow_with(self, more: Iterable[Lease], bounds: Bounds, situation: Situation) -> Bounds:
        """As if these leases were in force as well."""
        wanted = tuple(more)
        standing = [old for old in self.active() if not any(_renews(new, old) for new in wanted)]
        return lease_bounds(bounds, [*standing, *wanted], self.scopes, situation.state.layout, situation.usable)

    def watch_clock(self) -> bool:
        """Call each few seconds: after a step of the wall clock the leases' instants are told anew. Whether there was one."""
        step_s = self._offset_s() - self._wall_less_monotonic_s
        if abs(step_s) < _STEP_S:
            return False
        self._wall_less_monotonic_s += step_s
        by = timedelta(seconds=step_s)
        for name, running in self._running.items():
            lease = running.lease
            until = None if lease.expires_utc is None else lease.expires_utc + by
            self._running[name] = replace(running, lease=replace(lease, granted_utc=lease.granted_utc + by, expires_utc=until))
        return True

    def _offset_s(self) -> float:
        return self._clock.utc().timestamp() - self._clock.monotonic_s()

    def _free_id(self) -> str:
        while (found := self._new_id()) in self._running:
            pass
        return found

    def _told_of(self, lease: Lease, code: str, what: str) -> None:
        self._events.note(code, Severity.INFO, lease.scope, f"{lease}; {what}")
        self._tell()

    def _tell(self) -> None:
        """What a person at the site must know stays open while it holds."""
        stop = self.emergency_stop
        text = "" if stop is None else f"emergency stop by {stop.owner}: {stop.reason or 'no reason given'}"
        self._events.keep_only("emergency_stop", [(self.site.id, text)] if stop is not None else [], Severity.ERROR)
        locks: dict[str, str] = {}
        for running in self._running.values():
            if isinstance(running.lease.action, LockOut):
                before = locks.get(running.lease.scope)
                locks[running.lease.scope] = str(running.lease) if before is None else f"{before}; {running.lease}"
        self._events.keep_only("lease.lock_out", locks.items(), Severity.WARNING)


def _renews(new: Lease, old: Lease) -> bool:
    """Whether a lease takes the place of another."""
    if (new.source, new.kind, new.scope) != (old.source, old.kind, old.scope):
        return False
    return isinstance(new.action, Setpoint) or new.owner == old.owner


def _longest(seconds: float) -> str:
    return f"{seconds / 86_400:.4g} days" if seconds >= 2 * 86_400 else f"{seconds:g} s"


def _until(lease: Lease) -> str:
    return "until it is revoked" if lease.expires_utc is None else f"until {_clock_time(lease.expires_utc)}"


def _clock_time(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
