"""An emergency stop while no service answers: the latch for the next run first, then the devices, by this process."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
from pathlib import Path
from typing import Any

from mimctl.config.site import load_site
from mimctl.control.authority.leases import STOP_ID
from mimctl.control.events import EventLog
from mimctl.model.clock import SystemClock
from mimctl.model.errors import MimctlError, UserError
from mimctl.model.lease import Lease, LeaseSource, Stop
from mimctl.model.lease_plain import lease_plain
from mimctl.model.lease_text import OWNER_MOST, REASON_MOST, as_line
from mimctl.service.alone import ReleasedAlone, release_alone
from mimctl.service.lease_store import LeaseStore, stored_book
from mimctl.service.left_behind import in_words
from mimctl.service.logs import set_up
from mimctl.service.state_dir import site_lock, state_directory, state_path


def latch(site: str, owner: str | None, reason: str) -> tuple[Lease, list[str]]:
    """Let every run from now on start stopped.

    Returns:
        The stop, and why it could not be latched, if so: whoever can still be told must be told all the same.
    """
    who, why = as_line(owner or getpass.getuser(), OWNER_MOST), as_line(reason, REASON_MOST)
    stop = Lease(STOP_ID, LeaseSource.EMERGENCY_STOP, who, site, Stop(), why, SystemClock().utc(), None)
    known = state_path(site).is_dir()
    try:
        store = LeaseStore(state_directory(site), site)
        if not store.stop_called():  # who called it first is remembered
            store.keep_stop(stop)
    except UserError as error:
        return stop, [str(error)]
    new = f"nothing has ever run '{site}' with the state directory {state_path(site)}: is it the right one?"
    return stop, [] if known else [new]


def stop_alone(file: Path, stop: Lease, trouble: list[str]) -> dict[str, Any]:
    """Release what can be reached, without a service.

    Args:
        stop: as it was latched.
        trouble: what went wrong so far.
    """
    set_up("error")
    latched = " is latched; the next run starts stopped" if LeaseStore(state_path(stop.scope), stop.scope).stop_called() else ""
    text = f"{stop.scope}: EMERGENCY STOP{latched} (no service answers here; one of another user is not stopped by this)"
    plain: dict[str, Any] = {"site": stop.scope, "through": "this command", "emergency_stop": lease_plain(stop)}
    with contextlib.ExitStack() as stack:
        if held := _held_by_another(stack, stop.scope):
            return {**plain, "text": text, "trouble": [*trouble, held]}
        try:
            done = _release(file, stop)
        except MimctlError as error:
            first = str(error).splitlines()[0]
            return {**plain, "text": text, "trouble": [*trouble, f"the devices could not be released: {first}"]}
    text += f"; {len(done.at_rest)} MIMs are at rest"
    left = [f"could not be released: {in_words(done.not_released, done.endless)}"] if done.not_released else []
    trouble = [*trouble, *left, *_untold("did not answer", done.silent)]
    told = {"at_rest": done.at_rest, "not_released": done.not_released, "silent": done.silent}
    return {**plain, **told, "text": text, "trouble": trouble}


def _held_by_another(stack: contextlib.ExitStack, site: str) -> str:
    """Take the site's lock until the stack closes; what to say where another process holds it."""
    directory = state_path(site)
    if not directory.is_dir():
        return ""  # it could not be made, which has been told: nobody can hold a lock in it
    try:
        stack.enter_context(site_lock(directory, site))
    except UserError as error:
        return (
            f"the devices were not released by this command: {error}. It does not answer; if it lives it finds the stop within a "
            "second, else end it: its devices then do what their expiry action says"
        )
    return ""


def _release(file: Path, stop: Lease) -> ReleasedAlone:
    site, clock = load_site(file), SystemClock()
    book = stored_book(site, clock, EventLog(clock))
    book.call_stop(stop.owner, stop.reason)
    return asyncio.run(release_alone(site, book, clock))


def _untold(what: str, mims: tuple[str, ...]) -> list[str]:
    return [f"{what}: {', '.join(mims)}; what they hold ends by their validity timers, where they have one"] if mims else []
