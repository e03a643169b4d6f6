"""What a rule of the judge finds, and what it leaves to a MIM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from mimctl.model.layout import BoolArray
from mimctl.safety.case import Case


class Leave(IntEnum):
    """What a MIM may do; the greater is the stricter.

    FREE: the plan's setpoint. SHRINK: no port may grow. HOLD: the accepted setpoint stands. SILENT: nothing is written, the
    device's own validity timer decides. RELEASE: to its safe state.
    """

    FREE = 0
    SHRINK = 1
    HOLD = 2
    SILENT = 3
    RELEASE = 4


@dataclass(frozen=True, slots=True, eq=False)
class Interlock:
    """One rule's finding.

    Args:
        flagged: (M,)
        leave: what is left to the flagged MIMs.
        code: stable code of the reason.
        sentence: the reason for one MIM (its index), with figures.
    """

    flagged: BoolArray
    leave: Leave
    code: str
    sentence: Callable[[int], str]


def nodes_over(case: Case, m: int, flagged: BoolArray) -> str:
    """The flagged nodes (N,) at or above the ports of one MIM, by name."""
    layout = case.ratings.layout
    over = layout.below[:, layout.port_node[layout.ports_of_mim[m]]].any(axis=1)
    return ", ".join(layout.nodes[n].id for n in np.flatnonzero(flagged & over))
