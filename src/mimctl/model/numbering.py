"""Numbers of commands that begin again at the end of a narrow field."""

from __future__ import annotations

#: a number so little behind the one in force is of an older command that came late
STALE = 16


def next_number(last: int, most: int) -> int:
    """The one after `last`; 0 is left out, which a device shows that has restarted."""
    return last % most + 1


def is_stale(number: int, in_force: int, most: int) -> bool:
    """Whether a command is older than the one in force, which must stand then; nothing is older than none (0).

    Args:
        most: the greatest number; 1 follows it.
    """
    return in_force > 0 and 0 < (in_force - number) % most <= STALE
