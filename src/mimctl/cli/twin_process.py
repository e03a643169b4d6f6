"""The twin as a process of its own beside a service, gone when the service's process is."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mimctl.cli.twin_links import pointed_at, read_addresses
from mimctl.model.errors import Unreachable

if TYPE_CHECKING:
    from mimctl.model.site import Site

_START_WITHIN_S = 30.0
_STOP_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.05


@contextmanager
def twin_process(site: Path, seed: int | None = None, faults: Path | None = None) -> Iterator[Callable[[Site], Site]]:
    """Serve a site's virtual devices on free loopback ports.

    The process is in a session of its own, so that Ctrl-C at the terminal lets the service release its devices first; and it
    watches its standard input, so that it ends even when this process is killed.

    Yields:
        A function that points a site's links to where the twin serves them.
    """
    with tempfile.TemporaryDirectory(prefix="mimctl-twin-") as directory:
        addresses = Path(directory) / "addresses.json"
        command = [sys.executable, "-m", "mimctl", "twin", str(site), "--free-ports", "--while-stdin", "--json", str(addresses)]
        if seed is not None:
            command += ["--seed", str(seed)]
        if faults is not None:
            command += ["--faults", str(faults)]
        errors = Path(directory) / "errors.txt"
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True
            )
        try:
            _wait_for(addresses, process, errors)
            served = read_addresses(addresses)
            yield lambda loaded: pointed_at(loaded, served)
        finally:
            _stop(process)


def _wait_for(addresses: Path, process: subprocess.Popen[bytes], errors: Path) -> None:
    deadline = time.monotonic() + _START_WITHIN_S
    while not addresses.exists():
        if process.poll() is not None:
            lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no reason given"]
            raise Unreachable(f"the digital twin did not start: {lines[-1]}")
        if time.monotonic() > deadline:
            raise Unreachable(f"the digital twin was not ready within {_START_WITHIN_S:.0f} s")
        time.sleep(_LOOK_EVERY_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
