"""Built-in loads: a stochastic model of computing racks.

Each load is `typical_w` times  base + (1 − base)·d(t)·A(t)/ρ, but never more than its peak, where
- base is the share that never switches off (idle servers, fans), 35-60 %,
- d(t) is the day: 1 + depth·cos(2π(t − peak hour)/24 h), depth 5-30 %,
- A(t) is the sum of the jobs running: they start as a Poisson process, last log-normally (median 10 min, cut at 4 h), and have
  exponentially spread sizes; ρ is the mean of A, so that a load's mean is about its typical power. Power moves in steps.
The parameters are drawn once per load; all random numbers come from (seed, name of the load, half hour), so that every instant can
be worked out by itself.

Reference: the M/G/∞ queue as in W. Whitt, "On the heavy-traffic limit theorem for GI/G/∞ queues", Adv. Appl. Prob. 14 (1982);
heavy-tailed job times as in D. G. Feitelson, "Workload modeling for computer systems performance evaluation" (2015).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np

from mimctl.model.layout import ComplexArray, FloatArray
from mimctl.model.site import TwinLoad
from mimctl.twin.loads import load_seeds, reactive_factor

EPOCH_S = 1800.0
#: jobs start and end on this grid
GRID_S = 5.0
LONGEST_JOB_S = 4 * 3600.0
_ROWS = int(EPOCH_S / GRID_S)
_EPOCHS_BACK = math.ceil(LONGEST_JOB_S / EPOCH_S)
_MEDIAN_JOB_S = 600.0
_SPREAD = 1.2


@dataclass(frozen=True, slots=True)
class _Character:
    """What one load is like."""

    base: float
    depth: float
    peak_hour: float
    jobs_per_s: float
    peak_ratio: float


class GeneratedLoads:
    """Loads made by the rack model.

    Args:
        start: what `t_s` = 0 stands for, so that the day has its shape; without a zone it is UTC.
    """

    def __init__(self, loads: tuple[TwinLoad, ...], seed: int, start: datetime) -> None:
        self.loads = loads
        self._seed, self._seeds = seed, load_seeds(loads)
        self._characters = [self._character(i) for i in range(len(loads))]
        self._typical = np.array([load.typical_w * complex(1, reactive_factor(load.power_factor)) for load in loads])
        self._base = np.array([c.base for c in self._characters])
        self._depth = np.array([c.depth for c in self._characters])
        self._peak_hour = np.array([c.peak_hour for c in self._characters])
        self._peak_ratio = np.array([c.peak_ratio for c in self._characters])
        self._start_hour = start.hour + start.minute / 60 + start.second / 3600
        self._epoch = lru_cache(maxsize=2)(self._running)
        self._jobs = lru_cache(maxsize=2 * _EPOCHS_BACK + 2)(self._draw)

    def at(self, t_s: float) -> ComplexArray:
        """(L,) [VA]"""
        epoch, within = divmod(t_s, EPOCH_S)
        level = self._epoch(int(epoch))[int(within / GRID_S)]
        hour = self._start_hour + t_s / 3600
        day = 1 + self._depth * np.cos((hour - self._peak_hour) * (2 * math.pi / 24))
        ratio = np.minimum(self._base + (1 - self._base) * day * level, self._peak_ratio)
        power: ComplexArray = self._typical * ratio
        return power

    def _character(self, load: int) -> _Character:
        draw = np.random.default_rng([self._seed, self._seeds[load]])
        return _Character(
            base=draw.uniform(0.35, 0.6),
            depth=draw.uniform(0.05, 0.3),
            peak_hour=draw.normal(15.0, 2.0),
            jobs_per_s=draw.uniform(2.0, 8.0) / _MEAN_JOB_S,
            peak_ratio=draw.uniform(1.6, 2.2),
        )

    def _running(self, epoch: int) -> FloatArray:
        """(rows, L) jobs running on the grid of one epoch, relative to their mean."""
        level = np.zeros((_ROWS + 1, len(self.loads)))
        for back in range(_EPOCHS_BACK + 1):
            start, end, load, size = self._jobs(epoch - back)
            shift = back * _ROWS
            first, last = np.clip(start - shift, 0, _ROWS), np.clip(end - shift, 0, _ROWS)
            np.add.at(level, (first, load), size)
            np.add.at(level, (last, load), -size)
        return np.cumsum(level[:-1], axis=0)

    def _draw(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, FloatArray]:
        """Jobs that start in an epoch: first row, row after the last, load, size; rows count from the epoch's beginning."""
        starts, ends, loads, sizes = [], [], [], []
        for i, character in enumerate(self._characters):
            draw = np.random.default_rng([self._seed, self._seeds[i], epoch + 2**31])
            count = int(draw.poisson(character.jobs_per_s * EPOCH_S))
            start = draw.integers(0, _ROWS, count)
            duration = np.minimum(_MEDIAN_JOB_S * np.exp(_SPREAD * draw.standard_normal(count)), LONGEST_JOB_S)
            starts.append(start)
            ends.append(start + np.maximum(np.rint(duration / GRID_S).astype(np.int64), 1))
            loads.append(np.full(count, i))
            sizes.append(draw.exponential(1 / (character.jobs_per_s * _MEAN_JOB_S), count))
        if not starts:
            empty = np.zeros(0, dtype=np.int64)
            return empty, empty, empty, np.zeros(0)
        return np.concatenate(starts), np.concatenate(ends), np.concatenate(loads), np.concatenate(sizes)


def _mean_job_s() -> float:
    """Mean of the log-normal job time cut at its longest."""
    cut = math.log(LONGEST_JOB_S / _MEDIAN_JOB_S) / _SPREAD

    def below(x: float) -> float:
        return 0.5 * (1 + math.erf(x / math.sqrt(2)))

    return _MEDIAN_JOB_S * math.exp(_SPREAD**2 / 2) * below(cut - _SPREAD) + LONGEST_JOB_S * (1 - below(cut))


_MEAN_JOB_S = _mean_job_s()
