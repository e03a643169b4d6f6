"""How long each node has rested on MIMs today: counted once, and asked by all, reports and rules alike."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

import numpy as np

from mimctl.model.calendar import local_day
from mimctl.model.layout import BoolArray, FloatArray, IntArray, SiteLayout
from mimctl.model.site import Site


class RelianceDay:
    """Of one whole site, by the date that its own calendar shows. A clock that is set back gives no day twice."""

    def __init__(self, site: Site) -> None:
        self._timezone = site.timezone
        self._names = [node.id for node in site.nodes]
        self._place = {name: n for n, name in enumerate(self._names)}
        self._day: date | None = None
        self._used_s: FloatArray = np.zeros(len(self._names))
        self._lately: BoolArray = np.zeros(len(self._names), dtype=np.bool_)

    def places(self, layout: SiteLayout) -> IntArray:
        """Where the nodes of a part of the site stand here."""
        return np.array([self._place[node.id] for node in layout.nodes], dtype=np.int64)

    def add(self, places: IntArray, relied: BoolArray, seconds: float, utc: datetime) -> None:
        """So much time has gone by in which some of these nodes rested on MIMs; each node is counted by one alone."""
        self._turn(utc)
        self._used_s[places] += np.where(relied, seconds, 0.0)
        self._lately[places] = relied

    def used_s(self, places: IntArray, utc: datetime) -> FloatArray:
        """What these nodes have used of the day [s]."""
        self._turn(utc)
        return self._used_s[places]

    def restore(self, day: date, used_s: Mapping[str, float]) -> None:
        """What the last run left; nodes that the site has no more are forgotten."""
        self._day = day
        for name, seconds in used_s.items():
            if name in self._place:
                self._used_s[self._place[name]] = seconds

    def kept(self, ahead_s: float) -> tuple[date, dict[str, float]] | None:
        """What the next run must know if this one ends without a word within `ahead_s`; None = nothing yet.

        Never less than what will have been used by then.
        """
        if self._day is None:
            return None
        seconds = self._used_s + np.where(self._lately, ahead_s, 0.0)
        return self._day, {self._names[n]: float(seconds[n]) for n in np.flatnonzero(seconds > 0)}

    def _turn(self, utc: datetime) -> None:
        today = local_day(utc, self._timezone)
        if self._day is None or today > self._day:
            if self._day is not None:
                self._used_s = np.zeros_like(self._used_s)
            self._day = today
