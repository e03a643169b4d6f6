"""Where the loads of the twin come from: a source of powers, the places they stand at, and sub-minute noise on top."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout
from mimctl.model.site import TwinLoad
from mimctl.twin.terminals import Terminals


class LoadSource(Protocol):
    """Powers of L loads over time. The same instant always gives the same powers, in whatever order instants are asked for."""

    @property
    def loads(self) -> tuple[TwinLoad, ...]: ...

    def at(self, t_s: float) -> ComplexArray:
        """(L,) complex power of each load [VA] at `t_s` [s] after the start, load positive."""
        ...


def reactive_factor(power_factor: float) -> float:
    """Q/P at a power factor; positive = inductive, negative = capacitive."""
    return math.copysign(math.sqrt(max(1 / power_factor**2 - 1, 0.0)), power_factor)


def load_seeds(loads: Sequence[TwinLoad]) -> list[int]:
    """One number per load, out of its name alone, so that a load added to a site does not change the others."""
    seen: dict[str, int] = {}
    seeds = []
    for load in loads:
        name = f"{load.node}.{load.connection}"
        seen[name] = seen.get(name, 0) + 1
        seeds.append(zlib.crc32(f"{name}#{seen[name]}".encode()))
    return seeds


class LoadNoise:
    """Sub-minute noise of each load: an Ornstein-Uhlenbeck process of unit variance, sampled on the grid of the caller's steps.

    Made in blocks. Each block starts from the end of a run over the block before it, which in turn starts from nothing: a block is
    so long that this is forgotten (e⁻¹² of it is left), so any block can be made without those before it.

    Reference: D. T. Gillespie, "Exact numerical simulation of the Ornstein-Uhlenbeck process", Phys. Rev. E 54 (1996).
    """

    def __init__(self, loads: Sequence[TwinLoad], seed: int, tau_s: float, step_s: float) -> None:
        self._count, self._step_s = len(loads), step_s
        self._entropy = [seed, *load_seeds(loads)]
        self._decay = math.exp(-step_s / tau_s) if tau_s > 0 else 0.0
        self._length = max(256, math.ceil(12 * tau_s / step_s))
        self._number = -1
        self._block: FloatArray = np.zeros((0, self._count))

    def at(self, t_s: float) -> FloatArray:
        """(L,) of unit variance."""
        number, row = divmod(math.floor(t_s / self._step_s + 1e-9), self._length)
        if number != self._number:
            self._number, self._block = number, self._make(number)
        value: FloatArray = self._block[row]
        return value

    def _make(self, number: int) -> FloatArray:
        before = self._walk(number - 1, np.zeros(self._count))
        return self._walk(number, before[-1])

    def _walk(self, number: int, start: FloatArray) -> FloatArray:
        generator = np.random.default_rng([*self._entropy, number + 1])
        track: FloatArray = generator.standard_normal((self._length, self._count))
        track *= math.sqrt(1 - self._decay**2)
        track[0] += self._decay * start
        for row in range(1, self._length):
            track[row] += self._decay * track[row - 1]
        return track


class LoadSet:
    """The loads of a site at their nodes.

    Args:
        step_s: grid on which the sub-minute noise is held [s].
        noise: whether there is any; its σ and τ are those of `site.twin`.
    """

    def __init__(
        self, layout: SiteLayout, source: LoadSource, *, step_s: float = 1.0, seed: int | None = None, noise: bool = True
    ) -> None:
        spec = layout.site.twin
        self.layout, self.source, self.loads = layout, source, source.loads
        nodes = np.array([layout.node_index[load.node] for load in self.loads], dtype=np.int64)
        self.terminals = Terminals(layout, nodes, tuple(load.connection for load in self.loads))
        self._on: FloatArray | None = None
        self._sigma = spec.load_noise_pct / 100 if noise else 0.0
        self._noise = LoadNoise(self.loads, spec.seed if seed is None else seed, spec.load_noise_tau_s, step_s)

    def switch(self, alive: BoolArray) -> None:
        """Only the loads at nodes (N,) that are alive draw power from now on."""
        self._on = None if alive.all() else alive[self.terminals.nodes].astype(np.float64)

    def at(self, t_s: float) -> ComplexArray:
        """(L,) powers with noise [VA]; the noise never turns a load round."""
        power = self.source.at(t_s)
        if self._on is not None:
            power = power * self._on
        if self._sigma <= 0 or not len(power):
            return power
        return power * np.maximum(1 + self._sigma * self._noise.at(t_s), 0.0)

    def node_load(self, t_s: float) -> ComplexArray:
        """(N, 3) own load of each node at its phase terminals, line-to-line loads by nominal shares [VA]."""
        return self.terminals.nominal_power(self.at(t_s))
