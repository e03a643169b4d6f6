"""A MIM over LoRaWAN: one frame carries everything, and only the echo of its number proves that it was taken."""

from __future__ import annotations

import math

from mimctl.drivers.lorawan_device import Airway, LorawanDevice
from mimctl.drivers.lorawan_multicast import GroupWriter, Part
from mimctl.drivers.lorawan_recall import ASK_EVERY_S, REVERTED, HeldBefore, told_setpoint
from mimctl.model.clock import Clock
from mimctl.model.errors import BadReply, LinkError, LinkTimeout, Unencodable
from mimctl.model.numbering import is_stale, next_number
from mimctl.model.payload import Frame, PayloadProfile, Question
from mimctl.model.protocols import ForeignWrite, HeldSetpoint, MimCommand, Recall
from mimctl.model.reason import Reason
from mimctl.model.sample import Sample
from mimctl.model.setpoints import MimMap
from mimctl.model.site import Mim
from mimctl.wire.chirpstack.groups import GroupPart
from mimctl.wire.payload import Reading, encode_payload, read_payload
from mimctl.wire.payload_group import encode_part

#: a release is worth sending for so long [s]
_RELEASE_VALID_S = 3600.0
_KEPT = Reason("lorawan.kept", "what a controller before held stands; validity renewed")


