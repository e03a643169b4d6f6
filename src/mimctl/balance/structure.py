"""The matrices of one shape of the program: which constraint families are in, and where each value goes.

Variables  z̄ = (x, v | σ phase, σ neutral, σ head | t⁺, t⁻): ports, kept flows, softening of breakers, elastic power balance.
Rows       equalities: tree, power balance · inequalities: σ ≥ 0, t ≥ 0, head import · cones of three: port rating,
           MIM neutral, step, node phase, node neutral.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from mimctl.balance.frame import Frame
from mimctl.balance.limits import LimitSet
from mimctl.balance.objective import Quadratic, quadratic_form
from mimctl.balance.solver import Cones
from mimctl.model.layout import BoolArray, IntArray


@dataclass(frozen=True, slots=True)
class Shape:
    """Which families of constraints a program holds.

    Args:
        limits: the node phase currents and node neutrals that are in, and with them the head import; None = without.
        neutral: neutral conductors of the MIMs.
        steps: distance from the last accepted setpoint.
        upstream: price of the grid above the heads.
        elastic: the power balance may be missed at a high price; only after a solve proved infeasible.
    """

    limits: LimitSet | None = None
    neutral: bool = False
    steps: bool = False
    upstream: bool = False
    elastic: bool = False


@dataclass(slots=True)
class _Rows:
    """Collects blocks of rows; `at` gives each block's row indices."""

    columns: int
    blocks: list[sparse.csr_array] = field(default_factory=list)
    at: dict[str, IntArray] = field(default_factory=dict)
    count: int = 0

    def add(self, name: str, block: sparse.csr_array) -> None:
        """Append a block that may be narrower than the program; missing columns are zero."""
        missing = self.columns - block.shape[1]
        if missing:
            block = sparse.csr_array(sparse.hstack([block, sparse.csr_array((block.shape[0], missing))]))
        self.at[name] = np.arange(self.count, self.count + block.shape[0])
        self.blocks.append(block)
        self.count += block.shape[0]


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """Constant data of one shape.

    Args:
        A: constraint matrix, all ports free.
        masked: (nnz A,) column whose freedom scales the entry; −1 = always as it is.
        at: row indices by family; for cones the first row of each.
        columns: column indices by family of slacks.
        phase_rows: (C, 2) node and phase of each phase cone.
        neutral_nodes: nodes with a neutral cone.
    """

    shape: Shape
    A: sparse.csc_array
    masked: IntArray
    at: dict[str, IntArray]
    columns: dict[str, IntArray]
    cones: Cones
    quadratic: Quadratic
    phase_rows: IntArray
    neutral_nodes: IntArray
    variables: int
    rows: int


def _columns(frame: Frame, shape: Shape, phases: int, neutrals: int) -> tuple[dict[str, IntArray], int]:
    layout = frame.layout
    sizes = {
        "phase": phases,
        "neutral": neutrals,
        "head": 3 * len(layout.guarded) if shape.limits is not None else 0,
        "elastic": 2 * len(layout.mims) if shape.elastic else 0,
    }
    columns, at = {}, len(frame.scale_va)
    for name, size in sizes.items():
        columns[name] = np.arange(at, at + size)
        at += size
    return columns, at


def _selector(rows: int, columns: IntArray, width: int, value: float) -> sparse.csr_array:
    """(rows, width) with `value` at (i, columns[i])."""
    index = (np.arange(len(columns)), columns)
    return sparse.csr_array((np.full(len(columns), value), index), shape=(rows, width))


def cone_block(radius: sparse.csr_array | None, plane: sparse.csr_array) -> sparse.csr_array:
    """Rows (radius_i, re_i, im_i) of cones |plane| ≤ radius; `plane` has 2 rows a cone, `radius` one (None = constant)."""
    count, width = plane.shape[0] // 2, plane.shape[1]
    top = sparse.csr_array((count, width)) if radius is None else radius
    order = np.empty(3 * count, dtype=np.int64)
    order[0::3] = np.arange(count)
    order[1::3] = count + 2 * np.arange(count)
    order[2::3] = count + 2 * np.arange(count) + 1
    return sparse.csr_array(sparse.vstack([top, plane]).tocsr()[order])


def balance_rows(frame: Frame) -> sparse.csr_array:
    """(M, 2K) Σp of each MIM over its total rating."""
    layout = frame.layout
    value = layout.port_rating_va / frame.mim_rating_va[layout.port_mim]
    index = (layout.port_mim, 2 * np.arange(frame.ports))
    return sparse.csr_array((value, index), shape=(len(layout.mims), 2 * frame.ports))


