"""Values that a golden vector expects, beside those that were found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from mimctl.model.problem import Problem, error

#: floats in a profile are decimal, registers are binary
_RELATIVE = 1e-6


class Vector(Protocol):
    """A golden vector of any kind: what it shows, and the values that it must give (None = no value)."""

    @property
    def name(self) -> str: ...

    @property
    def expect(self) -> tuple[tuple[str, float | None], ...]: ...


def compared(vector: Vector, found: Mapping[str, float], path: str) -> list[Problem]:
    """One problem for each value that is another one.

    Args:
        found: by key; NaN, or no entry, where there is no value.
        path: of the vector in the profile file.
    """
    problems: list[Problem] = []
    for key, want in vector.expect:
        got = found.get(key, math.nan)
        if not _same(got, want):
            shown = "no value" if math.isnan(got) else f"{got:g}"
            wanted = "no value" if want is None else f"{want:g}"
            problems.append(error("profile.vector", f"{path}.expect.{key}", f"{vector.name}: gives {shown}, expected {wanted}"))
    return problems


def _same(got: float, want: float | None) -> bool:
    if want is None or math.isnan(got):
        return want is None and math.isnan(got)
    return math.isclose(got, want, rel_tol=_RELATIVE, abs_tol=_RELATIVE)
