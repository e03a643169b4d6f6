"""Conditions that count only when they have held for a while, and end only when they have been away for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class Lasting(Generic[T]):
    """Keeps the latest of what is said of each place.

    Args:
        on_s, off_s: how long [s].
    """

    on_s: float
    off_s: float
    _since_s: dict[str, float] = field(default_factory=dict)
    _seen_s: dict[str, float] = field(default_factory=dict)
    _last: dict[str, T] = field(default_factory=dict)

    def look(self, now_s: float, holding: Mapping[str, T]) -> dict[str, T]:
        """What counts now.

        Args:
            now_s: monotonic [s].
            holding: what holds at this instant, by place.
        """
        for where, what in holding.items():
            self._since_s.setdefault(where, now_s)
            self._seen_s[where], self._last[where] = now_s, what
        for where in [w for w, seen_s in self._seen_s.items() if w not in holding and now_s - seen_s >= self._patience_s(w)]:
            del self._since_s[where], self._seen_s[where], self._last[where]
        return {w: self._last[w] for w, since_s in self._since_s.items() if self._seen_s[w] - since_s >= self.on_s}

    def _patience_s(self, where: str) -> float:
        """What has not counted yet is over at once."""
        return self.off_s if self._seen_s[where] - self._since_s[where] >= self.on_s else 0.0
