"""What both benches of the air measure: how late values are, how many are lost, what it takes of a core and of memory."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def row(devices: int, late_s: Sequence[float], sent: int, got: int, seconds: float, cpu_s: float) -> dict[str, object]:
    """One line of the table.

    Args:
        late_s: from the device's frame until its value is there, of each.
        sent, got: values.
        seconds: that the same frames take at their real rate, and `cpu_s` of a core for them.
    """
    p50, p99 = np.percentile(late_s, [50, 99])
    return {
        "devices": devices,
        "values/s": round(sent / seconds),
        "late p50 ms": round(1e3 * float(p50), 2),
        "late p99 ms": round(1e3 * float(p99), 2),
        "lost": sent - got,
        "core %": round(100 * cpu_s / seconds, 2),
        "RSS MB": resident_mb(),
    }


def resident_mb() -> int:
    """Memory of this process now [MB]."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


class CoreTime:
    """Processor time since it was made [s]."""

    def __init__(self) -> None:
        self._began_s = time.process_time()

    @property
    def used_s(self) -> float:
        return time.process_time() - self._began_s
