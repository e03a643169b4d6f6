"""How far a MIM can go towards what somebody wants at single ports of it, its other ports keeping its balance.

The ports that are left take what the wanted ones need: their powers sum to what the DC side gives, no port passes its rating, no
neutral its own. Along the straight line from where the MIM is to what is wanted, the possible part is one interval: a cone program
with the share as its objective, of as many cones as the MIM has ports and neutrals; solved only where a plan found no balance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mimctl.balance.solver import Cones, ConeSolver, solver_settings
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout
from mimctl.model.plan import SolveStatus

#: a MIM whose ports are all wanted somewhere is in balance within this share of its rating: rounding, and losses that move
OFF_BALANCE = 1e-3
#: the plan made afterwards keeps an inside
_MOST = 0.999
_TOLERANCE = 1e-7
#: a share nearer to all than this is all
_ALL = 1 - 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class PinnedMim:
    """One MIM of P ports and G neutrals, some of whose ports are wanted elsewhere.

    Args:
        start_va: (P,) where its ports are [VA].
        wanted_va: (P,) where they are wanted, NaN = left to the others' needs [VA].
        radius_va: (P,) greatest |p + jq| [VA].
        step_va: (P,) greatest change from `start_va` [VA]; inf = free.
        neutral_per_va: (G, P) neutral current of each port up to conjugation [1/V].
        neutral_a: (G,) greatest neutral current [A].
        sum_w: least and greatest Σp [W].
    """

    start_va: ComplexArray
    wanted_va: ComplexArray
    radius_va: FloatArray
    step_va: FloatArray
    neutral_per_va: ComplexArray
    neutral_a: FloatArray
    sum_w: tuple[float, float]

    @property
    def free(self) -> BoolArray:
        """(P,) ports that balance the others."""
        return np.isnan(self.wanted_va)


def neutrals_of(layout: SiteLayout, m: int) -> ComplexArray:
    """(G, P) what the ports of a MIM put on its neutrals, one at each node where it has single-phase ports [1/V]."""
    run = layout.ports_of_mim[m]
    nodes, per_va = layout.port_node[run], layout.port_neutral_per_va[run]
    return np.array([np.where(nodes == n, per_va, 0) for n in np.unique(nodes[per_va != 0])]).reshape(-1, len(nodes))


def reach(mim: PinnedMim) -> float:
    """The share of the way from `start_va` to `wanted_va` that can be balanced, from 0 to 1; NaN where not even the start can."""
    program = _program(mim)
    P = sparse.csc_array((len(program.q), len(program.q)))
    solver = ConeSolver(P, program.q, program.A, program.b, cones=program.cones, settings=solver_settings(_TOLERANCE))
    answer = solver.solve(program.q, program.b)
    if answer.status is SolveStatus.FAILED:
        return np.nan
    share = float(np.clip(answer.z[0], 0.0, 1.0))
    return 1.0 if share > _ALL else share


@dataclass(frozen=True, slots=True, eq=False)
class _Program:
    """min qᵀz subject to Az + s = b; z = (share, re and im of each free port), powers in p.u. of the largest port."""

    q: FloatArray
    A: sparse.csc_array
    b: FloatArray
    cones: Cones


def _program(mim: PinnedMim) -> _Program:
    free = np.flatnonzero(mim.free)
    base_va = max(float(mim.radius_va.max()), 1.0)
    first = np.where(mim.free, 0, mim.start_va) / base_va
    move = np.where(mim.free, 0, mim.wanted_va - mim.start_va) / base_va
    width = 1 + 2 * len(free)
    low, high = (w / base_va for w in mim.sum_w)
    total = np.zeros(width)
    total[0], total[1::2] = move.real.sum(), 1.0
    share = np.eye(1, width)[0]
    planes, sides = [-share, share, total, -total], [0.0, 1.0, high - first.real.sum(), first.real.sum() - low]
    near_va = mim.start_va * np.minimum(1.0, _MOST * mim.radius_va / np.maximum(np.abs(mim.start_va), 1e-9))
    for i, port in enumerate(free):
        own = np.zeros(width, dtype=np.complex128)
        own[1 + 2 * i : 3 + 2 * i] = 1, 1j
        _cone(planes, sides, own, 0, _MOST * mim.radius_va[port] / base_va)
        if np.isfinite(mim.step_va[port]):
            _cone(planes, sides, own, -near_va[port] / base_va, _MOST * mim.step_va[port] / base_va)
    for per_va, most_a in zip(mim.neutral_per_va, mim.neutral_a, strict=True):
        if not np.isfinite(most_a) or not np.abs(per_va).any():
            continue
        row = np.zeros(width, dtype=np.complex128)
        row[0], row[1::2], row[2::2] = per_va @ move, per_va[free], 1j * per_va[free]
        unit = float(np.abs(per_va).max())
        stands_a = min(most_a, abs(per_va @ mim.start_va))
        _cone(planes, sides, row / unit, per_va @ first / unit, max(_MOST * most_a, stands_a) / (unit * base_va))
    cones = Cones(0, 4, (len(sides) - 4) // 3)
    return _Program(-share, sparse.csc_array(np.array(planes)), np.array(sides), cones)


def _cone(planes: list[FloatArray], sides: list[float], row: ComplexArray, offset: complex, radius: float) -> None:
    """|row·z + offset| ≤ radius as three rows."""
    planes += [np.zeros(len(row)), -row.real, -row.imag]
    sides += [radius, complex(offset).real, complex(offset).imag]
