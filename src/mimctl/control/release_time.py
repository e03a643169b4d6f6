"""How long an orderly stop may take to tell every device: links carry a few commands at a time, each at its own pace."""

from __future__ import annotations

import math
from collections.abc import Iterable

from mimctl.control.partition import width
from mimctl.model.link import Link, LinkType
from mimctl.model.protocols import DriverGroup
from mimctl.model.site import Site, Zone
from mimctl.model.zoning import restrict

#: however few devices there are: one that does not answer is tried again
LEAST_S = 3.0
#: whoever stops a service does not wait for ever, and silent devices have timers of their own
MOST_S = 60.0
#: frames get lost, and devices answer late
_MARGIN = 2.0
#: one command and its answer over a mesh of a few hops; a call of a network server; the requests of a release over Ethernet [s]
_COMMAND_S = {LinkType.ZIGBEE: 0.1, LinkType.LORAWAN: 0.1}
_WIRED_S = 0.02
#: requests of a release, and characters of one of them and its answer
_REQUESTS, _CHARACTERS = 4, 40
#: of a line behind a gateway nobody says how fast it is: 19,200 bit/s with parity, the default of Modbus [s]
_CHARACTER_S = 11 / 19_200


def release_within_s(site: Site, zone: Zone, groups: Iterable[DriverGroup]) -> float:
    """The time that the releases of a zone get before the rest is left to the devices' own timers [s].

    The zones of a site are stopped together: a link carries the releases of all its MIMs, whichever zone they are in.

    Args:
        groups: the links of the whole site.
    """
    used = {mim.address.link for mim in restrict(site, zone).mims}
    links = {link.id: link for link in site.links}
    needs_s = [
        _rounds(site, group) * _command_s(links[group.link]) + _proof_s(site, links[group.link])
        for group in groups
        if group.link in used and group.link in links
    ]
    return min(MOST_S, max(LEAST_S, _MARGIN * max(needs_s, default=0.0)))


def _rounds(site: Site, group: DriverGroup) -> int:
    """Times that the link is full until each of its MIMs had a command."""
    mims = sum(mim.address.link == group.link for mim in site.mims)
    return math.ceil(mims / max(1, width(group)))


def _proof_s(site: Site, link: Link) -> float:
    """How long after a release its device shows that it let go, where no answer comes with it [s]."""
    if link.type is not LinkType.LORAWAN:
        return 0.0
    return max((mim.latency.delay_s for mim in site.mims if mim.address.link == link.id), default=0.0)


def _command_s(link: Link) -> float:
    """What one release takes on a link [s]."""
    if link.type.is_radio:
        return _COMMAND_S[link.type]
    line_s = 0.0
    if link.type.is_rtu:
        line_s = _CHARACTERS * (_CHARACTER_S if link.serial is None else link.serial.character_s)
    return _WIRED_S + _REQUESTS * (link.request_gap_s + line_s)
