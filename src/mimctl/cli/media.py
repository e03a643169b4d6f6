"""How many MIMs of each medium are at work, where a site has more than wires."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mimctl.model.site import Site

#: less than this is nothing [W]
_NOTHING_W = 1.0


def at_work(site: Site, status: Mapping[str, Any]) -> str:
    """`at work: 8 of 8 wired, 7 of 8 zigbee, …`; nothing where all MIMs are wired.

    At work is what has a setpoint of ours in force and says itself that power flows.
    """
    media = {link.id: str(link.type) if link.type.is_radio else "wired" for link in site.links}
    medium_of = {mim.id: media[mim.address.link] for mim in site.mims}
    if set(medium_of.values()) <= {"wired"}:
        return ""
    told = {name: mim for zone in status["zones"].values() for name, mim in zone["mims"].items()}
    working = Counter(medium for name, medium in medium_of.items() if name in told and _works(told[name]))
    counts = Counter(medium_of.values())
    return "at work: " + ", ".join(f"{working[medium]} of {count} {medium}" for medium, count in counts.items())


def _works(mim: Mapping[str, Any]) -> bool:
    return bool(mim["in_force"]) and any(w is not None and abs(w) >= _NOTHING_W for w in mim["inject_w"])
