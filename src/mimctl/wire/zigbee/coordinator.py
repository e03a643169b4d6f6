"""One coordinator's controller: made with its database open, asked within a bound, let go. Its troubles in words without a key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import structlog

from mimctl.model.errors import MimctlError, Unreachable
from mimctl.model.tasks import end_tasks
from mimctl.model.zigbee import ZigbeeRadio
from mimctl.wire.zigbee.guard import Gate
from mimctl.wire.zigbee.radios import check_database, configuration, hush, make_private, radio_class

#: zigpy's class for a radio
MakeRadio = Callable[[], Any]
#: longest wait for the database's thread to be there, when nobody wants it any more [s]
_DATABASE_S = 10.0
#: cluster that tells what a device is; how often it is written down when a device was heard [s]
_BASIC, _HEARD_EVERY_S = 0x0000, 60.0
_T = TypeVar("_T")
#: by the name of the error: its own words may hold keys
_WORDS = {
    "NetworkNotFormed": "no network was formed on it: `mimctl zigbee form` does",
    "NetworkSettingsInconsistent": "it holds another network than the last backup: `mimctl zigbee restore`, or another "
    "stick; where the change was meant, move the link's database away",
    "TransientConnectionError": "it is not there",
    "FileNotFoundError": "its serial port is not there",
    "ConnectionRefusedError": "nobody listens at its address",
    "ConnectionError": "the connection to it was lost",
    "DeliveryError": "it does not do what it is told",
    "PermissionError": "its serial port may not be opened: on most systems the user must be in the group dialout",
    "TimeoutError": "it does not answer",
    "DatabaseError": "its database is damaged: move it away, devices are found again",
    "CorruptDatabase": "its database is damaged: move it away, devices are found again",
    "CannotWriteNetworkSettings": "its firmware cannot take this network over: bring the firmware up to date",
    "DestructiveWriteNetworkSettings": "its address can be overwritten only once: bring its firmware up to date",
    "FormationFailure": "it cannot start a network here: too much interference, or the channel is not allowed",
    "NoInstallCodes": "its firmware cannot keep devices without an install code out: bring it up to date",
}


def words(error: BaseException) -> str:
    """What went wrong, without a word of the error itself."""
    for kind in type(error).__mro__:
        if kind.__name__ in _WORDS:
            return _WORDS[kind.__name__]
    return f"it failed ({type(error).__name__})"


async def bounded(step: Awaitable[_T], within_s: float | None) -> _T:
    """One step with the coordinator.

    Args:
        within_s: its bound [s]; None = the caller has one.

    Raises:
        Unreachable: it does not do it, or not in time; nothing of the package's own error is in the words.
    """
    try:
        async with asyncio.timeout(within_s):
            return await step
    except MimctlError:
        raise
    except Exception as error:  # noqa: BLE001 - each package has errors of its own, and some of them hold keys
        raise Unreachable(f"the coordinator: {words(error)}") from None


async def opened(radio: ZigbeeRadio, database: Path, make_radio: MakeRadio | None, gate: Gate, channel: int | None = None) -> Any:
    """A controller with its database open, not connected.

    Where the caller does not wait for it any longer it is let go as soon as it is there: its thread would keep the process from
    ending.

    Raises:
        TimeoutError: the disk does not answer.
    """
    opening = asyncio.create_task(_open(radio, database, make_radio, gate, channel), name="zigbee database")
    try:
        await asyncio.wait([opening], timeout=_DATABASE_S)
        if opening.done():
            return opening.result()
    except asyncio.CancelledError:
        await asyncio.wait([opening], timeout=_DATABASE_S)
        await _let_go(opening)
        raise
    opening.add_done_callback(lambda _: asyncio.ensure_future(_let_go(opening)))
    raise TimeoutError("the disk does not answer")


async def _let_go(opening: asyncio.Task[Any]) -> None:
    if opening.done() and not opening.cancelled() and opening.exception() is None:
        await release(opening.result(), _DATABASE_S)


async def _open(radio: ZigbeeRadio, database: Path, make_radio: MakeRadio | None, gate: Gate, channel: int | None) -> Any:
    from mimctl.wire.zigbee.cluster import with_mim_cluster

    hush()
    make_private(database)
    check_database(database)
    kind = radio_class(radio) if make_radio is None else make_radio()
    settings = configuration(radio, database) | ({} if channel is None else {"network": {"channel": channel}})
    app = kind(settings)
    app.gate = gate
    app.register_device_resolver(with_mim_cluster)
    try:
        # as the package's own `new` does, which leaves the thread behind where the database cannot be read
        await app._load_db()
    except BaseException:
        await release(app, _DATABASE_S)
        raise
    _keep_little(app._dblistener)
    return app


def _keep_little(kept: Any) -> None:
    """Have little written: without this each report is a write or two, in a queue that has no bound and is waited for at the end.

    No measurement is ever believed that comes out of a database; what a device is, and about when it was last heard, is kept.
    """
    enqueue, told_at_s = kept.enqueue, dict[Any, float]()

    def seldom(name: str, *args: Any) -> None:
        if name == "_save_attribute" and int(args[0].cluster_id) != _BASIC:
            return
        if name == "_save_device_last_seen":
            now_s = asyncio.get_running_loop().time()
            if now_s - told_at_s.get(args[0], -_HEARD_EVERY_S) < _HEARD_EVERY_S:
                return
            told_at_s[args[0]] = now_s
        enqueue(name, *args)

    kept.enqueue = seldom


async def release(app: Any, within_s: float) -> None:
    """Shut down, bounded, whatever state it is in: the database's thread must end, or the process never would.

    Whoever is called off meanwhile waits all the same, and is called off then.
    """
    letting_go = asyncio.create_task(_shut_down(app, within_s), name="zigbee shutdown")
    called_off = False
    while not letting_go.done():
        try:
            await asyncio.wait([letting_go])
        except asyncio.CancelledError:
            called_off = True
    letting_go.result()
    if called_off:
        raise asyncio.CancelledError


async def _shut_down(app: Any, within_s: float) -> None:
    """Each step has its bound; the last one asks nobody."""
    if await _done(app.shutdown(), within_s):
        return
    structlog.get_logger("mimctl.zigbee").warning("zigbee coordinator did not let go in time")
    kept = app._dblistener
    if kept is not None and not await _done(kept.shutdown(), within_s):
        kept._db.stop()


async def _done(step: Coroutine[Any, Any, None], within_s: float) -> bool:
    """Whether a step ended in time; how it ended is nobody's business, for nobody can do more than let go."""
    task = asyncio.create_task(step, name="zigbee shutdown step")
    done, _ = await asyncio.wait([task], timeout=within_s)
    await end_tasks(task, within_s=within_s)
    return bool(done)
