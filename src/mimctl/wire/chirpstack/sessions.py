"""Which uplinks are news: each once, in order, none of yesterday's. Pure; time is passed in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

from mimctl.wire.chirpstack.events import Uplink

_REMEMBERED = 4096
#: so many fresh frames in order, all below the last counter: the device does count anew, and the network lets it
_ANEW = 3


class Verdict(StrEnum):
    """What to make of an uplink."""

    NEWS = "news"
    DUPLICATE = "duplicate"
    REPLAY = "replay"
    OLD = "old"


@dataclass(slots=True)
class _Session:
    address: str
    counter: int
    #: below `counter`: the last of those that came in order, and how many did
    below: int = -1
    rising: int = 0


class Sessions:
    """Follows the frame counters of the devices of one link."""

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()

    def joined(self, eui: str) -> None:
        """The device's counters begin anew."""
        self._sessions.pop(eui, None)

    def judge(self, uplink: Uplink, age_s: float, most_age_s: float) -> Verdict:
        """Take an uplink in.

        A counter that goes back within a session is a replay, or a device that resets its counter, which a network that checks
        counters refuses until it is told to begin anew as well. Then a few fresh frames in order prove it: what somebody recorded
        and plays again is old. A new session has a new address.

        Args:
            age_s: since a gateway heard it [s].
            most_age_s: older ones say nothing about the present [s].
        """
        if uplink.id and uplink.id in self._seen:
            return Verdict.DUPLICATE
        if uplink.id:
            self._seen[uplink.id] = None
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        session = self._sessions.get(uplink.eui)
        if session is not None and session.address == uplink.session and uplink.counter <= session.counter:
            if uplink.counter == session.counter:
                return Verdict.DUPLICATE
            if not self._counts_anew(session, uplink.counter, fresh=age_s <= most_age_s):
                return Verdict.REPLAY
        self._sessions[uplink.eui] = _Session(uplink.session, uplink.counter)
        return Verdict.OLD if age_s > most_age_s else Verdict.NEWS

    @staticmethod
    def _counts_anew(session: _Session, counter: int, *, fresh: bool) -> bool:
        if not fresh:
            return False
        session.rising = session.rising + 1 if counter > session.below else 1
        session.below = counter
        return session.rising >= _ANEW
