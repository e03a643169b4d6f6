"""An orderly stop has as long as its links need, and no longer than anybody waits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from builders import START, rack_site
from mimctl.control.events import EventLog
from mimctl.control.release_time import release_within_s
from mimctl.control.zone import build_zone
from mimctl.model.clock import VirtualClock
from mimctl.model.link import Link, LinkType, SerialLine
from mimctl.model.site import Zone


@dataclass
class Group:
    """A link that carries so many commands at a time."""

    at_a_time: int
    link: str = "gw"
    drivers: dict[str, Any] = field(default_factory=dict)


def site_of(mims: int, link: Link, *, racks: int = 1):
    """So many MIMs behind one link, all at the first of the racks but for one at each other."""
    site = rack_site(racks)
    first, others = site.mims[0], site.mims[1:]
    many = tuple(replace(first, id=f"m{i}") for i in range(mims - len(others)))
    return replace(site, links=(link,), mims=(*many, *others))


def within_s(mims: int, link: Link, at_a_time: int = 1) -> float:
    site = site_of(mims, link)
    return release_within_s(site, site.zones[0], [Group(at_a_time)])


ZIGBEE = Link("gw", LinkType.ZIGBEE, "", 0)
TCP = Link("gw", LinkType.MODBUS_TCP, "127.0.0.1", 502)
SLOW = Link("gw", LinkType.MODBUS_RTU, "", 0, serial=SerialLine("/dev/ttyS0", 9600))


def test_300_zigbee_mims_four_at_a_time_get_twice_the_seven_and_a_half_seconds_that_they_need() -> None:
    assert within_s(300, ZIGBEE, 4) == pytest.approx(2 * 75 * 0.1)


@pytest.mark.parametrize(("mims", "link", "width"), [(1, TCP, 1), (12, ZIGBEE, 4), (20, TCP, 1), (2, SLOW, 1)])
def test_a_few_get_three_seconds(mims: int, link: Link, width: int) -> None:
    assert within_s(mims, link, width) == 3.0


def test_a_slow_line_gets_what_its_characters_take() -> None:
    """Four requests of forty characters of eleven bits at 9,600 bit/s are 0.183 s of line for each MIM."""
    assert within_s(30, SLOW) >= 30 * 4 * 40 * 11 / 9600
    assert within_s(30, SLOW) > within_s(30, replace(SLOW, serial=SerialLine("/dev/ttyS0", 115200)))
    assert within_s(100, replace(TCP, request_gap_s=0.1)) >= 100 * 4 * 0.1


def test_nobody_waits_longer_than_a_minute() -> None:
    assert within_s(3000, ZIGBEE, 4) == 60.0


def test_zones_that_share_a_link_share_its_time() -> None:
    site = site_of(300, ZIGBEE, racks=2)
    site = replace(site, zones=(Zone("first", ("rack1",)), Zone("second", ("rack2",))))
    for zone in site.zones:
        assert release_within_s(site, zone, [Group(4)]) == pytest.approx(15.0)


async def test_a_stop_of_a_zone_has_that_long() -> None:
    """Devices that never say that they are released are tried for as long, and then named."""
    site = site_of(300, ZIGBEE)
    clock = VirtualClock(START)
    zone = build_zone(site, site.zones[0], [Group(4)], clock, EventLog(clock))  # type: ignore[list-item]
    until: list[float] = []

    async def release(deadline_s: float, *_: object) -> tuple[str, ...]:
        until.append(deadline_s - clock.monotonic_s())
        return ()

    zone.cycle.release = release  # type: ignore[method-assign]
    await zone.stop()
    assert until == [pytest.approx(15.0)]


def test_where_a_device_shows_later_that_it_let_go_that_is_waited_for() -> None:
    """Two frames of a tenth of a second, and devices that act within 4 s: twice 4.2 s."""
    site = site_of(2, Link("gw", LinkType.LORAWAN, "127.0.0.1", 8883))
    late = tuple(replace(mim, latency=replace(mim.latency, delay_s=4.0)) for mim in site.mims)
    assert release_within_s(replace(site, mims=late), site.zones[0], [Group(1)]) == pytest.approx(2 * (2 * 0.1 + 4.0))
