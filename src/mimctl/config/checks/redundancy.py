"""Pairs of nodes of which either carries the load of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimctl.config.draft import Draft
from mimctl.model.problem import Problem, error, warning


def check_pairs(draft: Draft) -> Iterator[Problem]:
    """`redundant.feeds`, `redundant.twice`: a pair on one feed; load that would be counted twice."""
    seen: dict[str, int] = {}
    for i, pair in enumerate(draft.file.redundant):
        if any(node not in draft.tree.nodes for node in pair):
            continue
        ways = [list(draft.tree.upwards(node)) for node in pair]
        if ways[0][-1:] == ways[1][-1:]:
            text = f"'{pair[0]}' and '{pair[1]}' stand on one feed, and are lost together: name nodes of two feeds"
            yield error("redundant.feeds", f"redundant[{i}]", text)
        for k, way in enumerate(ways):
            before = next((seen[node] for node in way if node in seen), None)
            below = next((j for node, j in seen.items() if pair[k] in list(draft.tree.upwards(node))), None)
            other = before if before is not None else below
            if other is not None:
                text = f"the load of '{pair[k]}' is in the pair redundant[{other}] already: name each load once, best by its cords"
                yield error("redundant.twice", f"redundant[{i}][{k}]", text)
        for node in pair:
            seen.setdefault(node, i)


def check_pairs_stay_in_zone(draft: Draft) -> Iterator[Problem]:
    """`redundant.zone_split`: a pair of which no controller sees both."""
    for i, (a, b) in enumerate(draft.file.redundant):
        zones = [draft.zone_of_node.get(node) for node in (a, b)]
        if zones[0] != zones[1]:
            text = f"'{a}' and '{b}' are in different zones, of which neither keeps room for the other: make it one zone"
            yield warning("redundant.zone_split", f"redundant[{i}]", text)


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (check_pairs, check_pairs_stay_in_zone)
