"""What would have happened without: J and currents without a MIM, without any, and without a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mimctl.balance.problem import Balancer
from mimctl.control.explain.limits import Limit, relieved, site_relieved
from mimctl.control.explain.numbers import Numbers
from mimctl.control.past.light_arrays import wide
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout
from mimctl.model.plan import Plan, SolveStatus


@dataclass(frozen=True, slots=True, eq=False)
class Alternative:
    """One way that it might have gone.

    Args:
        objective: reported J; NaN = unknown.
        amps: (nodes, 3) of the nodes looked at, NaN = unknown [A].
    """

    what: str
    objective: float
    amps: FloatArray


def alternatives(
    n: Numbers, set_va: ComplexArray, nodes: Sequence[int], *, mim: int | None = None, limit: Limit | None = None
) -> list[Alternative]:
    """The decision beside what it might have been.

    Args:
        set_va: (K,) setpoints as the judge left them; not known = zero [VA].
        nodes: to look at.
        mim: that might not have been there; limit: likewise.
    """
    set_va = np.nan_to_num(set_va)
    found = [("without any MIM", n.flow()), ("as planned", n.flow(n.plan_va)), ("as set", n.flow(set_va))]
    if mim is not None:
        name, gone = n.layout.mims[mim].id, n.layout.port_mim == mim
        found.append((f"without {name}, the others as set", n.flow(np.where(gone, 0.0, set_va))))
        found += _planned(f"without {name}, the others planned anew", n, n.again(without=mim))
    if limit is not None:
        found += _planned(f"without the limit at {limit_name(n.layout, limit)}", n, _without_limit(n, limit))
    return [Alternative(what, n.objective(flow), n.amps(flow)[list(nodes)]) for what, flow in found]


def figures(layout: SiteLayout, found: Sequence[Alternative], nodes: Sequence[int]) -> list[dict[str, Any]]:
    """The same for machines: currents by node."""
    names = [layout.nodes[node].id for node in nodes]
    return [{"what": a.what, "objective": a.objective, "current_a": dict(zip(names, a.amps.tolist(), strict=True))} for a in found]


def limit_name(layout: SiteLayout, limit: Limit) -> str:
    """Where a limit stands."""
    if limit.node is not None:
        place = "the neutral of " if limit.place is None else ""
        return f"{place}{layout.nodes[limit.node].id}{'' if limit.place is None else f' L{limit.place + 1}'}"
    name = layout.mims[limit.mim or 0].id
    return f"the neutral of {name}" if limit.place is None else f"port {limit.place + 1} of {name}"


def _planned(what: str, n: Numbers, plan: Plan) -> list[tuple[str, ComplexArray]]:
    """The flows of a plan, where the solve came to one."""
    if plan.status is SolveStatus.FAILED:
        return []
    return [(what, n.flow(plan.inject_w + 1j * plan.inject_var))]


def _without_limit(n: Numbers, limit: Limit) -> Plan:
    bounds, site = relieved(n.bounds, limit, n.layout), site_relieved(n.layout.site, limit)
    if site is n.layout.site:
        return n.again(bounds)
    balancer = Balancer(TreeOperators(SiteLayout(site)), n.settings)
    return balancer.solve(n.forecast, bounds, wide(n.solve.anchor_va), wide(n.solve.before_va))
