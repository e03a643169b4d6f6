"""A unit that never answers must not eat the time of those that do: it is left alone, for longer each time.

This is the one place that paces silence: every caller of a link (sweeps, writes, discovery) passes it, so none needs a back-off of
its own against silent devices. Writes are let through a rest now and then: a device that is back must be brought to its safe state
at once, however long it rests yet.
"""

from __future__ import annotations

from dataclasses import dataclass

from mimctl.wire.modbus_policy import LinkPolicy

#: a register map that is searched for may stand at the last of several addresses, and some devices are silent at wrong ones: every
#: so manieth time a resting unit gets all its tries again instead of one
_FULL_EVERY = 4
#: a unit that nobody has asked for so long keeps no place [s]
_WANTED_S = 10.0


@dataclass(slots=True)
class _Unit:
    """How one unit has been silent lately."""

    silences: int = 0
    rests: int = 0
    retry_at_s: float = float("-inf")
    asked_at_s: float = float("-inf")
    write_at_s: float = float("-inf")


class UnitBreaker:
    """Who may be asked now. Instants are monotonic [s]."""

    def __init__(self, policy: LinkPolicy) -> None:
        self._policy = policy
        self._silent: dict[int, _Unit] = {}
        self._probe_at_s = float("-inf")

    def rest_s(self, unit: int, now_s: float) -> float:
        """How long the unit rests yet; 0 = it may be asked [s]."""
        known = self._silent.get(unit)
        if known is None or known.rests == 0:
            return 0.0
        if now_s < known.retry_at_s:
            return known.retry_at_s - now_s
        if known.silences:  # in the middle of its tries a unit is not held up by those of others
            return 0.0
        known.asked_at_s = now_s
        if now_s < self._probe_at_s:
            return self._probe_at_s - now_s
        return 0.0 if self._first(now_s) is known else self._policy.unit_rest_first_s

    def resting(self) -> tuple[int, ...]:
        """Units that were silent so often that they are left alone between two tries, in order."""
        return tuple(sorted(unit for unit, known in self._silent.items() if known.rests))

    def write_rest_s(self, unit: int, now_s: float) -> float:
        """The same for a write, which probes a resting unit on its own account [s]."""
        rest_s = self.rest_s(unit, now_s)
        return min(rest_s, max(0.0, self._silent[unit].write_at_s - now_s)) if rest_s > 0 else 0.0

    def writing(self, unit: int, now_s: float) -> None:
        """A write goes out to the unit."""
        if unit in self._silent:
            self._silent[unit].write_at_s = now_s + self._policy.unit_write_pause_s

    def _first(self, now_s: float) -> _Unit:
        """Of the units that somebody wants to ask, the one that has waited longest: else the same few would always be asked."""
        wanted = (u for u in self._silent.values() if u.rests and now_s - u.asked_at_s < _WANTED_S)
        return min(wanted, key=lambda u: u.retry_at_s)

    def silent(self, unit: int, now_s: float, lost_s: float) -> None:
        """The unit did not answer, which took `lost_s`."""
        known = self._silent.setdefault(unit, _Unit())
        if now_s < known.retry_at_s:  # a write in the middle of its rest: it must not put off the next read
            known.write_at_s = now_s + self._policy.unit_write_pause_s
            return
        known.silences += 1
        if known.rests:  # every probe is paid for with time for those that answer
            self._probe_at_s = max(self._probe_at_s, now_s) + lost_s * (1.0 / self._policy.probe_share - 1.0)
        allowed = self._policy.unit_tries if known.rests % _FULL_EVERY == 0 else 1
        if known.silences < allowed:
            return
        known.retry_at_s = now_s + self._policy.rest_s(known.rests)
        known.silences = 0
        known.rests += 1

    def answered(self, unit: int, now_s: float) -> None:
        """What kept the unit silent may be over for the others too: none rests any longer, though probes stay spread."""
        known = self._silent.pop(unit, None)
        if known is not None and known.rests:
            for other in self._silent.values():
                other.retry_at_s = min(other.retry_at_s, now_s)
