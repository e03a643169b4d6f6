"""How patient a Modbus link is, and what it counts."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkPolicy:
    """How patient a link is.

    Args:
        reconnect_first_s: pause before the first new attempt; it doubles with each attempt [s].
        reconnect_max_s: longest pause [s].
        jitter: share of each pause that is random, so that many links do not come back at one instant.
        connect_timeout_s: for one attempt to connect [s].
        busy_first_s: pause before a busy device is asked again; it doubles [s].
        busy_deadline: how long a device may stay busy, in multiples of the link's timeout.
        max_silent: so many unanswered requests on end, over all units, end the connection: nobody may be there any more.
        unit_tries: so many requests on end a unit may leave unanswered before it is left alone for a while.
        unit_rest_first_s: for how long then; it doubles each time [s].
        unit_rest_max_s: longest rest [s].
        unit_write_pause_s: so often a write is let through to a unit that rests [s].
        probe_share: share of the link's time that requests to units that were silent before may take.
    """

    reconnect_first_s: float = 0.25
    reconnect_max_s: float = 10.0
    jitter: float = 0.5
    connect_timeout_s: float = 3.0
    busy_first_s: float = 0.02
    busy_deadline: float = 4.0
    max_silent: int = 4
    unit_tries: int = 3
    unit_rest_first_s: float = 2.0
    unit_rest_max_s: float = 30.0
    unit_write_pause_s: float = 1.0
    probe_share: float = 0.25

    def pause_s(self, attempt: int, rng: random.Random) -> float:
        """Before attempt number `attempt` after the first, 0-based [s]."""
        longest: float = min(self.reconnect_max_s, self.reconnect_first_s * 2.0 ** min(attempt, 30))
        return longest * (1.0 - self.jitter * rng.random())

    def rest_s(self, rests: int) -> float:
        """How long a silent unit is left alone after `rests` earlier rests [s]."""
        longest: float = min(self.unit_rest_max_s, self.unit_rest_first_s * 2.0 ** min(rests, 30))
        return longest


@dataclass(slots=True)
class LinkCounts:
    """What happened on a link since it was made.

    Args:
        late: answers to requests that nobody waited for any more; none was ever used.
        wrong: answers that did not fit their request.
        rested: requests that were not sent because their unit had been silent too often.
        probes: reads whose only use was to flush out an answer that might still have come late.
    """

    requests: int = 0
    timeouts: int = 0
    late: int = 0
    wrong: int = 0
    busy: int = 0
    connections: int = 0
    rested: int = 0
    probes: int = 0
