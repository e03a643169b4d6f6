"""The electrical tree of a site file as far as it hangs together: order, and what each node inherits from above."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mimctl.config.schema_grid import NodeItem
from mimctl.model.connection import Connection
from mimctl.model.phases import PHASES, Phase


@dataclass(frozen=True, slots=True)
class Supply:
    """What reaches a node: line conductors, a neutral or none, the nominal voltage [V]."""

    phases: tuple[Phase, ...]
    neutral: bool
    voltage_ln_v: float

    def missing(self, connection: Connection) -> tuple[Phase, ...]:
        """The phases that a connection needs and the node lacks."""
        return tuple(p for p in connection.phases if p not in self.phases)


@dataclass(frozen=True, slots=True)
class TreeView:
    """Nodes that hang on a head, parents first; nodes of a cycle or under an unknown parent are left out.

    Args:
        order: ids, parents before their children, otherwise as in the file.
        supply: by id, for the nodes in `order`.
        cycles: ids that go round in a circle.
    """

    nodes: dict[str, NodeItem]
    order: tuple[str, ...]
    supply: dict[str, Supply]
    cycles: tuple[tuple[str, ...], ...] = ()
    children: dict[str, list[str]] = field(default_factory=dict)

    def upwards(self, node: str | None) -> Iterator[str]:
        """The node and everything above it; nothing for a node outside the tree."""
        while node is not None and node in self.supply:
            yield node
            node = self.nodes[node].parent

    def below(self, node: str) -> Iterator[str]:
        """The node and everything under it."""
        waiting = [node]
        while waiting:
            current = waiting.pop()
            yield current
            waiting.extend(self.children.get(current, ()))


def view_tree(items: Iterable[NodeItem], voltage_ln_v: float) -> TreeView:
    """Order the nodes and hand voltages, phases and neutrals down."""
    nodes: dict[str, NodeItem] = {}
    for item in items:
        nodes.setdefault(item.id, item)
    children: dict[str, list[str]] = {}
    for item in nodes.values():
        if item.parent is not None:
            children.setdefault(item.parent, []).append(item.id)
    order: list[str] = []
    waiting = [item.id for item in reversed(nodes.values()) if item.parent is None]
    while waiting:
        order.append(waiting.pop())
        waiting.extend(reversed(children.get(order[-1], ())))
    supply: dict[str, Supply] = {}
    for node in order:
        parent = nodes[node].parent
        supply[node] = _supply(nodes[node], None if parent is None else supply[parent], voltage_ln_v)
    return TreeView(nodes, tuple(order), supply, tuple(_cycles(nodes, set(order))), children)


def _supply(item: NodeItem, above: Supply | None, voltage_ln_v: float) -> Supply:
    fresh = above is None or item.transformer is not None
    phases = PHASES if fresh or above is None else above.phases
    if item.phases is not None:
        phases = tuple(p for p in PHASES if p in item.phases)
    inherited = True if fresh or above is None else above.neutral
    neutral = inherited if item.neutral is None else item.neutral
    if item.transformer is not None:
        voltage = item.transformer.secondary_voltage_ln_v
    else:
        voltage = voltage_ln_v if above is None else above.voltage_ln_v
    return Supply(phases, neutral, voltage)


def _cycles(nodes: dict[str, NodeItem], done: set[str]) -> Iterator[tuple[str, ...]]:
    seen = set(done)
    for start in nodes:
        trail: list[str] = []
        node: str | None = start
        while node is not None and node in nodes and node not in seen:
            seen.add(node)
            trail.append(node)
            node = nodes[node].parent
        if node in trail:
            yield tuple(trail[trail.index(node) :])
