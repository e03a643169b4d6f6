"""Everything that restricts a plan speaks the same way: bounds in, narrower bounds out, before the solve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mimctl.model.bounds import Bounds
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import BoolArray, ComplexArray
from mimctl.model.report import SiteReport
from mimctl.model.state import SiteState


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """What is known when the bounds of a cycle are made.

    Args:
        report: without the details that no decision needs.
        setpoint_va: (K,) setpoints in force, NaN = not known [VA].
        usable: (M,) MIMs that report, follow their setpoints and are ours to command.
    """

    state: SiteState
    report: SiteReport
    forecast: LoadForecast
    setpoint_va: ComplexArray
    usable: BoolArray


class Narrower(Protocol):
    """A lease, a rule, a grant of the site level: whatever may take from what a plan may do, and never add to it."""

    def narrow(self, bounds: Bounds, situation: Situation) -> Bounds:
        """The bounds with this narrower's share taken away, each narrowing told in `restrictions`; never mutates."""
        ...


def narrowed(bounds: Bounds, narrowers: Sequence[Narrower], situation: Situation) -> Bounds:
    """Through all of them in turn."""
    for narrower in narrowers:
        bounds = narrower.narrow(bounds, situation)
    return bounds
