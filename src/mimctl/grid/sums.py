"""Which flows of the tree must add up: a node without a load of its own draws what its children draw, and what is lost on the way.

Every such node gives one equation per phase. Where a child is not measured but only passes on, its own children stand for it;
where one is not measured and may draw power itself, the equation holds an unknown and checks nothing.

Flows are gross here: measured net import plus the output of the MIMs below at the meter's instant. MIMs that move between two
samples then disturb no sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mimctl.grid.linear import LinearMap
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, frozen


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """E equations: terms @ gross = losses @ lost, in the flat order of `TreeOperators`.

    Args:
        nodes: (E,) the node that each equation is about.
        terms: (3E, 3N) complex: +1 for the node, minus its children.
        losses: (3E, 3N) complex: what the branches on the way lose.
        losses_spread: (3E, 3N) |losses|², for variances.
        members: (E, N) whose reading takes part.
        equation, member: (P,) the same as pairs; every equation has its own node first, at `first` (E,).
        about: (P,) the node that the equation of each pair is about.
        both, both_spread: (3E, 6N) terms and −losses side by side, and their squares: one product for both.
        gather: (3E, 3P) |terms|² of each pair.
        ports: (3E, K) size of what one VA that a port is not known to put out adds; zero where it passes both sides.
    """

    nodes: IntArray
    terms: sparse.csr_array
    losses: sparse.csr_array
    losses_spread: sparse.csr_array
    members: BoolArray
    equation: IntArray
    member: IntArray
    about: IntArray
    first: IntArray
    both: LinearMap
    both_spread: LinearMap
    gather: LinearMap
    ports: LinearMap

    def residual_va(self, gross_va: ComplexArray, lost_va: ComplexArray) -> ComplexArray:
        """(E, 3) node less children less losses [VA]; gross and lost are (N, 3), unknown entries zero."""
        return (self.both @ np.concatenate([gross_va, lost_va]).reshape(-1)).reshape(-1, 3)

    def variance(self, of_readings: FloatArray, of_losses: FloatArray) -> FloatArray:
        """(E, 3) of the residual, out of those of the readings and of the losses, (N, 3) each [VA²]."""
        return (self.both_spread @ np.concatenate([of_readings, of_losses]).reshape(-1)).reshape(-1, 3)

    def gathered(self, of_pairs: FloatArray) -> FloatArray:
        """(E, 3) sums over the pairs of variances (P, 3) at the members' own phases."""
        return (self.gather @ of_pairs.reshape(-1)).reshape(-1, 3)

    def unsure(self, of_ports: FloatArray) -> FloatArray:
        """(E, 3) what the sums may be off by where the outputs of ports (K,) are not known better than that [VA]."""
        return (self.ports @ of_ports).reshape(-1, 3)

    def block(self, equation: int, node: int) -> ComplexArray:
        """(3, 3) how one node's flow enters one equation."""
        return np.asarray(self.terms[3 * equation : 3 * equation + 3, 3 * node : 3 * node + 3].toarray())


def sums_of(operators: TreeOperators, usable: BoolArray) -> Sums:
    """The equations in which every term is usable (N,); with all of them usable, one for every node without a load of its own."""
    layout = operators.layout
    children: list[list[int]] = [[] for _ in layout.nodes]
    for n, p in enumerate(layout.parent):
        if p >= 0:
            children[p].append(n)
    found = []
    for p in map(int, np.flatnonzero(usable & ~layout.has_own_load)):
        equation = _Equation(p, [(p, np.eye(3, dtype=np.complex128))], [])
        if _gather(operators, usable, children, p, np.eye(3, dtype=np.complex128), equation):
            found.append(equation)
    return _assemble(found, operators)


@dataclass(frozen=True, slots=True)
class _Equation:
    node: int
    terms: list[tuple[int, ComplexArray]]
    losses: list[tuple[int, ComplexArray]]


def _gather(
    operators: TreeOperators, usable: BoolArray, children: list[list[int]], at: int, way: ComplexArray, into: _Equation
) -> bool:
    """Add what is below `at`, whose flow reaches the equation through `way`; False where something there is not known."""
    for child in children[at]:
        through = way @ operators.upward[child]
        into.losses.append((child, through))
        if usable[child]:
            into.terms.append((child, -through))
        elif operators.layout.has_own_load[child] or not _gather(operators, usable, children, child, through, into):
            return False
    return True


def _assemble(equations: list[_Equation], operators: TreeOperators) -> Sums:
    nodes = len(operators.layout.nodes)
    size = (3 * len(equations), 3 * nodes)
    terms, losses = sparse.lil_array(size, dtype=np.complex128), sparse.lil_array(size, dtype=np.complex128)
    members = np.zeros((len(equations), nodes), dtype=np.bool_)
    for e, equation in enumerate(equations):
        for matrix, entries in ((terms, equation.terms), (losses, equation.losses)):
            for node, block in entries:
                matrix[3 * e : 3 * e + 3, 3 * node : 3 * node + 3] = block
        members[e, [node for node, _ in equation.terms]] = True
    rows = np.array([equation.node for equation in equations], dtype=np.int64)
    whole, lost = terms.tocsr(), losses.tocsr()
    losses_spread = abs(lost) ** 2
    pairs = [(e, node, np.abs(block) ** 2) for e, equation in enumerate(equations) for node, block in equation.terms]
    of_pairs = np.array([e for e, _, _ in pairs], dtype=np.int64)
    gather = sparse.lil_array((size[0], 3 * len(pairs)), dtype=np.float64)
    for p, (e, _, block) in enumerate(pairs):
        gather[3 * e : 3 * e + 3, 3 * p : 3 * p + 3] = block
    return Sums(
        nodes=frozen(rows),
        terms=whole,
        losses=lost,
        losses_spread=losses_spread,
        members=frozen(members),
        equation=frozen(of_pairs),
        member=frozen(np.array([node for _, node, _ in pairs], dtype=np.int64)),
        about=frozen(rows[of_pairs]),
        first=frozen(np.flatnonzero(np.diff(of_pairs, prepend=-1))),
        both=LinearMap(sparse.hstack([whole, -lost])),
        both_spread=LinearMap(sparse.hstack([abs(whole) ** 2, losses_spread])),
        gather=LinearMap(gather),
        ports=LinearMap(abs(whole @ operators.port_flow)),
    )
