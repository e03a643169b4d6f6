"""What of a broken site file can still be checked: misspelt keys respelt, broken keys and entries left out."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mimctl.config.annotations import known_keys
from mimctl.config.draft import SECTIONS, Draft, list_at
from mimctl.config.schema import SiteFile
from mimctl.config.validate import loc_in_data, meant_key

#: what stands in for a broken value, so that the rest of its entry can still be checked
_STAND_INS: dict[str, dict[str, Any]] = {"nodes": {"rating_a": float("inf"), "kind": "branch"}}
#: optional keys without which an entry would mean something else
_VITAL = {
    "nodes": {"parent", "phases", "neutral", "transformer"},
    "mims": {"node", "rating", "rating_va"},
    "rules": {"type", "zones", "nodes", "feeds", "mims", "window", "when"},
    "links": {"type", "host", "device"},
}
_NO_HEAD = {"id": "unknown", "voltage_ln_v": float("inf")}


def salvage(data: Any, folder: Path) -> Draft | None:
    """The draft of what fits the schema: broken optional keys and broken entries left out; None where nothing is left."""
    if not isinstance(data, dict):
        return None
    spelt = _misspelt_sections(data)
    data = {section: data[key] for section, key in spelt.items()} | {k: v for k, v in data.items() if k not in spelt.values()}
    rest = deepcopy(data)
    kept = {section: list(range(len(list_at(rest, section)))) for section in (*SECTIONS, "twin.loads")}
    for first in (True, *[False] * 6):
        try:
            return Draft(SiteFile.model_validate(rest), data, kept, folder, spelt)
        except ValidationError as exc:
            details = exc.errors(include_url=False)
            locs = [(loc_in_data(d["loc"], rest, d["type"], SiteFile), d["type"]) for d in details]
            locs = [each for each in locs if not _respelt(rest, *each)] if first else locs
            _prune(rest, kept, locs)
    return None


def _misspelt_sections(data: dict[str, Any]) -> dict[str, str]:
    """Top-level key → the unknown key that was probably meant to be it."""
    known = set(known_keys(SiteFile, ()))
    meant = {key: meant_key((key,), SiteFile) for key in data if key not in known}
    return {section: key for key, section in meant.items() if section is not None and section not in data}


def _prune(rest: dict[str, Any], kept: dict[str, list[int]], locs: list[tuple[tuple[str | int, ...], str]]) -> None:
    """Take what is broken out of `rest`; whole entries last, so that positions hold while keys are dropped."""
    doomed: dict[str, set[int]] = {}
    for loc, kind in locs:
        section, steps = _split(loc)
        if not steps:
            _drop_top(rest, loc)
        elif not _mended(list_at(rest, section)[int(steps[0])], section, steps[1:], kind):
            doomed.setdefault(section, set()).add(int(steps[0]))
    for section, positions in doomed.items():
        entries = list_at(rest, section)
        entries[:] = [e for i, e in enumerate(entries) if i not in positions]
        kept[section] = [k for i, k in enumerate(kept[section]) if i not in positions]


def _respelt(rest: dict[str, Any], loc: tuple[str | int, ...], kind: str) -> bool:
    """Give a misspelt key the name it was meant to have."""
    if kind != "extra_forbidden" or (near := meant_key(loc, SiteFile)) is None:
        return False
    if len(loc) == 1 or (loc[0], near) == ("twin", "loads"):
        return False
    owner: Any = rest
    for step in loc[:-1]:
        owner = owner[step]
    if near in owner:
        return False
    owner[near] = owner.pop(str(loc[-1]))
    return True


def _split(loc: tuple[str | int, ...]) -> tuple[str, tuple[str | int, ...]]:
    if loc[:2] == ("twin", "loads"):
        return "twin.loads", loc[2:]
    return (str(loc[0]), loc[1:]) if loc and loc[0] in SECTIONS else ("", ())


def _mended(entry: Any, section: str, steps: tuple[str | int, ...], kind: str) -> bool:
    """Try to keep an entry by dropping or replacing its one broken key."""
    if not isinstance(entry, dict) or not steps:
        return False
    key = str(steps[0])
    stand_ins = _STAND_INS.get(section, {})
    if kind == "extra_forbidden" and len(steps) == 1:
        entry.pop(key, None)
        return True
    for name, value in stand_ins.items():
        if key in {name, name.removesuffix("_a")}:
            entry.pop(name.removesuffix("_a"), None)
            entry[name] = value
            return True
    if kind == "missing" and len(steps) == 1:
        return False
    if key in _VITAL.get(section, ()):
        return False
    return entry.pop(key, _DROPPED) is not _DROPPED


_DROPPED = object()


def _drop_top(rest: dict[str, Any], loc: tuple[str | int, ...]) -> None:
    """A broken key outside the lists: drop it, or put in what it takes to go on."""
    head = str(loc[0]) if loc else ""
    inside = rest.get(head)
    if head == "schema":
        rest["schema"] = 1
    elif head == "site" and not isinstance(inside, dict):
        rest["site"] = dict(_NO_HEAD)
    elif head == "site" and isinstance(inside, dict):
        for step in loc[1:2]:
            inside.pop(str(step), None)
        if not {"voltage", "voltage_ln_v"} & inside.keys():
            inside["voltage_ln_v"] = _NO_HEAD["voltage_ln_v"]
        inside.setdefault("id", _NO_HEAD["id"])
    elif len(loc) > 1 and isinstance(inside, dict):
        inside.pop(str(loc[1]), None)
    else:
        rest.pop(head, None)
