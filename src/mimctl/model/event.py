"""What happened that a person may want to know; raised once, cleared once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mimctl.model.problem import Severity


@dataclass(frozen=True, slots=True)
class Event:
    """One condition with a beginning and perhaps an end.

    Args:
        code: stable identifier, for example `link.down`.
        where: node, MIM, meter, link or zone id.
    """

    code: str
    severity: Severity
    where: str
    text: str
    since: datetime
    cleared: datetime | None = None
    acked: bool = False


@dataclass(frozen=True, slots=True)
class LinkNews:
    """Something that happened on a link and is over.

    Args:
        code: such as `lorawan.expired`.
        device: id of the device or link.
        bad: people should know of it.
    """

    code: str
    device: str
    text: str
    bad: bool
