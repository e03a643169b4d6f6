"""The balancing solve: our whole call against cvxpy and against a bare Clarabel solve of the same matrices.

Columns: `ours` is one call of `Balancer.solve`, values in, plan out, loads having moved since the last; `cvxpy` builds and solves a
vectorised, tree-sparse model of the same instance at the same tolerance; `bare` sets Clarabel up with our matrices and
solves; `re-solve` only exchanges values and solves; `cold` is the first call of a new Balancer. `gap` is how far the objective
of ours is from Clarabel's at 1e-9; `cvxpy differs` is how far the independent model's is, a check that both say the same.
"""

from __future__ import annotations

import argparse
import dataclasses
from itertools import cycle

import clarabel
import cvxpy as cp
import numpy as np
from _measure import best_ratio, interleaved, once_s, ratio, show
from scipy import sparse

from mimctl.balance.inputs import control_values
from mimctl.balance.problem import Balancer
from mimctl.balance.reduction import real_stacked
from mimctl.balance.settings import BalanceSettings
from mimctl.balance.solver import clarabel_cones, solver_settings
from mimctl.grid.tree import TreeOperators
from mimctl.model.address import DeviceAddress
from mimctl.model.bounds import Bounds
from mimctl.model.connection import Connection
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.node import Feed, Node, NodeKind, Transformer, Winding
from mimctl.model.phases import Rotation
from mimctl.model.site import Mim, PortSpec, Site

RACKS_PER_PDU = 10
PDUS_PER_TRANSFORMER = 10
RACK_A = 16.0
#: the tightest that cvxpy's form of the larger instances is solved to without stopping short
_CVXPY_EXACT = 1e-8


