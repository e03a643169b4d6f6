"""What people do to a Zigbee network: form it, let one device in, keep and bring back a backup, look at it. One at a time, by hand.

Each function has the coordinator for itself while it runs. Nothing here forms or opens a network by the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mimctl.model.clock import SystemClock
from mimctl.model.errors import Unreachable, UserError
from mimctl.model.tasks import end_tasks
from mimctl.model.zigbee import ZigbeeRadio
from mimctl.wire.zigbee.guard import Gate, plain_eui
from mimctl.wire.zigbee.radios import check_database, configuration, hush, make_private, radio_class

#: a network is open for joining so long at most [s]
LONGEST_WINDOW_S = 60.0
_START_S, _STOP_S, _SCAN_S = 60.0, 5.0, 120.0

MakeRadio = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Network:
    """What may be told of a network: no key."""

    channel: int
    pan_id: str
    extended_pan_id: str
    coordinator: str


@dataclass(frozen=True, slots=True)
class OnAir:
    """One device that the coordinator knows. `age_s`: since it was last heard; None = never since the database was made."""

    eui: str
    nwk: str
    maker: str | None
    model: str | None
    lqi: int | None
    age_s: float | None
    ready: bool


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One line of the map: `eui` hears `of` with a link quality of 0 to 255."""

    of: str
    eui: str
    nwk: str
    relation: str
    lqi: int


async def form(radio: ZigbeeRadio, database: Path, *, channel: int | None = None, make_radio: MakeRadio | None = None) -> Network:
    """Form a new network with a random key.

    Raises:
        UserError: the coordinator has one already; every device would have to join anew.
        Unreachable: the coordinator does not answer.
    """
    from zigpy.exceptions import NetworkNotFormed

    async with _opened(radio, database, make_radio, Gate(), channel) as app:
        await _bounded(app.connect())
        try:
            await app.load_network_info(load_devices=False)
        except NetworkNotFormed:
            await _bounded(app.form_network())
        else:
            raise UserError(
                f"{radio.device} has a network already: `mimctl zigbee backup` it, then reset the coordinator to form another"
            )
        await _bounded(app.initialize(auto_form=False))
        return _network(app)


async def permit(
    radio: ZigbeeRadio,
    database: Path,
    eui: str,
    install_code: str,
    seconds: float = LONGEST_WINDOW_S,
    *,
    make_radio: MakeRadio | None = None,
) -> OnAir:
    """Let one device in by its install code, and close the network behind it.

    Raises:
        UserError: the install code or the address is none, or the device did not come in time.
        Unreachable: the coordinator does not answer.
    """
    key = link_key(install_code)
    ieee = parse_eui(eui)
    if not 0 < seconds <= LONGEST_WINDOW_S:
        raise UserError(f"a network may be open for {LONGEST_WINDOW_S:.0f} s at most")
    gate = Gate()
    async with _opened(radio, database, make_radio, gate) as app:
        await _started(app)
        wanted = plain_eui(ieee)
        gate.invited[wanted] = asyncio.get_running_loop().time() + seconds
        joined = _Joined(wanted)
        app.add_listener(joined)
        # some coordinators return when the window is over, others when it is open
        window = asyncio.create_task(app.permit_with_link_key(ieee, key, round(seconds)), name="zigbee window")
        try:
            async with asyncio.timeout(seconds + 1):
                await joined.done
            return on_air(app)[wanted]
        except TimeoutError as error:
            raise UserError(
                f"{eui} did not join within {seconds:.0f} s; is it in joining mode, and is its install code right?"
            ) from error
        finally:
            await end_tasks(window)
            await _bounded(app.permit(0))


async def backup(radio: ZigbeeRadio, database: Path, *, make_radio: MakeRadio | None = None) -> dict[str, Any]:
    """Everything that another coordinator needs to take over. It holds the network key.

    Raises:
        Unreachable: the coordinator does not answer, or has no network.
    """
    async with _opened(radio, database, make_radio, Gate()) as app:
        await _started(app)
        found = await _bounded(app.backups.create_backup())
        return dict(found.as_dict())


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
    except (ValueError, KeyError, TypeError, AssertionError, AttributeError) as error:
        raise UserError("this is no backup of a Zigbee network") from error
    if not wanted.is_complete():
        raise UserError("this backup is not complete: it cannot bring the network back")
    async with _opened(radio, database, make_radio, Gate()) as app:
        await _bounded(app.connect())
        # frame counters go ahead, or devices would take every frame for a replay
        await _bounded(app.backups.restore_backup(wanted))
        await _bounded(app.initialize(auto_form=False))
        return _network(app)


async def devices(radio: ZigbeeRadio, database: Path, *, make_radio: MakeRadio | None = None) -> list[OnAir]:
    """Every device that the coordinator knows, by address. Raises as `backup`."""
    async with _opened(radio, database, make_radio, Gate()) as app:
        await _started(app)
        return [found for _, found in sorted(on_air(app).items())]