def _equalities(rows: _Rows, frame: Frame, shape: Shape, columns: dict[str, IntArray]) -> None:
    rows.add("tree", frame.defining)
    balance = balance_rows(frame)
    if shape.elastic:
        mims = len(frame.layout.mims)
        plus, minus = columns["elastic"][:mims], columns["elastic"][mims:]
        extra = _selector(mims, plus, rows.columns, 1.0) - _selector(mims, minus, rows.columns, 1.0)
        wide = sparse.hstack([balance, sparse.csr_array((mims, rows.columns - balance.shape[1]))])
        balance = sparse.csr_array(wide + extra)
    rows.add("balance", balance)


def _inequalities(rows: _Rows, frame: Frame, columns: dict[str, IntArray]) -> None:
    slacks = np.concatenate([columns[name] for name in ("phase", "neutral", "head", "elastic")])
    rows.add("slack", _selector(len(slacks), slacks, rows.columns, -1.0))
    heads = frame.layout.guarded
    if not len(columns["head"]):
        return
    active = (6 * heads[:, None] + np.array([0, 2, 4])).ravel()
    base = np.repeat(frame.head_base_va, 3)
    import_rows = sparse.diags_array(-1 / base) @ frame.response[active]
    missing = sparse.csr_array((len(active), rows.columns - import_rows.shape[1]))
    softened = sparse.hstack([import_rows, missing]) + _selector(len(active), columns["head"], rows.columns, -1.0)
    rows.add("head", sparse.csr_array(softened))


def _limit_cones(rows: _Rows, frame: Frame, structure_columns: dict[str, IntArray], phases: IntArray, nodes: IntArray) -> None:
    place = 3 * phases[:, 0] + phases[:, 1]
    pairs = (2 * place[:, None] + np.arange(2)).ravel()
    base = np.repeat(frame.limit_va[phases[:, 0]], 2)
    plane = sparse.diags_array(-1 / base) @ frame.response[pairs]
    rows.add("phase", _softened(plane, structure_columns["phase"], rows.columns))
    if len(nodes):
        pairs = (2 * nodes[:, None] + np.arange(2)).ravel()
        base = np.repeat(frame.neutral_base_va[nodes], 2)
        plane = sparse.diags_array(-1 / base) @ frame.neutral_response[pairs]
        rows.add("neutral", _softened(plane, structure_columns["neutral"], rows.columns))


def _softened(plane: sparse.sparray, slacks: IntArray, width: int) -> sparse.csr_array:
    wide = sparse.csr_array(sparse.hstack([plane, sparse.csr_array((plane.shape[0], width - plane.shape[1]))]))
    return cone_block(_selector(len(slacks), slacks, width, -1.0), wide)


def _unmasked_rows(rows: _Rows) -> BoolArray:
    """Rows that hold whether or not a port is free: its own rating and step cones."""
    always = np.zeros(rows.count, dtype=np.bool_)
    for name in ("port", "step"):
        if name in rows.at:
            always[rows.at[name]] = True
    return always


def build_structure(frame: Frame, shape: Shape) -> Structure:
    """All constant data of one shape."""
    phases, nodes = np.empty((0, 2), np.int64), np.empty(0, np.int64)
    if shape.limits is not None:
        phases, nodes = np.argwhere(shape.limits.phase_mask()), np.flatnonzero(shape.limits.neutral_mask())
    columns, variables = _columns(frame, shape, len(phases), len(nodes))
    rows = _Rows(variables)
    _equalities(rows, frame, shape, columns)
    equalities = rows.count
    _inequalities(rows, frame, columns)
    inequalities = rows.count - equalities
    unit = -sparse.eye_array(2 * frame.ports).tocsr()
    rows.add("port", cone_block(None, unit))
    if shape.neutral and frame.groups.count:
        rows.add("group", cone_block(None, sparse.csr_array(-frame.groups.scaled_rows)))
    if shape.steps:
        rows.add("step", cone_block(None, unit))
    if shape.limits is not None:
        _limit_cones(rows, frame, columns, phases, nodes)
    A = sparse.csc_array(sparse.vstack(rows.blocks))
    A.sort_indices()
    column_of = np.repeat(np.arange(variables), np.diff(A.indptr))
    free = (column_of < 2 * frame.ports) & ~_unmasked_rows(rows)[A.indices]
    cones = Cones(equalities, inequalities, (rows.count - equalities - inequalities) // 3)
    at = {name: index[::3] if name in ("port", "group", "step", "phase", "neutral") else index for name, index in rows.at.items()}
    return Structure(
        shape=shape,
        A=A,
        masked=np.where(free, column_of, -1),
        at=at,
        columns=columns,
        cones=cones,
        quadratic=quadratic_form(frame, variables, columns, shape.upstream),
        phase_rows=phases,
        neutral_nodes=nodes,
        variables=variables,
        rows=rows.count,
    )
