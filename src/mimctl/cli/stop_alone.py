"""An emergency stop while no service answers: the latch for the next run first, then the devices, by this process."""

from __future__ import annotations

import asyncio
import getpass
from pathlib import Path
from typing import Any

from mimctl.config.site import load_site
from mimctl.control.events import EventLog
from mimctl.control.leases import STOP_ID
from mimctl.model.clock import SystemClock
from mimctl.model.errors import ConfigError, UserError
from mimctl.model.lease import Lease, LeaseSource, Stop
from mimctl.model.lease_plain import lease_plain
from mimctl.service.alone import ReleasedAlone, release_alone
from mimctl.service.lease_store import LeaseStore, stored_book
from mimctl.service.logs import set_up
from mimctl.service.state_dir import site_lock, state_directory


def stop_alone(file: Path, site: str, owner: str | None, reason: str) -> dict[str, Any]:
    """Latch the stop, and release what can be reached.

    Raises:
        UserError: it could not even be latched.
    """
    set_up("error")
    clock, directory = SystemClock(), state_directory(site)
    store = LeaseStore(directory, site)
    stop = Lease(STOP_ID, LeaseSource.EMERGENCY_STOP, owner or getpass.getuser(), site, Stop(), reason, clock.utc(), None)
    if not store.stop_called():  # who called it first is remembered
        store.keep_stop(stop)
    trouble: list[str] = []
    done: ReleasedAlone | None = None
    try:
        with site_lock(directory, site):
            loaded = load_site(file)
            book = stored_book(loaded, clock, EventLog(clock), store)
            done = asyncio.run(release_alone(loaded, book, clock))
    except ConfigError as error:
        trouble.append(f"the devices could not be released: {file} has errors ({error.problems[0]})")
    except UserError as error:
        trouble.append(
            f"the devices were not released by this command: {error}; it does not answer. If it lives it finds the stop within a "
            "second; else end it, and its devices do what their expiry action says"
        )
    text = f"{site}: EMERGENCY STOP is latched; the next run starts stopped"
    plain: dict[str, Any] = {"site": site, "through": "this command", "emergency_stop": lease_plain(stop)}
    if done is not None:
        text += f"; {len(done.at_rest)} MIMs are at rest"
        trouble += _untold("could not be released", done.not_released) + _untold("did not answer", done.silent)
        plain |= {"at_rest": done.at_rest, "not_released": done.not_released, "silent": done.silent}
    return {**plain, "text": text, "trouble": trouble}


def _untold(what: str, mims: tuple[str, ...]) -> list[str]:
    return [f"{what}: {', '.join(mims)}; what they hold ends by their validity timers"] if mims else []
