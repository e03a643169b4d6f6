"""How old an uplink is, by the clocks that dated it and by how the event came. Pure; time is passed in."""

from __future__ import annotations

import math
from datetime import datetime

from mimctl.wire.chirpstack.events import Uplink

#: two clocks that are kept right differ by less [s]
_AHEAD_S = 5.0
#: what the broker kept during an outage comes within so long after it [s]
BACKLOG_S = 10.0


def age_s(uplink: Uplink, utc: datetime, *, live: bool) -> float:
    """Since a gateway heard it [s]; inf: nobody knows.

    The oldest that anybody says counts. A clock that runs ahead says nothing; what no other clock dates is believed to be new only
    where it came by a connection that nothing can have waited for.

    Args:
        live: the connection has stood without a break for longer than a backlog takes.
    """
    told = [age for age in _told(uplink, utc) if age >= -_AHEAD_S]
    if told:
        return max(0.0, *told)
    return 0.0 if live else math.inf


def doubt(uplink: Uplink, utc: datetime, most_age_s: float) -> str | None:
    """What is wrong with the clocks that dated it, for people; None where they agree about whether it is old."""
    ages = _told(uplink, utc)
    if ahead := [age for age in ages if age < -_AHEAD_S]:
        return f"a frame is dated {-min(ahead):.0f} s ahead: the clock of its gateway or of the server is wrong"
    if len(ages) == 2 and (ages[0] > most_age_s) != (ages[1] > most_age_s):
        said = f"its gateway says that a frame is {max(0.0, ages[0]):.0f} s old, the server {max(0.0, ages[1]):.0f} s"
        return f"{said}: the clock of one is wrong, or one has kept the frame"
    return None


def _told(uplink: Uplink, utc: datetime) -> list[float]:
    """Its age by the gateway and by the server, as far as they tell [s]."""
    return [(utc - at).total_seconds() for at in (uplink.at, uplink.at_server) if at is not None]
