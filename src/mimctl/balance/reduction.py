"""The tree in as few variables as it needs.

What the ports do to the flow of node n is u_n = Σ_children T_c u_c − Σ_ports E_k x_k. A node gets variables of its own only where
that sum has many terms; elsewhere (a rack under one MIM, a chain of busbars, a node without ports) u_n is written out in
the variables below it. Both forms have the same optimum; the mixed one has the sparsest equations.

Real stacking: a complex flow (s1, s2, s3) is (p1, q1, p2, q2, p3, q3), a port power is (p, q).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import BoolArray, FloatArray, IntArray

#: coefficients below this are rounding of exact zeros
_ZERO = 1e-12


def real_stacked(matrix: sparse.sparray) -> sparse.csr_array:
    """(2m, 2n) real form of an (m, n) complex matrix that acts on stacked (re, im) pairs."""
    entries = sparse.coo_array(matrix)
    row, column = entries.coords
    re, im = entries.data.real, entries.data.imag
    rows = np.concatenate([2 * row, 2 * row, 2 * row + 1, 2 * row + 1])
    columns = np.concatenate([2 * column, 2 * column + 1, 2 * column, 2 * column + 1])
    values = np.concatenate([re, -im, im, re])
    keep = np.abs(values) > _ZERO
    shape = (2 * entries.shape[0], 2 * entries.shape[1])
    return sparse.csr_array((values[keep], (rows[keep], columns[keep])), shape=shape)


@dataclass(frozen=True, eq=False)
class Reduction:
    """Flow response of every node, written in z = (x, v): port powers, then flows of the kept nodes.

    Args:
        kept: (R,) nodes with variables of their own.
        response: (6N, 2K + 6R) u = response @ z.
        defining: (6R, 2K + 6R) defining @ z = 0 ties v to x.
        capacity_va: (N,) sum of the port ratings in the subtree [VA].
    """

    kept: IntArray
    response: sparse.csr_array
    defining: sparse.csr_array
    capacity_va: FloatArray


def capacity_below(operators: TreeOperators) -> FloatArray:
    """(N,) sum of the port ratings in each subtree [VA]."""
    layout = operators.layout
    total = np.zeros(len(layout.nodes))
    np.add.at(total, layout.port_node, layout.port_rating_va)
    for n in range(len(total) - 1, -1, -1):
        if layout.parent[n] >= 0:
            total[layout.parent[n]] += total[n]
    return total


def kept_nodes(operators: TreeOperators, most_terms: int) -> BoolArray:
    """(N,) whether a node gets its own variables: its sum would have more than `most_terms` real terms."""
    layout = operators.layout
    terms = np.zeros(len(layout.nodes), dtype=np.int64)
    np.add.at(terms, layout.port_node, 2)
    kept = np.zeros(len(terms), dtype=np.bool_)
    for n in range(len(terms) - 1, -1, -1):
        kept[n] = terms[n] > most_terms
        if layout.parent[n] >= 0:
            terms[layout.parent[n]] += 6 if kept[n] else terms[n]
    return kept


def _child_to_parent(operators: TreeOperators) -> sparse.csr_array:
    """(6N, 6N) real: u of the parents from u of their children."""
    parent = operators.layout.parent
    child = np.flatnonzero(parent >= 0)
    rows = (3 * parent[child, None, None] + np.arange(3)[None, :, None]) + np.zeros((1, 1, 3), dtype=np.int64)
    columns = (3 * child[:, None, None] + np.arange(3)[None, None, :]) + np.zeros((1, 3, 1), dtype=np.int64)
    size = 3 * len(parent)
    blocks = sparse.coo_array((operators.upward[child].ravel(), (rows.ravel(), columns.ravel())), shape=(size, size))
    return real_stacked(blocks)


def _own_ports(operators: TreeOperators) -> sparse.csr_array:
    """(6N, 2K) real: −E, what ports do to the flow of their own node."""
    layout = operators.layout
    ports = len(layout.ports)
    rows = 3 * layout.port_node[:, None] + np.arange(3)[None, :]
    columns = np.repeat(np.arange(ports), 3)
    shape = (3 * len(layout.nodes), ports)
    return real_stacked(sparse.coo_array((-layout.port_shares.ravel(), (rows.ravel(), columns)), shape=shape))


def reduce_tree(operators: TreeOperators, most_terms: int) -> Reduction:
    """Choose the kept nodes and write every node's response in the variables that remain."""
    keep = kept_nodes(operators, most_terms)
    kept = np.flatnonzero(keep)
    up = _child_to_parent(operators)
    place = (6 * kept[:, None] + np.arange(6)).ravel()
    columns = np.arange(len(place))
    into = sparse.csr_array((np.ones(len(place)), (place, columns)), shape=(up.shape[0], len(place)))
    passing = sparse.csr_array(up @ sparse.diags_array(np.repeat((~keep).astype(np.float64), 6)))
    term = sparse.csr_array(sparse.hstack([_own_ports(operators), up @ into]))
    written_out = term
    while term.nnz:
        term = sparse.csr_array(passing @ term)
        written_out = written_out + term
    ports = 2 * len(operators.layout.ports)
    own = sparse.hstack([sparse.csr_array((up.shape[0], ports)), into])
    eliminated = sparse.diags_array(np.repeat((~keep).astype(np.float64), 6)) @ written_out
    unit = sparse.hstack([sparse.csr_array((len(place), ports)), sparse.eye_array(len(place))])
    defining = sparse.csr_array(unit - written_out[place])
    response = sparse.csr_array(eliminated + own)
    for matrix in (defining, response):
        matrix.data[np.abs(matrix.data) < _ZERO] = 0.0
        matrix.eliminate_zeros()
    return Reduction(kept, response, defining, capacity_below(operators))
