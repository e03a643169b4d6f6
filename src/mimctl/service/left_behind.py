"""What becomes of MIMs that could not be released: most end their setpoints by themselves, some never do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mimctl.control.site_controller import SiteController

ENDS, STAYS = "its own validity timer ends it", "it keeps its setpoint for ever: bring it to zero by other means"


def endless(controller: SiteController, mims: Sequence[str]) -> tuple[str, ...]:
    """Those of some MIMs that keep what they were told until they are told otherwise."""
    found = {mim for zone in controller.zones for mim in zone.cycle.dispatcher.held.endless()}
    return tuple(mim for mim in mims if mim in found)


def in_words(left: Sequence[str], stay: Collection[str]) -> str:
    """Names of MIMs with what becomes of what they hold; `stay` as `endless` tells."""
    end = [mim for mim in left if mim not in stay]
    kept = [mim for mim in left if mim in stay]
    said = [f"{', '.join(end)}; their validity timers end it"] if end else []
    said += [f"{', '.join(kept)}: no timer ends it, the setpoint STAYS; bring it to zero by other means"] if kept else []
    return "; ".join(said)