def build_layout(mims: int, rng: np.random.Generator) -> SiteLayout:
    """Two feeds, transformers with a delta, PDUs of about ten racks, one three-port MIM at every rack."""
    address = DeviceAddress("bench", 1)
    pdus = max(1, mims // RACKS_PER_PDU)
    transformers = max(2, pdus // PDUS_PER_TRANSFORMER)
    big = RACK_A * mims
    nodes = [Node(f"feed{f}", NodeKind.FEED, None, big, 230.0) for f in "AB"]
    for t in range(transformers):
        winding = Transformer(Winding.DYN, 3 * 230.0 * big / transformers)
        nodes.append(Node(f"tr{t}", NodeKind.TRANSFORMER, f"feed{'AB'[t % 2]}", 2 * big / transformers, 230.0, transformer=winding))
    for p in range(pdus):
        rating = RACK_A * RACKS_PER_PDU * 1.5
        nodes.append(Node(f"pdu{p}", NodeKind.PDU, f"tr{p % transformers}", rating, 230.0, neutral_rating_a=rating))
    for r in range(mims):
        nodes.append(Node(f"rack{r}", NodeKind.RACK, f"pdu{rng.integers(pdus)}", RACK_A, 230.0, neutral_rating_a=RACK_A))
    omega = 1 / len(nodes)
    devices = tuple(
        Mim(f"mim{r}", address, tuple(PortSpec(f"rack{r}", c, 500.0) for c in (Connection.L1, Connection.L2, Connection.L3)))
        for r in range(mims)
    )
    weighted = tuple(dataclasses.replace(n, omega=omega) for n in nodes)
    feeds = (Feed("A", "feedA"), Feed("B", "feedB"))
    return SiteLayout(Site("bench", "bench", "UTC", 50.0, Rotation.POSITIVE, (), feeds, weighted, (), devices, (), (), ()))


def build_bounds(layout: SiteLayout) -> Bounds:
    mims = len(layout.mims)
    neutral = layout.neutral_rating_a
    return Bounds(
        mim_enabled=np.ones(mims, dtype=np.bool_),
        port_s_max_va=layout.port_rating_va,
        mim_neutral_max_a=np.full(mims, 500.0 / 230.0),
        mim_dc_w=np.full(mims, -25.0),
        step_max_va=np.full(len(layout.ports), np.inf),
        node_limit_a=np.repeat(layout.limit_a[:, None], 3, axis=1),
        node_neutral_limit_a=np.where(np.isnan(neutral), np.inf, neutral),
        head_min_import_w=np.zeros(2),
        weights=layout.omega,
    )


def base_load(layout: SiteLayout, rng: np.random.Generator, tight: bool) -> ComplexArray:
    """Uneven rack loads; in the tight case every tenth rack has a phase at its limit."""
    racks = np.array([n.kind is NodeKind.RACK for n in layout.nodes])
    amps = rng.uniform(1.0, 9.0, size=(len(racks), 3))
    if tight:
        amps[rng.random(len(racks)) < 0.1, 0] = 13.5
    power = amps * 230.0 * racks[:, None]
    return power * (1 + 1j * rng.uniform(0.05, 0.35, size=power.shape))


def forecast_of(load: ComplexArray) -> LoadForecast:
    every = np.ones(len(load), dtype=np.bool_)
    return LoadForecast(load.real.copy(), load.imag.copy(), every, every)


class CvxpyModel:
    """The same program as a person would write it well: sparse tree equations, one expression per family."""

    def __init__(self, operators: TreeOperators, settings: BalanceSettings) -> None:
        self.layout, self.settings, self.operators = operators.layout, settings, operators
        nodes, ports = len(self.layout.nodes), len(self.layout.ports)
        child = np.flatnonzero(self.layout.parent >= 0)
        rows = 3 * self.layout.parent[child, None, None] + np.arange(3)[None, :, None] + np.zeros((1, 1, 3), dtype=int)
        columns = 3 * child[:, None, None] + np.arange(3)[None, None, :] + np.zeros((1, 3, 1), dtype=int)
        up = sparse.coo_array((operators.upward[child].ravel(), (rows.ravel(), columns.ravel())), shape=(3 * nodes, 3 * nodes))
        place = 3 * self.layout.port_node[:, None] + np.arange(3)[None, :]
        own = (self.layout.port_shares.ravel(), (place.ravel(), np.repeat(np.arange(ports), 3)))
        self.own = real_stacked(sparse.coo_array(own, shape=(3 * nodes, ports)))
        self.tree = sparse.csr_array(sparse.eye_array(6 * nodes) - real_stacked(up))
        turn = sparse.kron(sparse.eye_array(nodes), (1 / operators.unit_voltages)[None, :])
        self.neutral = real_stacked(sparse.coo_array(turn))
        mim = sparse.csr_array((np.ones(ports), (self.layout.port_mim, np.arange(ports))), shape=(len(self.layout.mims), ports))
        self.balance = sparse.kron(mim, [[1.0, 0.0]])
        unit = np.array([self.layout.port_shares[k] @ (1 / operators.unit_voltages) / 230.0 for k in range(ports)])
        self.mim_neutral = real_stacked(mim @ sparse.diags_array(unit))

    def solve(self, load: ComplexArray, bounds: Bounds, quadratic: np.ndarray, linear: ComplexArray, tolerance: float) -> float:
        """Build and solve; the optimum without the constant of the movement term."""
        layout, settings = self.layout, self.settings
        nodes, kva = len(layout.nodes), 1e3
        x, y = cp.Variable(2 * len(layout.ports)), cp.Variable(6 * nodes)
        rating = layout.voltage_ln_v * layout.rating_a / kva
        theta_squares = np.sqrt(settings.concentration / 3)  # |Q s|² with Q = 1 − θ·11ᵀ is J plus concentration
        mix = np.eye(6) - (1 - theta_squares) / 3 * np.kron(np.ones((3, 3)), np.eye(2))
        rows = sparse.diags_array(np.repeat(np.sqrt(bounds.weights) / rating, 6)) @ sparse.kron(sparse.eye_array(nodes), mix)
        limit = layout.voltage_ln_v[:, None] * bounds.node_limit_a / kva
        phase, neutral, head = cp.Variable(3 * nodes, nonneg=True), cp.Variable(nodes, nonneg=True), cp.Variable(6, nonneg=True)
        keep = 1 - settings.margin
        least = (layout.voltage_ln_v * layout.limit_a).min() / kva
        finite = np.isfinite(bounds.node_neutral_limit_a)
        neutral_va = layout.voltage_ln_v * np.where(finite, bounds.node_neutral_limit_a, 0) / kva
        active = (6 * layout.heads[:, None] + np.array([0, 2, 4])).ravel()
        soft = cp.hstack([phase, neutral, head])
        price = settings.overload_linear * np.concatenate([np.ones(4 * nodes), np.full(6, settings.head_import_factor)])
        own = np.repeat(quadratic, 2) * kva**2
        cost = cp.sum_squares(rows @ y) + price @ soft + settings.overload_quadratic * cp.sum_squares(soft)
        cost = cost + 0.5 * cp.sum_squares(cp.multiply(np.sqrt(own), x)) + (linear.view(np.float64) * kva) @ x
        rules = [
            self.tree @ y == load.reshape(-1).view(np.float64) / kva - self.own @ x,
            self.balance @ x == bounds.mim_dc_w / kva,
            cp.norm(cp.reshape(x, (len(layout.ports), 2), order="C"), axis=1) <= bounds.port_s_max_va / kva,
            cp.norm(cp.reshape(self.mim_neutral @ x, (len(layout.mims), 2), order="C"), axis=1) <= bounds.mim_neutral_max_a / kva,
            cp.norm(cp.reshape(y, (3 * nodes, 2), order="C"), axis=1)
            <= keep * limit.ravel() + cp.multiply(np.repeat(layout.voltage_ln_v * layout.limit_a / kva, 3), phase),
            cp.norm(cp.reshape(self.neutral @ y, (nodes, 2), order="C")[finite], axis=1)
            <= keep * neutral_va[finite] + cp.multiply(neutral_va, neutral)[finite],
            y[active] + least * head >= np.repeat(bounds.head_min_import_w, 3) / kva,
        ]
        problem = cp.Problem(cp.Minimize(1e3 * cost), rules)
        problem.solve(solver=cp.CLARABEL, tol_gap_rel=tolerance, tol_gap_abs=tolerance, tol_feas=tolerance, max_threads=1)
        return float(problem.value) / 1e3


def bench(mims: int, tight: bool, rounds: int, with_cvxpy: bool) -> dict[str, object]:
    rng = np.random.default_rng(mims)
    layout = build_layout(mims, rng)
    operators, bounds, settings = TreeOperators(layout), build_bounds(layout), BalanceSettings()
    load = base_load(layout, rng, tight)
    drifted = cycle([forecast_of(load * (1 + 0.01 * rng.standard_normal(load.shape))) for _ in range(7)])
    nothing = np.zeros(len(layout.ports), dtype=np.complex128)
    operators.accumulate, operators.port_flow  # noqa: B018  the operators of a site are there before any solve
    balancer = Balancer(operators, settings)
    cold_s = once_s(lambda: balancer.solve(forecast_of(load), bounds, nothing, nothing))
    state = {"anchor": nothing}

    def ours() -> None:
        plan = balancer.solve(next(drifted), bounds, state["anchor"], state["anchor"])
        state["anchor"] = plan.inject_w + 1j * plan.inject_var
        state["plan"] = plan

    for _ in range(3):
        ours()
    P, q, A, b, cones = balancer.last_matrices()
    P, A = sparse.csc_matrix(P), sparse.csc_matrix(A)

    def bare() -> None:
        clarabel.DefaultSolver(P, q, A, b, clarabel_cones(cones), solver_settings(settings.tolerance)).solve()

    kept = clarabel.DefaultSolver(P, q, A, b, clarabel_cones(cones), solver_settings(settings.tolerance))

    def again() -> None:
        kept.update(q=q, b=b, P=P.data)
        kept.solve()

    anchor = state["anchor"].copy()
    values, _, _ = control_values(balancer.frame, forecast_of(load), bounds, anchor, anchor)
    model = CvxpyModel(operators, settings)
    constant = -0.5 * np.vdot(values.linear, anchor).real

    def cvxpy_at(tolerance: float) -> float:
        return model.solve(load, bounds, values.quadratic, values.linear, tolerance) + constant

    times = interleaved({"ours": ours, "bare": bare, "re-solve": again}, rounds)
    # apart from the others: its hundred thousand objects would leave them cold caches
    rival = interleaved({"ours": ours, "cvxpy": lambda: cvxpy_at(settings.tolerance)}, max(3, rounds // 4)) if with_cvxpy else {}
    plan = balancer.solve(forecast_of(load), bounds, anchor, anchor)
    exact = Balancer(operators, dataclasses.replace(settings, tolerance=1e-9))
    best = exact.solve(forecast_of(load), bounds, anchor, anchor).objective
    return {
        "MIMs": mims,
        "case": "tight" if tight else "calm",
        "ours ms": times["ours"].median_ms,
        "bare ms": times["bare"].median_ms,
        "re-solve ms": times["re-solve"].median_ms,
        "cvxpy ms": rival["cvxpy"].median_ms if with_cvxpy else None,
        "cold ms": 1e3 * cold_s,
        "cvxpy/ours": ratio(rival, "cvxpy", "ours") if with_cvxpy else None,
        "ours/bare": ratio(times, "ours", "bare"),
        "ours/bare best": best_ratio(times, "ours", "bare"),
        "ours/re-solve": ratio(times, "ours", "re-solve"),
        "warm/cold": times["ours"].median_ms / (1e3 * cold_s),
        "gap": abs(plan.objective - best) / abs(best),
        "cvxpy differs": abs(cvxpy_at(_CVXPY_EXACT) - best) / abs(best) if with_cvxpy else None,
        "iterations": plan.iterations,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="10,100,1000", help="MIMs, comma separated (10000 takes a minute)")
    parser.add_argument(
        "--case", choices=("calm", "tight", "both"), default="both", help="no breaker near, or every tenth rack at its limit"
    )
    parser.add_argument("--rounds", type=int, default=0, help="0 = by size")
    parser.add_argument("--no-cvxpy", action="store_true")
    parser.add_argument("--json", metavar="FILE", help="also as JSON; - is standard output")
    options = parser.parse_args()
    rows = []
    for size in (int(s) for s in options.sizes.split(",")):
        for tight in (False, True):
            if options.case in ("both", "tight" if tight else "calm"):
                rounds = options.rounds or max(3, min(30, 3000 // size))
                rows.append(bench(size, tight, rounds, not options.no_cvxpy))
    show("balance: one solve", rows, options.json)


if __name__ == "__main__":
    main()
