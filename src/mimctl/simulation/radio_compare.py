"""What radios cost and what they bring: the fleet as it is, as if every MIM of it were wired, and without its radios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mimctl.model.errors import UserError
from mimctl.model.latency import WIRED
from mimctl.model.link import LinkType
from mimctl.model.site import Site
from mimctl.simulation.without import Without

#: the rows of the comparison, in order
AS_WIRED, AS_IT_IS, NO_RADIOS = "as_wired", "as_it_is", "without_radios"
_FIGURES = ("removed_share", "achieved_share", "worse_than_none_pct", "limit_violations", "transient_overs", "failed_writes")


def radio_links(site: Site) -> frozenset[str]:
    """Ids of the radio links that have a MIM.

    Raises:
        UserError: there are none.
    """
    radios = {link.id for link in site.links if link.type.is_radio}
    found = frozenset(mim.address.link for mim in site.mims if mim.address.link in radios)
    if not found:
        raise UserError(f"--compare radios: site '{site.id}' has no MIM on a radio link")
    return found


def without_radios(site: Site) -> Without:
    """The same fleet with its radio links down."""
    return Without(links=radio_links(site))


def as_wired(site: Site) -> Site:
    """The same MIMs, each on a wire: told and heard in every cycle, acting at once."""
    radios = radio_links(site)
    links = tuple(
        replace(link, type=LinkType.MODBUS_TCP, lorawan=None, zigbee=None) if link.id in radios else link for link in site.links
    )
    mims = tuple(replace(mim, latency=WIRED) if mim.address.link in radios else mim for mim in site.mims)
    return replace(site, links=links, mims=mims)


def compared(results: Mapping[str, Mapping[str, Any]], frame_loss_pct: float) -> dict[str, Any]:
    """What the result file says of the three runs.

    Args:
        results: by row.

    Returns:
        `rows`, and of the removed shares `of_wired` and `without_of_wired`: how much of what the wired fleet removes is removed
        with radios and without them; None where there was nothing to remove.
    """
    rows = {name: _row(results[name]) for name in (AS_WIRED, AS_IT_IS, NO_RADIOS)}
    wired = rows[AS_WIRED]["removed_share"]
    return {
        "frame_loss_pct": frame_loss_pct,
        "rows": rows,
        "of_wired": _share(rows[AS_IT_IS]["removed_share"], wired),
        "without_of_wired": _share(rows[NO_RADIOS]["removed_share"], wired),
    }


def _row(result: Mapping[str, Any]) -> dict[str, Any]:
    row = {key: result[key] for key in _FIGURES}
    row["writes_per_mim_h"] = result["calm"]["writes_per_mim_h"]
    row["objective"] = result["controlled"]["site"]["objective"]
    return row


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
