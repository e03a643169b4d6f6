"""Ratings that cannot work, and what is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from mimctl.config.draft import Draft
from mimctl.config.quoting import count
from mimctl.model.connection import Connection
from mimctl.model.problem import Problem, error, warning


def check_breakers_shrink_downwards(draft: Draft) -> Iterator[Problem]:
    """`rating.child_larger`: a breaker larger than the one above it protects nothing that the upper one does not."""
    for path, node in draft.nodes():
        parent = draft.tree.nodes.get(node.parent or "")
        if parent is None or node.transformer is not None or not math.isfinite(node.rating_a):
            continue
        if node.rating_a > parent.rating_a:
            text = f"its breaker ({node.rating_a:g} A) is larger than that of '{parent.id}' above it ({parent.rating_a:g} A)"
            yield warning("rating.child_larger", f"{path}.rating_a", text)


def check_transformers_carry_children(draft: Draft) -> Iterator[Problem]:
    """`rating.transformer_small`: a breaker below a transformer that lets through more than the transformer's rating."""
    for path, node in draft.nodes():
        supply = draft.tree.supply.get(node.id)
        if node.transformer is None or supply is None:
            continue
        rated_a = node.transformer.rated_va / (3 * supply.voltage_ln_v)
        for child in draft.tree.children.get(node.id, ()):
            continuous_a = draft.tree.nodes[child].rating_a * draft.tree.nodes[child].continuous_factor
            if math.isfinite(continuous_a) and continuous_a > rated_a * 1.001:
                text = f"the transformer carries {rated_a:.0f} A a phase, '{child}' below it may take {continuous_a:.0f} A"
                yield warning("rating.transformer_small", f"{path}.transformer.rated_va", text)


def check_ports_fit_breakers(draft: Draft) -> Iterator[Problem]:
    """`rating.port_over_breaker`: a port whose rated current trips the breaker of its node."""
    for path, _, port in draft.ports():
        node, supply = draft.tree.nodes.get(port.node), draft.tree.supply.get(port.node)
        if node is None or supply is None:
            continue
        parts = 3 if port.connection is Connection.THREE_PHASE else 1
        current_a = port.rating_va / parts / port.connection.nominal_voltage_v(supply.voltage_ln_v)
        if current_a > node.rating_a:
            text = f"the port can drive {current_a:.1f} A, the breaker of '{node.id}' has {node.rating_a:g} A"
            yield error("rating.port_over_breaker", path, text)


def check_every_node_is_measured(draft: Draft) -> Iterator[Problem]:
    """`node.no_measurement`: neither the node nor anything above it has a meter."""
    if draft.unclear("meters", "node"):
        return
    metered = _metered(draft)
    for path, node in draft.nodes():
        if node.parent is not None or node.id not in draft.tree.supply or node.id in metered:
            continue
        dark = _unmetered_below(draft, node.id, metered)
        more = f", nor {count(len(dark) - 1, 'node')} below it" if len(dark) > 1 else ""
        yield error("node.no_measurement", path, f"nothing measures '{node.id}'{more}: add a meter with 'node: {node.id}'")


def _metered(draft: Draft) -> set[str]:
    return {str(meter.get("node")) for meter in draft.raw("meters")}


def _unmetered_below(draft: Draft, head: str, metered: set[str]) -> list[str]:
    dark, waiting = [], [head]
    while waiting:
        node = waiting.pop()
        if node not in metered:
            dark.append(node)
            waiting.extend(draft.tree.children.get(node, ()))
    return dark


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    check_breakers_shrink_downwards,
    check_transformers_carry_children,
    check_ports_fit_breakers,
    check_every_node_is_measured,
)
