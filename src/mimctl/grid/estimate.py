"""What the missing flows are, as far as the others tell: generalised least squares on the sums of the tree.

Each connected group of missing nodes is a small problem of its own. Its equations are the sums that a missing node takes part
in; what is measured in them counts with its variance. What the sums leave open is filled with what the node drew last, with a
variance that grows with its age: k nodes missing under one total are one equation, and only the past can divide it.

Reference: A. Abur, A. Gomez Exposito, "Power system state estimation" (2004), ch. 2; A. C. Aitken, "On least squares and linear
combination of observations" (1935).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mimctl.grid.sums import Sums
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray

#: "nothing is known": a standard deviation beyond any load [VA]
_NOTHING_VA = 1e6
#: a posterior below this share of it came out of the sums
_DETERMINED = 1e-2
#: nothing is known better than this [VA]
_FLOOR_VA = 1.0
#: a matrix with more entries than these is worth a sparse one
_LARGE = 20000


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What there is to estimate from. Shapes (N, 3) unless said; gross flows, load positive.

    Args:
        usable: (N,) the reading counts.
        gross_va: readings, anything where not usable [VA].
        sigma_va: their standard deviation, of P in the real part and of Q in the imaginary one.
        last_va: what each node drew last, NaN where nobody knows [VA].
        last_sigma_va: how sure that is now, as `sigma_va`.
        lost_va: losses of the branches above each node [VA]; lost_sigma_va: their standard deviation.
        present: phases that the nodes have.
        unsure_va: (K,) how far the outputs of ports may be off that the gross flows count with; None = nothing [VA].
    """

    usable: BoolArray
    gross_va: ComplexArray
    sigma_va: ComplexArray
    last_va: ComplexArray
    last_sigma_va: ComplexArray
    lost_va: ComplexArray
    lost_sigma_va: FloatArray
    present: BoolArray
    unsure_va: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Flows of the missing nodes; NaN everywhere else.

    Args:
        gross_va: (N, 3) [VA]
        sigma_va: (N, 3) standard deviations as in `Known`.
        by_sums: (N,) the sums alone determine it; False with a value: it has a share in a known total, and the past divides it.
        group: (N,) nodes that were estimated together have the same number; −1 = none.
    """

    gross_va: ComplexArray
    sigma_va: ComplexArray
    by_sums: BoolArray
    group: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Missing nodes that belong together, and the equations that speak of them, for one set of usable readings.

    Args:
        rows: (3E,) rows of the equations in the sums.
        missing, measured: (U,), (K,) nodes.
        of_missing: (6E, 6U) how the missing flows enter, in real numbers; of_measured: (6E, 6K) the measured ones, sparse where
            that is quicker.
    """

    rows: IntArray
    missing: IntArray
    measured: IntArray
    of_missing: FloatArray
    of_measured: FloatArray | sparse.csr_array


def groups_of(sums: Sums, usable: BoolArray) -> tuple[Group, ...]:
    """The groups of the nodes without a usable reading (N,), worked out once for each set of readings.

    Args:
        sums: one equation for each node without a load of its own, as if every node were measured.
    """
    found = []
    for own, missing in _connected(sums, ~usable):
        equations = _with_neighbours(sums, usable, own)
        rows = np.asarray((3 * equations[:, None] + np.arange(3)).ravel())
        measured = np.flatnonzero(sums.members[equations].any(axis=0) & usable)
        block = sums.terms[rows]
        of_missing, of_measured = (_real(block[:, _columns(nodes)].toarray()) for nodes in (missing, measured))
        large = of_measured.size > _LARGE
        found.append(Group(rows, missing, measured, of_missing, sparse.csr_array(of_measured) if large else of_measured))
    return tuple(found)


def estimate(sums: Sums, groups: Sequence[Group], known: Known) -> Estimate:
    """Estimate every missing flow that some sum speaks of; sums and groups as in `groups_of`."""
    nodes = len(known.usable)
    gross, sigma = np.full((nodes, 3), np.nan + 1j * np.nan), np.full((nodes, 3), np.nan + 1j * np.nan)
    by_sums, number_of = np.zeros(nodes, dtype=np.bool_), np.full(nodes, -1, dtype=np.int64)
    lost_va = np.asarray(sums.losses @ known.lost_va.reshape(-1))
    lost_variance = np.asarray(sums.losses_spread @ known.lost_sigma_va.reshape(-1) ** 2)
    if known.unsure_va is not None:
        lost_variance = lost_variance + (sums.unsure(known.unsure_va).reshape(-1) / 2) ** 2
    for number, group in enumerate(groups):
        problem = _problem(group, known, lost_va[group.rows], lost_variance[group.rows])
        mean, deviation, determined = problem.solve()
        gross[group.missing], sigma[group.missing] = mean, deviation
        by_sums[group.missing], number_of[group.missing] = determined, number
    # the past may divide a total, it cannot stand for one
    total = known.usable[sums.nodes] | (by_sums & np.isfinite(gross).all(axis=1))[sums.nodes]
    below = sums.members[total].copy()
    below[np.arange(len(below)), sums.nodes[total]] = False
    idle = ~known.usable & ~by_sums & ~below.any(axis=0)
    gross[idle] = sigma[idle] = np.nan
    return Estimate(gross, sigma, by_sums, number_of)


