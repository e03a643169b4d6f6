"""Ids and what refers to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimctl.config.draft import SECTIONS, Draft
from mimctl.config.schema_devices import PortItem
from mimctl.config.schema_rules import AnyRule
from mimctl.config.wording import did_you_mean
from mimctl.model.problem import Problem, error

#: what a person calls an entry of a section
_NAMES = {"batteries": "battery", "mims": "MIM", "transfers": "transfer device"}

#: to find the nearest of thousands of ids takes milliseconds; who has more unknown ids than this sees the pattern
_MOST_HINTS = 50


def name_of(section: str) -> str:
    return _NAMES.get(section, section.removesuffix("s"))


def check_ids(draft: Draft) -> Iterator[Problem]:
    """`id.duplicate`: two entries of a section with one id, or ids that differ by case alone."""
    for section in SECTIONS:
        yield from _twice(draft, [section])
    yield from _twice(draft, ["meters", "mims", "batteries", "transfers"], across=True)


def _twice(draft: Draft, sections: list[str], across: bool = False) -> Iterator[Problem]:
    first: dict[str, tuple[str, str, str]] = {}
    for section in sections:
        for i, item in enumerate(getattr(draft.file, section)):
            folded = item.id.lower()
            if folded not in first:
                first[folded] = (section, item.id, draft.path(section, i))
                continue
            other_section, other, place = first[folded]
            if across == (other_section == section):
                continue
            what = f"the {name_of(other_section)} '{other}' ({place})"
            why = "is already the id of" if other == item.id else "differs by case alone from"
            yield error("id.duplicate", f"{draft.path(section, i)}.id", f"'{item.id}' {why} {what}; choose another id")


def check_references(draft: Draft) -> Iterator[Problem]:
    """`reference.unknown`: an id that nothing in the file has."""
    hints: dict[tuple[str, str], str] = {}
    for path, section, word in _references(draft):
        if word in draft.known[section]:
            continue
        if (section, word) not in hints:
            hints[section, word] = did_you_mean(word, draft.known[section]) if len(hints) < _MOST_HINTS else ""
        yield error("reference.unknown", path, f"unknown {name_of(section)} '{word}'{hints[section, word]}")


def _references(draft: Draft) -> Iterator[tuple[str, str, str]]:
    """Every (path, section, id) by which one entry names another."""
    for source in (_in_grid, _in_devices, _in_control):
        yield from source(draft)


def _in_grid(draft: Draft) -> Iterator[tuple[str, str, str]]:
    for path, feed in draft.feeds():
        yield f"{path}.node", "nodes", feed.node
    for path, node in draft.nodes():
        if node.parent is not None:
            yield f"{path}.parent", "nodes", node.parent
    for i, pair in enumerate(draft.file.redundant):
        for k, node_id in enumerate(pair):
            yield f"redundant[{i}][{k}]", "nodes", node_id
    for path, transfer in draft.transfers():
        for key, section in (("feed", "feeds"), ("node", "nodes"), ("link", "links")):
            if (word := getattr(transfer, key)) is not None:
                yield f"{path}.{key}", section, word
    for path, load in draft.loads():
        yield f"{path}.node", "nodes", load.node
    for path, island in draft.islands():
        yield f"{path}.contactor", "transfers", island.contactor
        for i, word in enumerate(island.also_open):
            yield f"{path}.also_open[{i}]", "transfers", word
        for i, word in enumerate(island.formers):
            yield f"{path}.formers[{i}]", "mims", word


def _in_devices(draft: Draft) -> Iterator[tuple[str, str, str]]:
    for path, meter in draft.meters():
        yield f"{path}.node", "nodes", meter.node
        yield f"{path}.link", "links", meter.link
    for path, mim in draft.mims():
        yield f"{path}.link", "links", mim.link
        if mim.node is not None:
            yield f"{path}.node", "nodes", mim.node
        for i, port in enumerate(mim.ports):
            if isinstance(port, PortItem) and port.node is not None:
                yield f"{path}.ports[{i}].node", "nodes", port.node
    for path, battery in draft.batteries():
        yield f"{path}.mim", "mims", battery.mim


def _in_control(draft: Draft) -> Iterator[tuple[str, str, str]]:
    for i, zone in enumerate(draft.file.zones):
        for h, head in enumerate(zone.heads):
            yield f"{draft.path('zones', i)}.heads[{h}]", "nodes", head
    for i, rule in enumerate(draft.file.rules):
        yield from _in_rule(draft.path("rules", i), rule)


def _in_rule(path: str, rule: AnyRule) -> Iterator[tuple[str, str, str]]:
    for section in ("nodes", "feeds", "zones", "mims"):
        for n, word in enumerate(getattr(rule, section, None) or ()):
            yield f"{path}.{section}[{n}]", section, word
    for node in getattr(rule, "weights", ()):
        yield f"{path}.weights.{node}", "nodes", node
    if rule.when is not None:
        for key, section in (("node", "nodes"), ("feed", "feeds"), ("battery", "batteries")):
            if (word := getattr(rule.when, key)) is not None:
                yield f"{path}.when.{key}", section, word


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (check_ids, check_references)
