"""What to move where MIMs cannot take an overload off a breaker: how many amperes, of which racks, for how long."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import ComplexArray, FloatArray
from mimctl.model.phases import PHASES

#: a phase is over from here on, as a multiple of its limit for hours; and until it is back inside of it
_OVER = 1.02
#: the trend is taken from readings of so long, one each so often [s]
_TREND_S, _TREND_EVERY_S, _LEAST_READINGS = 900.0, 15.0, 8
#: a load that falls more slowly than this is taken to stay [s]
_LONGEST_S = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class LoadShift:
    """One recommendation.

    Args:
        node, phase: the breaker that is over.
        over_a: by how much [A].
        limit_a: what it may carry for hours [A].
        racks: (node, current of its load on this phase [A]) of the fewest racks whose load is enough, the largest first.
        enough: whether they are; else even all of them together are not.
        lasts_s: until the load has fallen by itself, by its trend; None = it does not fall [s].
    """

    node: str
    phase: str
    over_a: float
    limit_a: float
    racks: tuple[tuple[str, float], ...]
    enough: bool
    lasts_s: float | None

    def __str__(self) -> str:
        racks = " and ".join(f"{rack} ({amps:.1f} A)" for rack, amps in self.racks)
        what = f"move at least {self.over_a:.1f} A off {self.phase}"
        where = f", best from {racks}" if self.enough else f"; all racks below have less: {racks}" if racks else ""
        minutes = 0.0 if self.lasts_s is None else max(self.lasts_s / 60, 1.0)
        how_long = "until the load falls" if self.lasts_s is None else f"for about {minutes:.0f} min, as it falls now"
        over = f"{self.node} {self.phase} is {self.over_a:.1f} A over its {self.limit_a:g} A, and MIMs cannot take more off"
        return f"{over}: {what}{where}, {how_long}"


@dataclass(eq=False)
class Overloads:
    """Finds what to move, image by image; remembers the loads of the last quarter of an hour for their trend."""

    operators: TreeOperators
    _over: set[tuple[int, int]] = field(default_factory=set)
    _readings: deque[tuple[float, FloatArray]] = field(default_factory=lambda: deque(maxlen=int(_TREND_S / _TREND_EVERY_S)))

    def look(self, now_s: float, current_a: FloatArray, load_va: ComplexArray) -> dict[str, LoadShift]:
        """By `node phase`.

        Args:
            now_s: monotonic [s].
            current_a: (N, 3) NaN where unknown [A].
            load_va: (N, 3) own loads of the nodes [VA].
        """
        layout = self.operators.layout
        if not self._readings or now_s - self._readings[-1][0] >= _TREND_EVERY_S:
            # of all three phases and without MIMs: these move load between phases, and not the trend
            self._readings.append((now_s, np.abs(self.operators.flow(load_va).sum(axis=1))))
        share = current_a / layout.limit_a[:, None]
        begun = {(int(n), int(c)) for n, c in np.argwhere(share > _OVER)}
        self._over = begun | {(n, c) for n, c in self._over if share[n, c] > 1.0}
        found = (self._shift(now_s, n, c, float(current_a[n, c]), load_va) for n, c in sorted(self._over))
        return {f"{shift.node} {shift.phase}": shift for shift in found}

    def _shift(self, now_s: float, n: int, c: int, amps: float, load_va: ComplexArray) -> LoadShift:
        node = self.operators.layout.nodes[n]
        over_a = amps - node.limit_a
        racks, enough = _fewest(self._behind_a(n, c, load_va), over_a)
        named = tuple((self.operators.layout.nodes[m].id, share_a) for m, share_a in racks)
        return LoadShift(node.id, PHASES[c], over_a, node.limit_a, named, enough, self._lasts_s(n, over_a / amps))

    def _behind_a(self, n: int, c: int, load_va: ComplexArray) -> list[tuple[int, float]]:
        """(own load, what it adds to one phase of a node above [A]), transformers on the way counted in; the largest first."""
        layout = self.operators.layout
        row = self.operators.accumulate[[3 * n + c]].toarray().reshape(-1, 3)
        parts = (row * load_va).sum(axis=1)
        whole = parts.sum()
        along = (parts * np.conj(whole)).real / max(abs(whole), 1e-9) / layout.voltage_ln_v[n]
        found = [(int(m), float(along[m])) for m in np.flatnonzero(along > 0)]
        return sorted(found, key=lambda pair: -pair[1])

    def _lasts_s(self, n: int, share: float) -> float | None:
        """Until the load of a node has fallen by this share of itself [s]."""
        if len(self._readings) < _LEAST_READINGS:
            return None
        times = np.array([at_s for at_s, _ in self._readings])
        slope, now_va = np.polyfit(times - times[-1], [load_va[n] for _, load_va in self._readings], 1)
        falls_by = share * now_va
        return float(falls_by / -slope) if slope < -falls_by / _LONGEST_S else None


def _fewest(behind: list[tuple[int, float]], over_a: float) -> tuple[list[tuple[int, float]], bool]:
    """As few of them as are enough, and of those of this number the ones that move least; all, where all are not enough."""
    chosen, sum_a = list[tuple[int, float]](), 0.0
    for pair in behind:
        chosen.append(pair)
        sum_a += pair[1]
        if sum_a >= over_a:
            break
    else:
        return behind, False
    missing_a = over_a - (sum_a - chosen[-1][1])
    smallest = min((pair for pair in behind if pair[1] >= missing_a and pair not in chosen[:-1]), key=lambda pair: pair[1])
    return [*chosen[:-1], smallest], True
