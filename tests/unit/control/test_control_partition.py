"""A part of a link's devices: the same drivers, and as many commands at a time as the link carries."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from tests.builders import START, rack_site

from mimctl.control.dispatch import Dispatcher
from mimctl.control.partition import sub_groups, width
from mimctl.model.clock import VirtualClock
from mimctl.model.layout import SiteLayout


@dataclass
class Device:
    device: str


@dataclass
class Group:
    link: str = "l"
    drivers: dict[str, Device] = field(default_factory=lambda: {name: Device(name) for name in ("mim-rack1", "mim-rack2", "m")})

    async def open(self) -> None: ...

    async def close(self) -> None: ...


@dataclass
class Radio(Group):
    at_a_time: int = 8


@pytest.mark.parametrize(("group", "wide"), [(Group(), 1), (Radio(), 8)])
def test_a_part_of_a_link_is_as_wide_as_the_link(group, wide):
    (part,) = sub_groups([group], frozenset({"mim-rack1", "mim-rack2"}))
    assert (part.link, sorted(part.drivers)) == ("l", ["mim-rack1", "mim-rack2"])
    assert part.drivers["mim-rack1"] is group.drivers["mim-rack1"]
    assert width(part) == width(group) == wide
    dispatcher = Dispatcher(SiteLayout(rack_site()), [part], VirtualClock(START))
    assert len(dispatcher._lanes) == wide


def test_links_without_any_of_them_are_left_out():
    assert sub_groups([Group()], frozenset({"other"})) == []
