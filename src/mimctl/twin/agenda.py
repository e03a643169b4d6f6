"""What is to happen at instants of virtual time."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable


class Agenda:
    """Actions by their instants; those of one instant in the order in which they were noted."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    @property
    def next_s(self) -> float:
        """The next instant at which something happens, inf = never [s]."""
        return self._waiting[0][0] if self._waiting else math.inf

    def note(self, t_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._waiting, (t_s, next(self._order), action))

    def run(self, now_s: float) -> None:
        """Do what is due, also what that itself notes for now or before."""
        while self._waiting and self._waiting[0][0] <= now_s:
            heapq.heappop(self._waiting)[2]()
