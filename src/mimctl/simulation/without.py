"""Controllers and links left out of a simulation, and what that costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mimctl.model.errors import UserError
from mimctl.model.site import Site

_ZONE, _LINK = "zone:", "link:"
#: figures of a run that are told beside the cost
_FIGURES = (
    "achieved_share",
    "removed_share",
    "worse_than_none_pct",
    "limit_violations",
    "above_limit_min",
    "relied_on_min",
    "transient_overs",
)


@dataclass(frozen=True, slots=True)
class Without:
    """Args:
    site: the site level does not run.
    zones: ids of the zones that do not run; their MIMs stay as they are without a controller.
    links: ids of the links that are down; their MIMs likewise.
    """

    site: bool = False
    zones: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()

    def names(self) -> list[str]:
        """As they are given on the command line."""
        return [
            *(["site"] if self.site else []),
            *(f"{_ZONE}{zone}" for zone in sorted(self.zones)),
            *(f"{_LINK}{link}" for link in sorted(self.links)),
        ]


#: all controllers run
EVERYBODY = Without()


def left_out(names: Iterable[str], site: Site) -> Without:
    """What `site`, `zone:ID` and `link:ID` stand for.

    Raises:
        UserError: there is no such controller or link.
    """
    given = tuple(names)
    known = ["site", *(f"{_ZONE}{zone.id}" for zone in site.zones), *(f"{_LINK}{link.id}" for link in site.links)]
    for name in given:
        if name not in known:
            has = ", ".join(f"'{each}'" for each in known)
            raise UserError(f"--without {name}: there is no such controller or link in site '{site.id}'; it has {has}")
    zones, links = (frozenset(name.removeprefix(kind) for name in given if name.startswith(kind)) for kind in (_ZONE, _LINK))
    return Without("site" in given, zones, links)


def cost(whole: Mapping[str, Any], less: Mapping[str, Any], without: Without) -> dict[str, Any]:
    """What the result file says of a run that lacked some controllers.

    Args:
        whole, less: results of the same simulation with all controllers and without some.

    Returns:
        `cost_points`: by how much less of what was possible was achieved, in percentage points; None without a yardstick.
    """
    shares = whole["achieved_share"], less["achieved_share"]
    points = None if None in shares else 100 * (shares[0] - shares[1])
    figures = {key: less[key] for key in _FIGURES}
    return {"left_out": without.names(), "cost_points": points, **figures, "controlled": less["controlled"]}
