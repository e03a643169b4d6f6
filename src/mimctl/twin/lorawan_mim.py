"""The firmware of one MIM behind frames of LoRaWAN: takes setpoints, answers questions, reports."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Protocol

import numpy as np

from mimctl.config.air_budget import largest_report
from mimctl.model.errors import LinkError, UserError
from mimctl.model.layout import SiteLayout
from mimctl.model.lorawan import LorawanLink
from mimctl.model.numbering import is_stale
from mimctl.model.payload import Frame, PayloadProfile
from mimctl.model.site import ExpiryAction
from mimctl.twin.mim_instruments import MimInstruments
from mimctl.twin.picture import World
from mimctl.twin.wireless import WirelessDevice
from mimctl.wire.chirpstack.stand_in import Receiver
from mimctl.wire.payload import Reading, encode_payload, read_payload
from mimctl.wire.payload_group import read_part, read_release

#: points of the MIM protocol by the quantity of a port
_PORT_POINTS = {"voltage": "V", "current": "A", "active_power": "W", "reactive_power": "Var", "thd_v": "ThdV", "thd_i": "ThdA"}
_POINTS = {
    "frequency": "Hz",
    "temperature": "Tmp",
    "alarms": "Alrm",
    "command_status": "CmdSta",
    "watchdog_remaining": "WdRem",
    "status": "CmdSta",
}
#: a device that has just started reports so many times at so short an interval [s], or until it is first told something: it is soon
#: known, also to a service that starts later
_EARLY_REPORTS, _EARLY_S = 24, 5.0
#: a device answers a setpoint after a pause drawn within [s]: its output has followed by then, and not all answer at once
ECHO_S = (1.0, 4.0)


class NetworkServer(Protocol):
    """Where the frames of devices go, and where those to them come from."""

    def add(self, eui: str, name: str, receive: Receiver) -> None: ...

    def uplink(self, eui: str, port: int, payload: bytes) -> None: ...


class LorawanMimTwin:
    """One MIM: takes the newest setpoint, reports at its interval and after each setpoint, which is the echo.

    Args:
        soon: has the echo sent after a pause; None = at once.
        started: it has just been switched on; otherwise it has long reported at its interval.
    """

    def __init__(
        self,
        m: int,
        layout: SiteLayout,
        world: World,
        profile: PayloadProfile,
        server: NetworkServer,
        spec: LorawanLink,
        rng: np.random.Generator,
        soon: Callable[[Callable[[], None]], None] | None = None,
        *,
        started: bool = True,
    ) -> None:
        report = largest_report(spec.plan, profile)
        if profile.setpoint is None or report is None:
            raise UserError(f"the twin cannot serve {layout.mims[m].id} by the profile '{profile.id}' at this data rate")
        self._m, self._mim, self._world, self._server = m, layout.mims[m], world, server
        self._layout = layout
        self._setpoint: Frame = profile.setpoint
        self._report_frame: Frame = report
        self._question = profile.question
        self._group_frames = profile.group
        self._member = next((n for group in spec.multicast for name, n in group.members if name == self._mim.id), 0)
        self._answer_frame = next((frame for frame in profile.uplinks if frame.tells_held), None)
        self._numbers = 1 + max(f.bounds[1] for f in self._setpoint.fields if f.key == "sequence")
        self._nominal_hz = layout.site.frequency_hz
        self._instruments = MimInstruments(m, layout, world, rng)
        self._stores = any(battery.mim == self._mim.id for battery in layout.batteries)
        self._beats = itertools.count(1)
        self._soon = soon
        self._due_s, self._early = -np.inf, _EARLY_REPORTS if started else 0
        self.kind = f"MIM over LoRaWAN, {len(self._mim.ports)} ports" + (", storage" if self._stores else "")
        server.add(self._mim.address.eui, self._mim.id, self.receive)

    @property
    def device(self) -> WirelessDevice:
        """For people."""
        return WirelessDevice(self._mim.id, self._mim.address, self.kind)

    def tick(self, now_s: float) -> None:
        """Report what is due."""
        if now_s >= self._due_s:
            usual_s = self._mim.latency.report_every_s or 1.0
            self._due_s = now_s + (min(usual_s, _EARLY_S) if self._early > 0 else usual_s)
            self._early -= 1
            self.report()

    def receive(self, port: int, payload: bytes) -> bool:
        """A downlink; whether it was taken."""
        fleet = self._instruments.fleet
        if not fleet.online[self._m] or not self._on_air():
            return False
        if self._question is not None and (port, payload) == (self._question.port, self._question.payload):
            self._soon_or_now(self.answer)
            return True
        meant = self._meant(port, payload)
        if meant is None:
            return False
        self._world.advance()
        sequence, validity_s, watts, vars_ = meant
        in_force = int(fleet.sequence_ack[self._m] % self._numbers)
        late = validity_s > 0 and is_stale(sequence, in_force, self._numbers - 1)
        if sequence != in_force and not late:
            self._act(watts, vars_, sequence, validity_s)
        self._soon_or_now(self.report)
        return True

    def _meant(self, port: int, payload: bytes) -> tuple[int, float, list[float], list[float]] | None:
        """Number, validity [s] and setpoints of a downlink to this device, whichever form it has; None: it is none."""
        count, frames = len(self._mim.ports), self._group_frames
        single = read_payload([self._setpoint], port, payload, self._nominal_hz)
        if single is not None:
            return _command(single, single.get("validity") or 0.0, count)
        if frames is None or not self._member:
            return None
        if (number := read_release(frames, port, payload)) is not None:
            return number, 0.0, [0.0] * count, [0.0] * count
        part = read_part(frames, port, payload, self._member)
        return None if part is None else _command(part[1], part[0], count)

    def _soon_or_now(self, send: Callable[[], None]) -> None:
        if self._soon is None:
            send()
        else:
            self._soon(send)

    def _act(self, watts: list[float], vars_: list[float], sequence: int, validity_s: float) -> None:
        fleet, m = self._instruments.fleet, self._m
        if validity_s > 0:
            self._early = 0
            fleet.set_watchdog(m, validity_s, ExpiryAction.ZERO)
            fleet.heartbeat(m, next(self._beats))
            fleet.enable(m, on=True)
        fleet.apply(m, watts, vars_, sequence)
        if not validity_s > 0:
            fleet.enable(m, on=False)

    def report(self) -> None:
        """Send what the instruments see."""
        self._tell(self._report_frame)

    def answer(self) -> None:
        """Send which setpoint is in force."""
        if self._answer_frame is not None:
            self._tell(self._answer_frame)

    def _tell(self, frame: Frame) -> None:
        if not self._instruments.fleet.online[self._m] or not self._on_air():
            return
        told = self._values()
        values = {field.key: _within(field.bounds, field.scale, told.get(field.key, np.nan)) for field in frame.fields}
        values |= {key: told[key] for key in ("frequency", "sequence_ack") if key in values}
        payload = encode_payload(self._mim.id, frame, values, self._nominal_hz, measured=True)
        self._server.uplink(self._mim.address.eui, frame.port, payload)

    def _values(self) -> dict[str, float]:
        shown = self._instruments.measured(self._world.look())
        values = {key: shown[point] for key, point in _POINTS.items()}
        values["status"] += 256 * values["alarms"]
        values["sequence_ack"] = float(int(shown["SeqAck"]) % self._numbers)
        values["soc"] = self._instruments.stored()["SoC"] if self._stores else np.nan
        held_va = self._instruments.fleet.setpoint_va[self._layout.ports_of_mim[self._m]]
        for n, setpoint_va in enumerate(held_va.tolist()):
            values |= {
                f"setpoint_active_power.port{n + 1}": setpoint_va.real,
                f"setpoint_reactive_power.port{n + 1}": setpoint_va.imag,
            }
            values |= {f"{quantity}.port{n + 1}": shown[f"Ph[{n}].{point}"] for quantity, point in _PORT_POINTS.items()}
        return values

    def _on_air(self) -> bool:
        """Whether a frame gets through: the way may be cut, or lose some."""
        instruments = self._world.plant.instruments
        if instruments.mute[instruments.row[self._mim.id]]:
            return False
        try:
            instruments.answer(self._mim.id)
        except LinkError:
            return False
        return True


def _command(reading: Reading, validity_s: float, count: int) -> tuple[int, float, list[float], list[float]]:
    ports = range(1, count + 1)
    watts = [reading.get(f"active_power.port{n}") or 0.0 for n in ports]
    vars_ = [reading.get(f"reactive_power.port{n}") or 0.0 for n in ports]
    return int(reading.get("sequence") or 0), validity_s, watts, vars_


def _within(bounds: tuple[int, int], scale: float, value: float) -> float:
    """What a field can hold of a value; the patterns at both ends are for “no value”."""
    low, high = bounds
    return (
        value if np.isnan(value) else min(max(value, (low + 1 if low < 0 else 0) * scale), (high - 1 if high > 3 else high) * scale)
    )
