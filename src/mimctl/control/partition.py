"""The devices of a link shared out among the controllers that each read some of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mimctl.model.protocols import Driver, DriverGroup, Wide


@dataclass(frozen=True, slots=True)
class SubGroup:
    """Some of the devices of a link; the link itself belongs to somebody else."""

    link: str
    drivers: dict[str, Driver]
    #: commands that the link carries at a time, as its owner has it
    at_a_time: int = 1

    async def open(self) -> None:
        """The owner of the link opens it."""

    async def close(self) -> None:
        """The owner of the link closes it."""


def sub_groups(groups: Iterable[DriverGroup], devices: frozenset[str]) -> list[DriverGroup]:
    """The same links, each with only the named devices; links without any are left out."""
    chosen = [(g, {name: d for name, d in g.drivers.items() if name in devices}) for g in groups]
    return [SubGroup(group.link, drivers, width(group)) for group, drivers in chosen if drivers]


def width(group: DriverGroup) -> int:
    """How many commands the link of a group carries at a time."""
    return group.at_a_time if isinstance(group, Wide) else 1
