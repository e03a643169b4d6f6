"""How many writes of registers with wearing memory a device has had today.

Kept over restarts: a crash loop must not wear it out. A record that cannot be read counts as a day's budget that is used up.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Protocol

import structlog

#: more than any budget: how many were made is not known
ALL_SPENT = 1 << 30
#: stands for every device in a file whose predecessor could not be read
_EVERY_DEVICE = "*"


class BudgetStore(Protocol):
    """Counts per device and day (UTC)."""

    def spent(self, device: str, day: date) -> int: ...

    def spend(self, device: str, day: date, count: int) -> None:
        """Called before the write: a crash between the two counts one too many, never one too few."""
        ...


class MemoryBudget:
    """Forgets with the process: for simulations and tests. Implements `BudgetStore`."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[date, int]] = {}

    def spent(self, device: str, day: date) -> int:
        last, count = self._counts.get(device, (day, 0))
        # a clock that was set back does not give the budget of a day twice
        return count if last >= day else 0

    def spend(self, device: str, day: date, count: int) -> None:
        last = self._counts.get(device, (day, 0))[0]
        self._counts[device] = (max(last, day), self.spent(device, day) + count)

    def restore(self, device: str, day: date, count: int) -> None:
        self._counts[device] = (day, count)

    def items(self) -> list[tuple[str, date, int]]:
        return [(device, day, count) for device, (day, count) in sorted(self._counts.items())]


class FileBudget:
    """One small JSON file, replaced as a whole at each spending. Implements `BudgetStore`.

    Args:
        path: in the state directory of the service, which is made when there is something to keep.
        what: is spent, in words for people.
    """

    def __init__(self, path: Path, what: str = "the day's writes count") -> None:
        self._path = path
        self._memory = MemoryBudget()
        #: why the record could not be read; None where it could
        self.problem: str | None = None
        self._lost = False
        if not path.exists():
            return
        try:
            for device, (day, count) in _entries(path):
                self._memory.restore(device, day, count)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            self.problem = f"{path} cannot be read: {error}"
            self._memory = MemoryBudget()
            structlog.get_logger("mimctl.write_budget").error(f"{what} as spent", reason=self.problem)
        self._lost = self.problem is not None

    def spent(self, device: str, day: date) -> int:
        self._settle(day)
        return max(self._memory.spent(device, day), self._memory.spent(_EVERY_DEVICE, day))

    def spend(self, device: str, day: date, count: int) -> None:
        self._settle(day)
        self._memory.spend(device, day, count)
        self._write()

    def keep(self, day: date, counts: Mapping[str, int]) -> None:
        """Instead of all that is known: what these have spent.

        Raises:
            OSError: it could not be written.
        """
        self._lost, self._memory = False, MemoryBudget()
        for name, count in counts.items():
            self._memory.restore(name, day, count)
        self._write()

    def _write(self) -> None:
        text = json.dumps({name: (last.isoformat(), spent) for name, last, spent in self._memory.items()}, indent=1)
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._path.with_suffix(".new")
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)

    def _settle(self, day: date) -> None:
        """The first day that is asked for after the record was lost is the one that counts as used up, for every device."""
        if self._lost:
            self._lost = False
            self._memory.restore(_EVERY_DEVICE, day, ALL_SPENT)


def _entries(path: Path) -> list[tuple[str, tuple[date, int]]]:
    found = json.loads(path.read_text(encoding="utf-8"))
    return [(device, (date.fromisoformat(day), int(count))) for device, (day, count) in found.items()]
