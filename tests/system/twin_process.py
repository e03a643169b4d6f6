"""A twin in a process of its own."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

_WITHIN_S = 30.0


def ready(process: subprocess.Popen[str], file: Path) -> dict[str, Any]:
    """What `--json` says, as soon as the twin serves."""
    deadline = time.monotonic() + _WITHIN_S
    while not file.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return json.loads(file.read_text())  # type: ignore[no-any-return]
