"""What narrowed a decision, told once where many places are narrowed for the same reason."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mimctl.control.explain.reasons import owner_of
from mimctl.control.explain.words import joined
from mimctl.model.bounds import Restriction

#: from so many sentences on that differ in place and figures alone, one stands for all; so many places are named
_ALIKE, _PLACES = 3, 12
_FIGURES = re.compile(r"[-+]?\d+(\.\d+)?")


def restriction_lines(told: Sequence[Restriction], most: int = 30) -> list[str]:
    """Each with its owner and code; of many that say the same of different places, one with the places."""
    alike: dict[tuple[str, str], list[Restriction]] = {}
    for one in dict.fromkeys(told):
        alike.setdefault((one.reason.code, _likeness(one)), []).append(one)
    lines = [line for members in alike.values() for line in _lines(members)]
    return [*lines[:most], *([f"… and {len(lines) - most} more"] if len(lines) > most else [])]


def _lines(members: Sequence[Restriction]) -> list[str]:
    if len(members) < _ALIKE:
        return [_line(one, "") for one in members]
    places = [one.where for one in members[1:]]
    if len(places) >= _PLACES:
        places = [*places[: _PLACES - 1], f"{len(places) - _PLACES + 1} more"]
    return [_line(members[0], f"; likewise, with their own figures, {joined(places)}")]


def _line(one: Restriction, more: str) -> str:
    return f"{owner_of(one.reason.code)}, {one.where}: {one.reason.text}{more} [{one.reason.code}]"


def _likeness(one: Restriction) -> str:
    """A sentence without its place and figures: those that say the same are alike. A lease is told by itself."""
    if one.reason.code.startswith("lease."):
        return one.reason.text
    return _FIGURES.sub("#", one.reason.text.replace(one.where, "@"))