def _connected(sums: Sums, missing: BoolArray) -> Iterator[tuple[IntArray, IntArray]]:
    """(equations, missing nodes) that belong together: they share an equation, or a chain of them."""
    touches = sums.members & missing[None, :]
    left: BoolArray = np.any(touches, axis=1)
    while left.any():
        rows = np.zeros_like(left)
        rows[np.argmax(left)] = True
        while True:
            nodes = touches[rows].any(axis=0)
            grown = np.asarray((touches & nodes).any(axis=1))
            if np.array_equal(grown, rows):
                break
            rows = grown
        left = left & ~rows
        yield np.flatnonzero(rows), np.flatnonzero(nodes)


def _with_neighbours(sums: Sums, usable: BoolArray, equations: IntArray) -> IntArray:
    """The equations, and those in which nothing is missing that share a reading with them: they make that reading better."""
    shared = sums.members[equations].any(axis=0) & usable
    near = np.any(sums.members & shared, axis=1) & ~np.any(sums.members & ~usable, axis=1)
    return np.union1d(equations, np.flatnonzero(near))


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """sums @ x = right ± covariance, for U missing nodes as 6U reals: P of L1 L2 L3, then Q, node by node.

    Args:
        sums: (6E, 6U)
        right: (6E,)
        covariance: (6E, 6E)
        last: (6U,) NaN where nobody knows; last_sigma: (6U,)
        certain: (6U,) phases that are not there: zero.
    """

    sums: FloatArray
    right: FloatArray
    covariance: FloatArray
    last: FloatArray
    last_sigma: FloatArray
    certain: BoolArray

    def solve(self) -> tuple[ComplexArray, ComplexArray, BoolArray]:
        """(U, 3) values, (U, 3) deviations, (U,) determined without the past."""
        nothing = np.where(self.certain, 1e-3, _NOTHING_VA)
        mean, deviation = self._posterior(np.zeros_like(nothing), nothing)
        determined: BoolArray = np.all((deviation < _DETERMINED * _NOTHING_VA).reshape(-1, 6), axis=1)
        if not determined.all():
            usable = ~self.certain & np.isfinite(self.last) & np.isfinite(self.last_sigma) & np.repeat(~determined, 6)
            mean, deviation = self._posterior(
                np.where(usable, self.last, 0.0), np.where(usable, np.maximum(self.last_sigma, _FLOOR_VA), nothing)
            )
        unknown = deviation >= _DETERMINED * _NOTHING_VA
        return _complex(np.where(unknown, np.nan, mean)), _complex(np.where(unknown, np.nan, deviation)), determined

    def _posterior(self, prior: FloatArray, prior_sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and deviation (6U,) with a prior, in the form that needs no inverse of the prior's information."""
        spread = self.sums * prior_sigma**2
        inner = spread @ self.sums.T + self.covariance
        gain = np.linalg.solve(inner, spread).T
        mean = prior + gain @ (self.right - self.sums @ prior)
        # Joseph's form stays positive where the prior is wider than the answer by many orders
        rest = np.eye(len(prior)) - gain @ self.sums
        variance = ((rest * prior_sigma**2) * rest).sum(axis=1) + ((gain @ self.covariance) * gain).sum(axis=1)
        return mean, np.sqrt(variance)


def _problem(group: Group, known: Known, lost_va: ComplexArray, lost_variance: FloatArray) -> _Problem:
    missing, measured = group.missing, group.measured
    right = _reals(lost_va.reshape(-1, 3)) - group.of_measured @ _reals(known.gross_va[measured])
    doubt = lost_variance.reshape(-1, 3) + _FLOOR_VA**2
    weighted = group.of_measured * _reals(known.sigma_va[measured]) ** 2
    covariance = weighted @ group.of_measured.T
    if not isinstance(covariance, np.ndarray):
        covariance = covariance.toarray()
    covariance = covariance + np.diag(_reals(np.asarray(doubt * (1 + 1j), dtype=np.complex128)))
    return _Problem(
        sums=group.of_missing,
        right=right,
        covariance=covariance,
        last=_reals(known.last_va[missing]),
        last_sigma=_reals(known.last_sigma_va[missing]),
        certain=np.repeat(~known.present[missing][:, None, :], 2, axis=1).reshape(-1),
    )


def _columns(nodes: IntArray) -> IntArray:
    return np.asarray((3 * nodes[:, None] + np.arange(3)).ravel())


def _reals(values: ComplexArray) -> FloatArray:
    """(n, 3) complex → (6n,): per row the three real parts, then the three imaginary ones."""
    return np.concatenate([values.real, values.imag], axis=1).reshape(-1)


def _complex(values: FloatArray) -> ComplexArray:
    """(6n,) → (n, 3) complex."""
    parts = values.reshape(-1, 2, 3)
    joined = np.empty((len(parts), 3), dtype=np.complex128)
    joined.real, joined.imag = parts[:, 0], parts[:, 1]
    return joined


def _real(matrix: ComplexArray) -> FloatArray:
    """(3a, 3b) complex map → (6a, 6b) real one in the order of `_reals`."""
    a, b = matrix.shape[0] // 3, matrix.shape[1] // 3
    blocks = matrix.reshape(a, 3, b, 3).transpose(0, 2, 1, 3)
    whole = np.empty((a, b, 2, 3, 2, 3))
    whole[:, :, 0, :, 0], whole[:, :, 0, :, 1] = blocks.real, -blocks.imag
    whole[:, :, 1, :, 0], whole[:, :, 1, :, 1] = blocks.imag, blocks.real
    return whole.transpose(0, 2, 3, 1, 4, 5).reshape(6 * a, 6 * b)
