"""Which reading is wrong, when flows that must add up do not.

One wrong meter disturbs every sum that it takes part in, in proportion to its own error, and no other. So a meter explains a
group of disturbed sums when one error of it makes all its sums right again. A meter that stands in two sums, as that of a PDU
under a metered feed, is the only one that can explain both. The meters of the racks of one PDU stand in one sum each, the same
one: any of them explains it, and so do the PDU's own meter where no other sum checks it, and a load that nobody knows of. Sums
alone then tell that something is wrong, not what.

Reference: bad data identification by hypothesis testing: A. Monticelli, "State estimation in electric power systems" (1999), ch. 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mimctl.grid.sums import Sums
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Conflict:
    """Sums that do not add up together.

    Args:
        nodes: what the disturbed sums are about, the worst first.
        residual_va: (3,) of the worst: node less children less losses [VA].
        errors_va: by node, the error (3,) of its reading that explains everything, load positive [VA].
        explained: False: no single reading explains it; `errors_va` then names all that take part.
        hidden_load: a load at the node itself, unknown to the site file, would explain it as well.
    """

    nodes: tuple[int, ...]
    residual_va: ComplexArray
    errors_va: dict[int, ComplexArray]
    explained: bool
    hidden_load: bool


def conflicts(sums: Sums, residual_va: ComplexArray, tolerance_va: FloatArray, disturbed: BoolArray) -> Iterator[Conflict]:
    """The disturbed sums (E,), grouped, each group with what may explain it.

    Args:
        residual_va: (E, 3) [VA].
        tolerance_va: (E, 3) a residual within it is none [VA].
    """
    ratio = (np.abs(residual_va) / tolerance_va).max(axis=1)
    left = disturbed.copy()
    while left.any():
        group = _connected(sums, left, int(np.argmax(np.where(left, ratio, -1.0))))
        left &= ~group
        yield _conflict(sums, residual_va, tolerance_va, np.flatnonzero(group)[np.argsort(-ratio[group])])


def _connected(sums: Sums, left: BoolArray, first: int) -> BoolArray:
    """(E,) disturbed sums that share a reading with the first, or with one that does."""
    group = np.zeros_like(left)
    group[first] = True
    while True:
        shared = sums.members[group].any(axis=0)
        grown = np.asarray(left & (sums.members & shared).any(axis=1))
        if np.array_equal(grown, group):
            return group
        group = grown


def _conflict(sums: Sums, residual_va: ComplexArray, tolerance_va: FloatArray, group: IntArray) -> Conflict:
    members = np.flatnonzero(sums.members[group].any(axis=0))
    errors: dict[int, ComplexArray] = {}
    for node in map(int, members):
        mine = np.flatnonzero(sums.members[:, node])
        if np.isin(group, mine).all():
            error = _fitted(sums, residual_va, tolerance_va, mine, node)
            if error is not None:
                errors[node] = error
    worst = residual_va[group[0]]
    if not errors:
        all_of_it = {int(n): worst for n in members}
        return Conflict(tuple(map(int, sums.nodes[group])), worst, all_of_it, explained=False, hidden_load=False)
    # a load draws power: it can only make the node's own meter show more than those below
    hidden = len(group) == 1 and float(worst.real.sum()) > 0
    return Conflict(tuple(map(int, sums.nodes[group])), worst, errors, explained=True, hidden_load=hidden)


def _fitted(sums: Sums, residual_va: ComplexArray, tolerance_va: FloatArray, mine: IntArray, node: int) -> ComplexArray | None:
    """(3,) the error of one reading that fits all its sums best, None where even that leaves one of them disturbed [VA]."""
    blocks = np.concatenate([sums.block(int(e), node) for e in mine])
    residual, weight = residual_va[mine].reshape(-1), 1 / tolerance_va[mine].reshape(-1)
    error = np.asarray(np.linalg.lstsq(blocks * weight[:, None], residual * weight, rcond=None)[0], dtype=np.complex128)
    left = np.abs(residual - blocks @ error) * weight
    return error if float(left.max()) <= 1.0 else None