class LorawanMim(LorawanDevice):
    """Implements `model.protocols.MimDriver`, `Commanded`, `Recalls` and `ProvesLate`.

    Numbers go from 1 to the end of their field and begin again; a device that restarts shows 0. Before the first uplink nothing is
    commanded, for the number in force is not known. While no events come nothing is commanded either: nobody would know what
    became of it, and the device's own validity timer ends what it holds. A setpoint of a controller before us is asked for.
    """

    def __init__(
        self,
        mim: Mim,
        bridge: Airway,
        profile: PayloadProfile,
        clock: Clock,
        *,
        nominal_hz: float = 50.0,
        group: GroupWriter | None = None,
    ) -> None:
        super().__init__(
            mim.id, mim.address.eui, bridge, profile, clock, most_age_s=max(60.0, mim.latency.stale_s), nominal_hz=nominal_hz
        )
        if profile.setpoint is None:
            raise ValueError(f"{profile.id} has no setpoint")
        self._mim = mim
        self._frame: Frame = profile.setpoint
        self._most_number = profile.most_number
        self._acknowledged: int | None = None
        self._wanted: MimCommand | None = None
        self._held: HeldSetpoint | None = None
        self._proven: HeldSetpoint | None = None
        self._foreign: ForeignWrite | None = None
        #: numbers of the releases since the last command; the echo of any of them proves that it let go
        self._releases: set[int] = set()
        self._released_at_s: float | None = None
        self._let_go = True
        self._recall = HeldBefore(profile.question is not None, clock)
        self._group = group
        self._member = 0 if group is None else group.join(self)

    @property
    def mim_map(self) -> MimMap | None:
        """None: it has no registers, and takes the validity and falls back as the site file says."""
        return None

    @property
    def foreign_write(self) -> ForeignWrite | None:
        """How our last command went out of force without our doing; None while it stands."""
        return self._foreign

    @property
    def recall(self) -> Recall:
        return self._recall.state

    @property
    def release_proven(self) -> bool:
        """Whether the device has shown since our last release that nothing is in force; True where it was never released."""
        return self._let_go

    def held(self) -> HeldSetpoint | None:
        """The last setpoint that the device echoed, while it stands; before the first of ours, what it says that it holds."""
        return self._proven or self._recall.held

    async def read(self) -> Sample:
        self._bridge.downlinks(self._eui)  # time passes for what was sent, whether the device tells something or not
        sample = await super().read()
        if self._profile.question is not None and self._recall.wants_to_ask():
            await self._ask(self._profile.question)
        return sample

    async def _ask(self, question: Question) -> None:
        """Have the device say what it holds; where that cannot be sent it is asked again later, and in the end not waited for."""
        try:
            await self._bridge.ask(self._eui, question.port, question.payload, ASK_EVERY_S)
        except LinkError as error:
            self._log.info("mim.not_asked", text=error.what)

    async def apply(self, command: MimCommand) -> HeldSetpoint:
        payload, alone = self._encoded(command)
        self._bridge.require_up(self._device)
        if self._acknowledged is None:
            raise LinkTimeout(self._device, f"{self._eui} has not reported yet: the number of its last setpoint is not known")
        self._releases, self._released_at_s = set(), None
        together = await self._send_with_others(command)
        if together is None:
            await self._send(payload, self._next_number(), min(max(1.0, command.validity_s), self._patience_s))
        held = together or alone
        self._wanted, self._held, self._foreign = command, held, None
        self._recall.settle()
        return held

    async def refresh(self) -> None:
        sent, before = self._bridge.downlinks(self._eui).current, self._recall.held
        if self._wanted is None and before is not None:  # of a controller before us: kept alive as it is
            await self.apply(MimCommand(before.inject_w, before.inject_var, self._mim.validity_s, _KEPT))
            return
        if self._wanted is None or self._foreign is not None:
            raise BadReply(self._device, "no command of ours is in force")
        if sent is not None and sent.state.is_failure:
            raise BadReply(self._device, f"setpoint {sent.sequence} did not arrive: {sent.state} {sent.text}".rstrip())
        await self.apply(self._wanted)

    async def release(self, reason: Reason) -> None:
        zeros = (0.0,) * len(self._mim.ports)
        payload, _ = self._encoded(MimCommand(zeros, zeros, 0.0, reason), released=True)
        together = None if self._group is None else await self._group.leave(self, _RELEASE_VALID_S)
        number = self._next_number() if together is None else together
        self._wanted, self._held, self._proven, self._foreign = None, None, None, None
        self._recall.settle()
        if self._released_at_s is None:
            self._let_go, self._released_at_s = False, self._clock.monotonic_s()
        if self._acknowledged is not None:  # else it might be the very number in force, whose echo would prove nothing
            self._releases.add(number)
        await self._send(payload, number, _RELEASE_VALID_S, urgent=True)
        self._log.info("mim.released", reason=str(reason))

    @property
    def may_hold(self) -> bool:
        """Whether a setpoint may be in force, as far as is known."""
        return self._wanted is not None or self._recall.state is not Recall.SETTLED or self._recall.held is not None

    def numbers_used(self) -> tuple[int, ...]:
        """Of the command in force and of the last one that was sent."""
        sent = self._bridge.downlinks(self._eui).current
        return tuple(n for n in (self._acknowledged, None if sent is None else sent.sequence) if n is not None)

    async def _send_with_others(self, command: MimCommand) -> HeldSetpoint | None:
        """Send it in a frame with those of other MIMs; None where nobody else is told now, or it has no group."""
        if self._group is None:
            return None
        number, frames = self._next_number(), self._group.frames
        validity_s = max(1.0, math.floor(command.validity_s))
        values = {"member": float(self._member), "sequence": float(number), **_powers(command)}
        payload = encode_part(self._device, frames, values)
        valid_s = min(max(1.0, command.validity_s), self._patience_s)
        if not await self._group.put(Part(payload, validity_s, valid_s, GroupPart(self._eui, number, self._due_s()))):
            return None
        return told_setpoint(read_payload([frames.part], frames.part.port, payload), len(self._mim.ports))

    @property
    def _patience_s(self) -> float:
        """A setpoint that was not sent until the next one is due must not be sent any more [s]."""
        return max(self._mim.latency.command_every_s, 2 * self._mim.latency.delay_s, 10.0)

    async def _send(self, payload: bytes, number: int, valid_s: float, *, urgent: bool = False) -> None:
        numbered = encode_number(payload, self._frame, number)
        await self._bridge.send(self._eui, number, self._frame.port, numbered, valid_s, self._due_s(), urgent=urgent)

    def _due_s(self) -> float:
        """Not echoed by then, a command counts as lost, monotonic [s]."""
        return self._clock.monotonic_s() + 2 * self._patience_s + self._mim.latency.report_every_s

    def _next_number(self) -> int:
        """The number after the last one that was sent or echoed, whichever is the later; never 0, which a restart shows."""
        sent = self._bridge.downlinks(self._eui).current
        last = sent.sequence if sent is not None else self._acknowledged
        if last is None:  # a release before anything was heard: any number but the one in force will do
            last = int(self._clock.utc().timestamp()) % self._most_number
        following, in_force = next_number(last, self._most_number), self._acknowledged or 0
        if following == in_force or is_stale(following, in_force, self._most_number):
            following = next_number(in_force, self._most_number)
        return following

    def _encoded(self, command: MimCommand, *, released: bool = False) -> tuple[bytes, HeldSetpoint]:
        """The frame without its number, and what the device will hold.

        Raises:
            Unencodable: a value that the frame cannot carry.
        """
        ports = len(self._mim.ports)
        if len(command.inject_w) != ports or len(command.inject_var) != ports:
            text = f"{len(command.inject_w)} and {len(command.inject_var)} setpoints for {ports} ports"
            raise Unencodable(self._device, text)
        if any(part.share > 0 for part in command.harmonics or ()):
            raise Unencodable(self._device, "a setpoint by LoRaWAN carries no harmonic shares")
        numbers = (*command.inject_w, *command.inject_var, command.validity_s)
        if not all(map(math.isfinite, numbers)):  # in a payload that would be the pattern for "no value"
            raise Unencodable(self._device, f"a setpoint of {', '.join(f'{n:g}' for n in numbers)}")
        values = {"sequence": 1.0, "validity": 0.0 if released else max(1.0, math.floor(command.validity_s))}
        values |= _powers(command)
        lacking = [key for key, value in values.items() if key not in self._frame.keys and not abs(value) < 1.0]
        if lacking:
            raise Unencodable(self._device, f"{self._profile.id} takes no {', '.join(lacking)}")
        payload = encode_payload(self._device, self._frame, values, self._nominal_hz)
        meant = read_payload([self._frame], self._frame.port, payload, self._nominal_hz)
        return payload, told_setpoint(meant, ports) or HeldSetpoint((0.0,) * ports, (0.0,) * ports)

    def _take(self, reading: Reading, at_s: float) -> None:
        super()._take(reading, at_s)
        told = reading.get("sequence_ack")
        if told is None:
            return
        self._acknowledged = int(told)
        self._look_for_release(reading, int(told), at_s)
        self._recall.hear(reading, len(self._mim.ports))
        sent = self._bridge.downlinks(self._eui)
        if sent.echoed(int(told)):
            if reading.get("command_status") == REVERTED:
                self._lost("its setpoint has run out, and it fell back", at_s, sure=False, idle=True)
            else:
                self._proven, self._foreign = self._held, None
        elif self._proven is not None and not sent.knows(int(told)):
            if int(told) == 0:
                self._lost("it shows no setpoint: it restarted", at_s, sure=False, idle=True)
            else:
                self._lost(f"setpoint {int(told)} is in force, which is none of ours", at_s, sure=True, idle=False)

    def _look_for_release(self, reading: Reading, told: int, at_s: float) -> None:
        """Whether it has let go. Idle counts only once nothing can be on its way any more that was sent before the release."""
        if self._released_at_s is None:
            return
        idle = told == 0 or reading.get("command_status") == REVERTED
        self._let_go |= told in self._releases or (idle and at_s > self._released_at_s + self._patience_s)

    def _lost(self, text: str, at_s: float, *, sure: bool, idle: bool) -> None:
        if self._wanted is None or self._foreign is not None:
            return
        self._proven = None
        self._foreign = ForeignWrite(text, at_s, sure=sure, idle=idle)
        self._log.warning("mim.command_lost", text=text)


def _powers(command: MimCommand) -> dict[str, float]:
    """The setpoints by the keys of the fields that carry them [W], [var]."""
    watts = {f"active_power.port{n + 1}": w for n, w in enumerate(command.inject_w)}
    return watts | {f"reactive_power.port{n + 1}": q for n, q in enumerate(command.inject_var)}


def encode_number(payload: bytes, frame: Frame, number: int) -> bytes:
    """The frame with another number."""
    field = next(f for f in frame.fields if f.key == "sequence")
    raw = int.from_bytes(payload[field.at : field.end], "little" if field.little else "big")
    mask = ((1 << field.bits) - 1) << field.shift
    put = (raw & ~mask) | (number << field.shift)
    return payload[: field.at] + put.to_bytes(field.type.size, "little" if field.little else "big") + payload[field.end :]
