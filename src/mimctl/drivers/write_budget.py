"""How many writes of registers with wearing memory a device has had today.

Kept over restarts: a crash loop must not wear it out.
"""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path
from typing import Protocol


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
        path: in the state directory of the service.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._memory = MemoryBudget()
        if path.exists():
            for device, (day, count) in json.loads(path.read_text(encoding="utf-8")).items():
                self._memory.restore(device, date.fromisoformat(day), int(count))

    def spent(self, device: str, day: date) -> int:
        return self._memory.spent(device, day)

    def spend(self, device: str, day: date, count: int) -> None:
        self._memory.spend(device, day, count)
        text = json.dumps({name: (last.isoformat(), spent) for name, last, spent in self._memory.items()}, indent=1)
        draft = self._path.with_suffix(".new")
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
