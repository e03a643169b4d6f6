"""What the loads are expected to be over the coming control interval."""

from __future__ import annotations

from dataclasses import dataclass

from mimctl.model.layout import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class LoadForecast:
    """The load of each node itself, without its children and without MIM output, load positive.

    Args:
        load_w: (N, 3) [W]
        load_var: (N, 3) [var]
        known: (N,) False where no measurement covers the node: its load is taken at the nearest metered ancestor.
        covered: (N,) False where no metered ancestor is usable either: nothing about the node's flow is known.
    """

    load_w: FloatArray
    load_var: FloatArray
    known: BoolArray
    covered: BoolArray