async def survey(radio: ZigbeeRadio, database: Path, *, make_radio: MakeRadio | None = None) -> list[Neighbour]:
    """Who hears whom: every router is asked for its neighbours. Raises as `backup`."""
    async with _opened(radio, database, make_radio, Gate()) as app:
        await _started(app)
        async with asyncio.timeout(_SCAN_S):
            # the coordinator itself is not asked: many do not talk to themselves, and every router names it
            await app.topology.scan([d for d in app.devices.values() if int(d.nwk) != 0])
        return [
            Neighbour(plain_eui(of), plain_eui(n.ieee), f"{int(n.nwk):04x}", n.relationship.name, int(n.lqi))
            for of, found in app.topology.neighbors.items()
            for n in found
        ]


def link_key(install_code: str) -> Any:
    """The key that stands in an install code.

    Raises:
        UserError: its check sum is wrong or it is none.
    """
    from zigpy.util import convert_install_code

    try:
        key = convert_install_code(bytes.fromhex(install_code.replace("-", "").replace(":", "")))
    except ValueError as error:
        raise UserError("this is no install code: 16 bytes and their check sum, as printed on the device") from error
    return key


def parse_eui(eui: str) -> Any:
    """zigpy's form of an address.

    Raises:
        UserError: it is none.
    """
    from zigpy.types import EUI64

    digits = eui.replace(":", "").replace("-", "").lower()
    if len(digits) != 16 or set(digits) - set("0123456789abcdef"):
        raise UserError(f"'{eui}' is no EUI-64: sixteen hexadecimal digits")
    return EUI64.convert(digits)


def on_air(app: Any) -> dict[str, OnAir]:
    """By address, without the coordinator itself."""
    now_s, found = SystemClock().utc().timestamp(), {}
    for device in app.devices.values():
        if int(device.nwk) == 0:
            continue
        seen = device.last_seen
        age_s = None if not seen else now_s - float(seen)
        lqi = None if device.lqi is None else int(device.lqi)
        eui = plain_eui(device.ieee)
        found[eui] = OnAir(
            eui, f"{int(device.nwk):04x}", device.manufacturer, device.model, lqi, age_s, bool(device.is_initialized)
        )
    return found


class _Joined:
    """Waits for one device to be there and known. zigpy calls it by the name of the event."""

    def __init__(self, eui: str) -> None:
        self._eui = eui
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def device_initialized(self, device: Any) -> None:
        if plain_eui(device.ieee) == self._eui and not self.done.done():
            self.done.set_result(None)


@contextlib.asynccontextmanager
async def _opened(
    radio: ZigbeeRadio, database: Path, make_radio: MakeRadio | None, gate: Gate, channel: int | None = None
) -> AsyncIterator[Any]:
    """The coordinator's controller, not connected; let go in the end, whatever happens."""
    from mimctl.wire.zigbee.cluster import with_mim_cluster

    kind = radio_class(radio) if make_radio is None else make_radio()
    hush()
    make_private(database)
    _usable(database)
    settings = configuration(radio, database) | ({} if channel is None else {"network": {"channel": channel}})
    app = await kind.new(settings, start_radio=False, device_resolver=with_mim_cluster)
    app.gate = gate
    try:
        yield app
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await app.shutdown()


def _usable(database: Path) -> None:
    try:
        check_database(database)
    except sqlite3.DatabaseError as error:
        raise UserError(f"{database} is damaged; move it away, devices are found again") from error


async def _started(app: Any) -> None:
    await _bounded(app.startup(auto_form=False))


async def _bounded(step: Any) -> Any:
    """One step with the coordinator, its troubles in words: those of the packages hold keys."""
    from zigpy.exceptions import NetworkNotFormed, NetworkSettingsInconsistent, TransientConnectionError, ZigbeeException

    try:
        async with asyncio.timeout(_START_S):
            return await step
    except NetworkNotFormed as error:
        raise Unreachable("the coordinator has no network: `mimctl zigbee form` forms one") from error
    except NetworkSettingsInconsistent:
        raise Unreachable(
            "the coordinator holds another network than the last backup: `mimctl zigbee restore` brings that back"
        ) from None
    except (TimeoutError, OSError, TransientConnectionError, ZigbeeException) as error:
        raise Unreachable(f"the coordinator does not answer ({type(error).__name__})") from error


def _network(app: Any) -> Network:
    info = app.state.network_info
    return Network(
        int(info.channel), f"{int(info.pan_id):04x}", plain_eui(info.extended_pan_id), plain_eui(app.state.node_info.ieee)
    )


def plain(found: Network | OnAir | Neighbour) -> dict[str, Any]:
    """As JSON has it."""
    return asdict(found)
