"""A Zigbee network by hand, while no service has its coordinator: formed, brought back, and what `hands` does.

Nothing here forms or opens a network by the way.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from mimctl.model.errors import MimctlError, UserError
from mimctl.model.zigbee import ZigbeeRadio
from mimctl.wire.zigbee import hands
from mimctl.wire.zigbee.coordinator import MakeRadio, bounded, opened, release
from mimctl.wire.zigbee.guard import Gate
from mimctl.wire.zigbee.hands import LONGEST_WINDOW_S, Admitted, Neighbour, Network, OnAir
from mimctl.wire.zigbee.radios import hush

#: a start; a network that is written into the stick's memory, after a look at how quiet the channels are; the end [s]
_START_S, _WRITE_S, _STOP_S = 90.0, 240.0, 5.0


async def form(
    radio: ZigbeeRadio,
    database: Path,
    *,
    channel: int | None = None,
    replace: bool = False,
    make_radio: MakeRadio | None = None,
) -> Network:
    """Form a new network with a random key.

    Args:
        replace: also where the coordinator has one: every device has to join anew then.

    Raises:
        UserError: the coordinator has one already.
        Unreachable: the coordinator does not answer.
    """
    async with _opened(radio, database, make_radio, channel) as app:
        await bounded(app.connect(), _START_S)
        if await bounded(_has_network(app), _START_S) and not replace:
            raise UserError(f"{radio.device} has a network already; `mimctl zigbee form --replace` gives it up for a new one")
        await bounded(app.form_network(), _WRITE_S)
        await bounded(app.initialize(auto_form=False), _START_S)
        return hands.network_of(app)


async def _has_network(app: Any) -> bool:
    from zigpy.exceptions import NetworkNotFormed

    try:
        await app.load_network_info(load_devices=False)
    except NetworkNotFormed:
        return False
    return True


async def restore(radio: ZigbeeRadio, database: Path, kept: dict[str, Any], *, make_radio: MakeRadio | None = None) -> Network:
    """Put a backup on a coordinator: the devices do not notice.

    Raises:
        UserError: it is no backup.
        Unreachable: the coordinator does not answer.
    """
    from zigpy.backups import NetworkBackup

    hush()
    try:
        wanted = NetworkBackup.from_dict(kept)
    except (ValueError, KeyError, TypeError, AssertionError, AttributeError):
        # not even as a cause: what could not be read is quoted there
        raise UserError("this is no backup of a Zigbee network") from None
    if not wanted.is_complete():
        raise UserError("this backup is not complete: it cannot bring the network back")
    async with _opened(radio, database, make_radio) as app:
        await bounded(app.connect(), _START_S)
        # frame counters go ahead, or devices would take every frame for a replay
        await bounded(app.backups.restore_backup(wanted), _WRITE_S)
        await bounded(app.initialize(auto_form=False), _START_S)
        return hands.network_of(app)


async def permit(
    radio: ZigbeeRadio,
    database: Path,
    eui: str,
    install_code: str,
    seconds: float = LONGEST_WINDOW_S,
    *,
    make_radio: MakeRadio | None = None,
) -> Admitted:
    """Let one device in by its install code. Raises as `hands.let_in`."""
    # what is wrong with the words is told before the stick is touched
    hands.link_key(install_code)
    hands.parse_eui(eui)
    async with _started(radio, database, make_radio) as app:
        return await hands.let_in(app, eui, install_code, seconds)


async def backup(radio: ZigbeeRadio, database: Path, *, make_radio: MakeRadio | None = None) -> dict[str, Any]:
    """Everything that another coordinator needs to take over. It holds the network key.

    Raises:
        Unreachable: the coordinator does not answer, or has no network.
    """
    async with _started(radio, database, make_radio) as app:
        return await hands.take_backup(app)


async def devices(radio: ZigbeeRadio, database: Path, *, make_radio: MakeRadio | None = None) -> list[OnAir]:
    """Every device that the coordinator knows, by address. Raises as `backup`."""
    async with _started(radio, database, make_radio) as app:
        return await hands.listed(app)


async def survey(radio: ZigbeeRadio, database: Path, *, make_radio: MakeRadio | None = None) -> list[Neighbour]:
    """Who hears whom. Raises as `backup`."""
    async with _started(radio, database, make_radio) as app:
        return await hands.neighbours(app)


@contextlib.asynccontextmanager
async def _opened(
    radio: ZigbeeRadio, database: Path, make_radio: MakeRadio | None, channel: int | None = None
) -> AsyncIterator[Any]:
    """The coordinator's controller, not connected; let go in the end, whatever happens."""
    try:
        app = await opened(radio, database, make_radio, Gate(), channel)
    except sqlite3.DatabaseError as error:
        raise UserError(f"{database} is damaged; move it away, devices are found again") from error
    except OSError as error:
        raise UserError(f"{database}: {error.strerror or error}") from error
    except MimctlError:
        raise
    except Exception as error:  # noqa: BLE001 - the package has no one error for a database that it cannot read
        text = f"{database} cannot be used ({type(error).__name__}); move it away, devices are found again"
        raise UserError(text) from None
    try:
        yield app
    finally:
        await release(app, _STOP_S)


@contextlib.asynccontextmanager
async def _started(radio: ZigbeeRadio, database: Path, make_radio: MakeRadio | None) -> AsyncIterator[Any]:
    async with _opened(radio, database, make_radio) as app:
        await bounded(app.startup(auto_form=False), _START_S)
        yield app
