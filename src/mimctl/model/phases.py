"""Phases, their rotation, and values that exist once per phase."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

#: 1∠120°, Fortescue's operator.
A = cmath.exp(2j * math.pi / 3)


class Phase(StrEnum):
    L1 = "L1"
    L2 = "L2"
    L3 = "L3"

    @property
    def column(self) -> int:
        """0, 1, 2: the column of this phase in every array of shape (…, 3)."""
        return PHASES.index(self)


PHASES: tuple[Phase, Phase, Phase] = (Phase.L1, Phase.L2, Phase.L3)


class Rotation(StrEnum):
    """The order in which the phase voltages reach their peak."""

    POSITIVE = "L1L2L3"
    NEGATIVE = "L1L3L2"

    @property
    def unit_voltages(self) -> tuple[complex, complex, complex]:
        """Nominal line-to-neutral voltages per unit, L1 at angle zero."""
        return (1 + 0j, A.conjugate(), A) if self is Rotation.POSITIVE else (1 + 0j, A, A.conjugate())


@dataclass(frozen=True, slots=True)
class PerPhase(Generic[T]):
    """Three values, one per phase. The type at the edges; inside, arrays of shape (…, 3)."""

    l1: T
    l2: T
    l3: T

    def __iter__(self) -> Iterator[T]:
        return iter((self.l1, self.l2, self.l3))

    def __getitem__(self, phase: Phase) -> T:
        return (self.l1, self.l2, self.l3)[phase.column]

    def map(self, function: Callable[[T], U]) -> PerPhase[U]:
        return PerPhase(function(self.l1), function(self.l2), function(self.l3))


def per_phase_or_none(row: Sequence[float]) -> PerPhase[float | None]:
    """A row of an array as a PerPhase value: NaN, which lives only inside arrays, becomes None."""
    l1, l2, l3 = (None if math.isnan(x) else float(x) for x in row)
    return PerPhase(l1, l2, l3)
