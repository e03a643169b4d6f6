"""What people do with a running coordinator: let one device in, take a backup, see who is there and who hears whom.

The same for a service that has the coordinator anyway and for a command that has it for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import asdict, dataclass
from typing import Any

from mimctl.model.clock import SystemClock
from mimctl.model.errors import Unreachable, UserError
from mimctl.model.tasks import end_tasks
from mimctl.wire.zigbee.coordinator import bounded
from mimctl.wire.zigbee.guard import plain_eui

#: a network is open for joining so long at most [s]
LONGEST_WINDOW_S = 60.0
#: every key and address is read from the stick's memory: an old one takes minutes [s]
BACKUP_S = 180.0
#: closing the network again [s]
_CLOSE_S = 10.0
#: one router answers with several frames, a second apart [s]
_SCAN_S, _SCAN_EACH_S = 60.0, 15.0
#: bytes of an install code, its check sum of two bytes included
_CODE_BYTES = (8, 10, 14, 18)
_OTHERS = "device that nobody invited"


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
class Admitted(OnAir):
    """The device that was let in; `turned_away`: how often others tried meanwhile."""

    turned_away: int = 0


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One line of the map: `eui` hears `of` with a link quality of 0 to 255."""

    of: str
    eui: str
    nwk: str
    relation: str
    lqi: int


async def let_in(app: Any, eui: str, install_code: str, seconds: float) -> Admitted:
    """Let one device in by its install code, and close the network behind it.

    Raises:
        UserError: the install code or the address is none, or the device did not come in time.
        Unreachable: the coordinator does not do it.
    """
    key, ieee = link_key(install_code), parse_eui(eui)
    if not 0 < seconds <= LONGEST_WINDOW_S:
        raise UserError(f"a network may be open for {LONGEST_WINDOW_S:.0f} s at most")
    wanted, gate = plain_eui(ieee), app.gate
    if gate.invited:
        raise UserError("another device is being let in: one at a time")
    gate.invited[wanted] = asyncio.get_running_loop().time() + seconds
    before, joined = gate.counts[_OTHERS], _Joined(wanted)
    app.add_listener(joined)
    # some coordinators return when the window is over, others when it is open
    window = asyncio.create_task(app.permit_with_link_key(ieee, key, math.ceil(seconds)), name="zigbee window")
    window.add_done_callback(joined.window_ended)
    try:
        async with asyncio.timeout(seconds + 1):
            await bounded(joined.done, None)
        found = on_air(app)[wanted]
    except BaseException as error:
        with contextlib.suppress(Unreachable):  # what came first is what is told
            await _close(app, window, joined)
        if isinstance(error, TimeoutError):
            raise UserError(_stayed_away(eui, seconds, gate.counts[_OTHERS] - before)) from error
        raise
    await _close(app, window, joined)
    return Admitted(**asdict(found), turned_away=gate.counts[_OTHERS] - before)


async def _close(app: Any, window: asyncio.Task[None], joined: _Joined) -> None:
    """The network first: some coordinators no longer demand install codes when the window's task ends."""
    app.gate.invited.clear()
    app.remove_listener(joined)
    try:
        await bounded(app.permit(0), _CLOSE_S)
    finally:
        await end_tasks(window, within_s=_CLOSE_S)


def _stayed_away(eui: str, seconds: float, others: int) -> str:
    text = f"{eui} did not join within {seconds:.0f} s; is it in joining mode, and is its install code right?"
    return text if not others else f"{text} (others tried {others} times and were turned away)"


async def take_backup(app: Any) -> dict[str, Any]:
    """Everything that another coordinator needs to take over. It holds the network key.

    Raises:
        Unreachable: the coordinator does not answer.
    """
    found = await bounded(app.backups.create_backup(), BACKUP_S)
    return dict(found.as_dict())


async def listed(app: Any) -> list[OnAir]:
    """Every device that the coordinator knows, by address."""
    return [found for _, found in sorted(on_air(app).items())]


async def neighbours(app: Any) -> list[Neighbour]:
    """Who hears whom: every router is asked for its neighbours, one after another.

    Raises:
        Unreachable: they take too long.
    """
    # the coordinator itself is not asked: many do not talk to themselves, and every router names it
    asked = [d for d in app.devices.values() if int(d.nwk) != 0]
    await bounded(app.topology.scan(asked), _SCAN_S + _SCAN_EACH_S * len(asked))
    return [
        Neighbour(plain_eui(of), plain_eui(n.ieee), f"{int(n.nwk):04x}", n.relationship.name, int(n.lqi))
        for of, found in app.topology.neighbors.items()
        for n in found
    ]


def link_key(install_code: str) -> Any:
    """The key that stands in an install code. What is wrong with one is said without repeating it: it is a secret.

    Raises:
        UserError: its check sum is wrong or it is none.

    Reference: Base Device Behavior Specification 3.0.1, chapter 10.1 (install codes and their CRC-16/X-25).
    """
    from zigpy.util import convert_install_code

    digits = install_code.strip().replace("-", "").replace(":", "").replace(" ", "")
    try:
        code = bytes.fromhex(digits)
    except ValueError as error:
        raise UserError(
            "this is no install code: it has other characters than hexadecimal digits, or an odd number of them"
        ) from error
    if len(code) not in _CODE_BYTES:
        raise UserError(f"this is no install code: it has {len(digits)} digits, and most have 36, the last 4 being their check sum")
    try:
        return convert_install_code(code)
    except ValueError as error:
        text = "this is no install code: its check sum (the last 4 digits) does not fit; compare each digit with the label"
        raise UserError(text) from error


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


def network_of(app: Any) -> Network:
    """The network that the coordinator has."""
    info = app.state.network_info
    return Network(
        int(info.channel), f"{int(info.pan_id):04x}", plain_eui(info.extended_pan_id), plain_eui(app.state.node_info.ieee)
    )


def plain(found: Network | OnAir | Neighbour) -> dict[str, Any]:
    """As JSON has it."""
    return asdict(found)


class _Joined:
    """Waits for one device to be there and known. zigpy calls it by the name of the event."""

    def __init__(self, eui: str) -> None:
        self._eui = eui
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def device_initialized(self, device: Any) -> None:
        if plain_eui(device.ieee) == self._eui:
            self._settle(None)

    def device_came(self, device: Any) -> None:
        if plain_eui(device.ieee) == self._eui and device.is_initialized:
            self._settle(None)

    def connection_lost(self, _: Exception | None) -> None:
        self._settle(ConnectionError("the coordinator went away"))

    def window_ended(self, window: asyncio.Task[None]) -> None:
        """A window that could not be opened is told; one that was waits for its device all the same."""
        if not window.cancelled() and (error := window.exception()) is not None:
            self._settle(error)

    def _settle(self, error: BaseException | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
