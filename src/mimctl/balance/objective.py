"""The quadratic part of the objective as a linear map from weights to the stored entries of P.

J_n = (Σ_φ|s_φ|² − |Σ_φ s_φ|²/3)/(V·I_rated)², because 3(|I0|² + |I2|²) = Σ|I_φ|² − 3|I1|² and, at nominal angles, the currents
turned onto their own voltages sum to three times I1. With Q² = 1 − κ·11ᵀ, J_n plus concentration is |Q s|²/(V·I_rated)²: rows of
Q·response whose pairwise products are the entries of P.

Reference: C. L. Fortescue, "Method of symmetrical co-ordinates …", Trans. AIEE 37 (1918).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mimctl.balance.frame import Frame
from mimctl.grid.linear import LinearMap
from mimctl.model.layout import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Quadratic:
    """Upper triangle of P in CSC order, as a function of values.

    Args:
        pattern: P with any values.
        from_weights: (nnz, N) entries per unit of node weight.
        port_diagonal: (2K,) positions of the ports' diagonal.
        slack_diagonal: positions of the breaker and head slacks' diagonal.
        row, column: (nnz,) of each entry.
        from_upstream: (nnz, 36H) entries per unit of the heads' curvature matrices; None without upstream prices.
    """

    pattern: sparse.csc_array
    from_weights: LinearMap
    port_diagonal: IntArray
    slack_diagonal: IntArray
    row: IntArray
    column: IntArray
    from_upstream: LinearMap | None

    def flow_entries(self, weights: FloatArray, free: BoolArray, curvature: FloatArray | None) -> FloatArray:
        """(nnz,) what the node flows put into P.

        Args:
            weights: (N,) node weights, objective scale included.
            free: (K,) False: the port is cut off from the flows.
            curvature: (36H,) upstream curvature of every head in scaled units.
        """
        data: FloatArray = self.from_weights @ weights
        if self.from_upstream is not None and curvature is not None:
            data = data + self.from_upstream @ curvature
        if not free.all():
            open_ = np.concatenate([np.repeat(free, 2), np.ones(self.pattern.shape[0] - 2 * len(free), dtype=np.bool_)])
            data = data * (open_[self.row] & open_[self.column])
        return data

    def entries(self, flows: FloatArray, port_values: FloatArray, slack_value: float) -> FloatArray:
        """(nnz,) stored entries of P.

        Args:
            flows: what `flow_entries` gave.
            port_values: (K,) own curvature of each port.
            slack_value: curvature of every breaker slack.
        """
        data = flows.copy()
        data[self.port_diagonal[0::2]] += port_values
        data[self.port_diagonal[1::2]] += port_values
        data[self.slack_diagonal] = slack_value
        return data


def pairs_of_rows(matrix: sparse.csr_array) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """Every product of two entries of one row: (matrix row, smaller column, larger column, product)."""
    counts = np.diff(matrix.indptr)
    row_of = np.repeat(np.arange(matrix.shape[0]), counts)
    entry = np.arange(matrix.nnz)
    partners = counts[row_of]
    left = np.repeat(entry, partners)
    first = np.repeat(matrix.indptr[row_of], partners)
    offset = np.arange(len(left)) - np.repeat(np.cumsum(partners) - partners, partners)
    right = first + offset
    keep = matrix.indices[left] <= matrix.indices[right]
    left, right = left[keep], right[keep]
    return row_of[left], matrix.indices[left], matrix.indices[right], matrix.data[left] * matrix.data[right]


def _mixed_response(frame: Frame) -> tuple[sparse.csr_array, IntArray]:
    """Rows of Q·response of the reached nodes, and each row's node."""
    nodes = frame.reached
    kappa = 1 / 3 - frame.concentration[nodes] / 9
    theta = (1 - np.sqrt(1 - 3 * kappa)) / 3  # (1 − θ·11ᵀ)² = 1 − κ·11ᵀ
    sums = sparse.csr_array(np.kron(np.ones((3, 3)), np.eye(2)))
    rows = (6 * nodes[:, None] + np.arange(6)).ravel()
    mix = sparse.eye_array(6 * len(nodes)) - sparse.kron(sparse.diags_array(theta), sums)
    mixed = sparse.csr_array(sparse.csr_array(mix) @ frame.response[rows])
    per_va = sparse.diags_array(np.repeat(math.sqrt(2) / frame.rating_va[nodes], 6))
    matrix = sparse.csr_array(per_va @ mixed)
    matrix.sort_indices()
    return matrix, np.repeat(nodes, 6)


def _upstream_pairs(frame: Frame) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """(flat index into the (H, 6, 6) curvatures, row, column, product of responses), upper triangle."""
    found: list[tuple[IntArray, IntArray, IntArray, FloatArray]] = []
    for h, head in enumerate(frame.layout.heads):
        block = sparse.coo_array(frame.response[6 * head : 6 * head + 6])
        a = np.repeat(np.arange(block.nnz), block.nnz)
        b = np.tile(np.arange(block.nnz), block.nnz)
        row, column = block.coords
        keep = column[a] <= column[b]
        a, b = a[keep], b[keep]
        found.append((36 * h + 6 * row[a] + row[b], column[a], column[b], block.data[a] * block.data[b]))
    parts = [np.concatenate(p) for p in zip(*found, strict=True)]
    return parts[0], parts[1], parts[2], parts[3]


def _mapped(values: FloatArray, rows: IntArray, columns: IntArray, shape: tuple[int, int]) -> LinearMap:
    return LinearMap(sparse.coo_array((values, (rows, columns)), shape=shape))


def quadratic_form(frame: Frame, variables: int, slacks: dict[str, IntArray], upstream: bool) -> Quadratic:
    """Pattern of P and the maps that fill it."""
    matrix, node_of_row = _mixed_response(frame)
    rows, i, j, value = pairs_of_rows(matrix)
    diagonal = np.arange(2 * frame.ports)
    soft = np.concatenate([slacks["phase"], slacks["neutral"], slacks["head"]])
    flat, ui, uj, uvalue = _upstream_pairs(frame) if upstream else (*(np.empty(0, np.int64),) * 3, np.empty(0))
    all_i = np.concatenate([i, diagonal, soft, ui])
    all_j = np.concatenate([j, diagonal, soft, uj])
    keys, position = np.unique(all_j * variables + all_i, return_inverse=True)
    column, row = np.divmod(keys, variables)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(column, minlength=variables))])
    pattern = sparse.csc_array((np.ones(len(keys)), row, indptr), shape=(variables, variables))
    ends = np.cumsum([len(i), len(diagonal), len(soft)])
    nodes = len(frame.layout.nodes)
    heads = 36 * len(frame.layout.heads)
    return Quadratic(
        pattern=pattern,
        from_weights=_mapped(value, position[: ends[0]], node_of_row[rows], (len(keys), nodes)),
        port_diagonal=position[ends[0] : ends[1]],
        slack_diagonal=position[ends[1] : ends[2]],
        row=row,
        column=column,
        from_upstream=_mapped(uvalue, position[ends[2] :], flat, (len(keys), heads)) if upstream else None,
    )
