"""The electrical tree: feeds, parents, conductors, cables, transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimctl.config.checks.repeats import repeats
from mimctl.config.draft import Draft
from mimctl.model.phases import PHASES
from mimctl.model.problem import Problem, error


def check_cycles(draft: Draft) -> Iterator[Problem]:
    """`node.cycle`: nodes that supply each other."""
    for cycle in draft.tree.cycles:
        circle = " → ".join((*cycle, cycle[0]))
        yield error("node.cycle", f"{draft.node_path[cycle[0]]}.parent", f"the parents go in a circle: {circle}")


def check_feeds_name_heads(draft: Draft) -> Iterator[Problem]:
    """`feed.not_a_head`: a feed at a node that another node supplies."""
    for path, feed in draft.feeds():
        node = draft.tree.nodes.get(feed.node)
        if node is not None and node.parent is not None:
            top = list(draft.tree.upwards(node.id))
            hint = f"; its head is '{top[-1]}'" if top else ""
            yield error("feed.not_a_head", f"{path}.node", f"'{node.id}' is supplied by '{node.parent}', it is no head{hint}")


def check_feeds_share_no_head(draft: Draft) -> Iterator[Problem]:
    """`feed.head_twice`: two feeds at one head."""
    for path, node, first in repeats((path, feed.node, feed.id) for path, feed in draft.feeds()):
        yield error("feed.head_twice", f"{path}.node", f"'{node}' is already the head of the feed '{first}'")


def check_heads_have_feeds(draft: Draft) -> Iterator[Problem]:
    """`node.no_feed`: a node without a parent that no feed names."""
    if draft.unclear("feeds", "node"):
        return
    fed = {str(feed.get("node")) for feed in draft.raw("feeds")}
    for path, node in draft.nodes():
        if node.parent is None and node.id not in fed:
            text = f"'{node.id}' has no parent and no feed: give it a parent, or add a feed with 'node: {node.id}'"
            yield error("node.no_feed", path, text)


def check_phases_are_supplied(draft: Draft) -> Iterator[Problem]:
    """`node.phase_unsupplied`: a node with a phase that its parent lacks."""
    for path, node in draft.nodes():
        above = draft.tree.supply.get(node.parent or "")
        if above is None or node.phases is None or node.transformer is not None:
            continue
        lacking = [p.value for p in node.phases if p not in above.phases]
        if lacking:
            text = f"its parent '{node.parent}' has {' '.join(above.phases)} only, not {' '.join(lacking)}"
            yield error("node.phase_unsupplied", f"{path}.phases", text)


def check_phases_once(draft: Draft) -> Iterator[Problem]:
    """`node.phase_twice`: a phase listed twice."""
    for path, node in draft.nodes():
        if node.phases is not None and len(set(node.phases)) < len(node.phases):
            yield error("node.phase_twice", f"{path}.phases", "each phase stands once at most")


def check_neutral_is_supplied(draft: Draft) -> Iterator[Problem]:
    """`node.neutral_unsupplied`: a neutral below a three-wire node without a transformer between."""
    for path, node in draft.nodes():
        above = draft.tree.supply.get(node.parent or "")
        if above is not None and node.neutral and not above.neutral and node.transformer is None:
            text = f"its parent '{node.parent}' has no neutral: drop 'neutral: true', or put a transformer between"
            yield error("node.neutral_unsupplied", f"{path}.neutral", text)


def check_neutral_rating_has_neutral(draft: Draft) -> Iterator[Problem]:
    """`node.neutral_absent`: a neutral rating where there is no neutral."""
    for path, node in draft.nodes():
        supply = draft.tree.supply.get(node.id)
        if supply is not None and not supply.neutral and node.neutral_rating_a is not None:
            text = "there is no neutral here: drop the neutral rating, or say 'neutral: true'"
            yield error("node.neutral_absent", f"{path}.neutral_rating_a", text)


def check_transformer_phases(draft: Draft) -> Iterator[Problem]:
    """`transformer.phases`: a three-phase transformer between anything but three phases."""
    for path, node in draft.nodes():
        if node.transformer is None:
            continue
        above = draft.tree.supply.get(node.parent or "")
        own = draft.tree.supply.get(node.id)
        if (above is not None and above.phases != PHASES) or (own is not None and own.phases != PHASES):
            text = "a transformer needs L1 L2 L3 on both sides; move the single phases to a node below it"
            yield error("transformer.phases", f"{path}.transformer", text)


def check_nothing_above_heads(draft: Draft) -> Iterator[Problem]:
    """`node.head_impedance`: a cable or transformer above a head, where there is nothing to connect to."""
    for path, node in draft.nodes():
        for key, part in (("cable", node.cable), ("transformer", node.transformer)):
            if node.parent is None and part is not None:
                text = f"a head has no parent, so no {key}: the feed's short_circuit describes what is behind it"
                yield error("node.head_impedance", f"{path}.{key}", text)


def check_cables(draft: Draft) -> Iterator[Problem]:
    """`cable.incomplete`: a cable with neither or both of the two ways to give its impedance."""
    form = "write '{r: 5 mohm, x: 3 mohm}' or '{length: 40 m, r_per_km: 0.32 ohm/km, x_per_km: 0.08 ohm/km}'"
    for path, node in draft.nodes():
        cable = node.cable
        if cable is None:
            continue
        whole = [cable.r_ohm is not None, cable.x_ohm is not None]
        per_length = [cable.length_m is not None, cable.r_per_km_ohm is not None, cable.x_per_km_ohm is not None]
        if not (all(whole) and not any(per_length)) and not (all(per_length) and not any(whole)):
            yield error("cable.incomplete", f"{path}.cable", form)


def check_weights(draft: Draft) -> Iterator[Problem]:
    """`node.weights_zero`: no node counts in the reported balance."""
    if draft.file.nodes and not any(n.balance_weight > 0 for n in draft.file.nodes):
        yield error("node.weights_zero", "nodes", "every balance_weight is 0; at least one node must count")


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    check_cycles,
    check_feeds_name_heads,
    check_feeds_share_no_head,
    check_heads_have_feeds,
    check_phases_are_supplied,
    check_phases_once,
    check_neutral_is_supplied,
    check_neutral_rating_has_neutral,
    check_transformer_phases,
    check_nothing_above_heads,
    check_cables,
    check_weights,
)
