"""What is the matter now, and what was: conditions raised once and cleared once."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterable
from copy import copy
from dataclasses import replace

import structlog

from mimctl.model.clock import Clock
from mimctl.model.event import Event
from mimctl.model.problem import Severity

#: what goes on at one device by the way is kept so far back
_ORDINARY_KEPT = 12
_LOG_LEVELS = {Severity.ERROR: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.INFO: logging.INFO}


class EventLog:
    """Open conditions by (scope, code, where), and the last ones that were closed."""

    def __init__(self, clock: Clock, kept: int = 500) -> None:
        self._clock = clock
        self._scope = ""
        self._open: dict[tuple[str, str, str], Event] = {}
        #: how many conditions of one scope and code are open
        self._held: Counter[tuple[str, str]] = Counter()
        self._past: deque[Event] = deque(maxlen=kept)
        self._ordinary: dict[str, deque[Event]] = {}
        self._log = structlog.get_logger("mimctl.event")

    def within(self, scope: str) -> EventLog:
        """The same log for one part of the site: what it raises, only it clears."""
        part = copy(self)
        part._scope = scope
        return part

    def raise_(self, code: str, severity: Severity, where: str, text: str) -> None:
        """The condition holds; said once however often it is raised, and kept with the latest text."""
        key = (self._scope, code, where)
        if key in self._open:
            self._open[key] = replace(self._open[key], text=text)
        else:
            self._open[key] = Event(code, severity, where, text, since=self._clock.utc())
            self._held[self._scope, code] += 1
            self._log.log(_LOG_LEVELS[severity], text, code=code, where=where)

    def clear(self, code: str, where: str) -> None:
        event = self._open.pop((self._scope, code, where), None)
        if event is not None:
            self._held[self._scope, code] -= 1
            self._past.append(replace(event, cleared=self._clock.utc()))
            self._log.info("cleared: " + event.text, code=code, where=where)

    def note(self, code: str, severity: Severity, where: str, text: str) -> None:
        """Something that happened and is over."""
        now = self._clock.utc()
        self._past.append(Event(code, severity, where, text, since=now, cleared=now))
        self._log.log(_LOG_LEVELS[severity], text, code=code, where=where)

    def pass_by(self, code: str, where: str, text: str) -> None:
        """Something ordinary that happened at one device: kept with that device, where it pushes out nothing that matters."""
        now = self._clock.utc()
        kept = self._ordinary.setdefault(where, deque(maxlen=_ORDINARY_KEPT))
        kept.append(Event(code, Severity.INFO, where, text, since=now, cleared=now))
        self._log.debug(text, code=code, where=where)

    def of(self, where: str) -> tuple[Event, ...]:
        """What lately happened and is the matter at one device, the ordinary included, oldest first."""
        special = [event for event in (*self._past, *self._open.values()) if event.where == where]
        return tuple(sorted([*self._ordinary.get(where, ()), *special], key=lambda event: event.since))

    def keep_only(self, code: str, holding: Iterable[tuple[str, str]], severity: Severity) -> None:
        """Make the open conditions of one code (in this scope) exactly `holding`: (where, text) pairs."""
        wanted = dict(holding)
        if not (wanted or self._held.get((self._scope, code))):
            return  # nothing holds and nothing held: so it is with nearly every condition in nearly every cycle
        for scope, open_code, where in list(self._open):
            if (scope, open_code) == (self._scope, code) and where not in wanted:
                self.clear(code, where)
        for where, text in wanted.items():
            self.raise_(code, severity, where, text)

    def open(self) -> tuple[Event, ...]:
        return tuple(self._open.values())

    def recent(self) -> tuple[Event, ...]:
        """Closed conditions, oldest first."""
        return tuple(self._past)
