"""How much of a link's time its devices need: requests × (latency + quiet time + bytes on the line)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mimctl.model.link import Link
from mimctl.model.profile import RegisterMap
from mimctl.model.reads import SLOW_PERIOD_S, plan_polls
from mimctl.model.setpoints import CommandPoint, MimMap, Role

#: share of its time that a link may be busy: the rest is for repeats, probes and whoever pokes a device
USABLE_SHARE = 0.8
#: bytes of a request and its answer beside the registers: unit, function, address, count, checksum (RTU)
_READ_BYTES, _WRITE_BYTES = 8 + 5, 9 + 8
#: registers of what is read from a SunSpec meter: one model of the 200 series with its header
_METER_REGISTERS = 107
#: what is read back of an inverter: its longest model of controls (704); and its writes: timer and value of P and of Q, a heartbeat
_CONTROLS_REGISTERS, _INVERTER_WRITES = 67, (2, 2, 2, 2, 2)
#: the same of a MIM, fixed and per port: state of charge and measurement; and of one command
_MIM_READ, _MIM_READ_PORT, _MIM_READS = 34, 14, 2
_MIM_WRITE, _MIM_WRITE_PORT = 5, 7


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one device asks of its link.

    Args:
        reads, writes: registers of each request in every cycle.
        slow: registers of each read that comes now and then.
        cycle_s: how often [s].
    """

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    slow: tuple[int, ...]
    cycle_s: float


@dataclass(frozen=True, slots=True)
class LinkLoad:
    """What the devices of a link need together.

    Args:
        reads, writes: requests in one cycle of the fastest zone, slow reads and slower zones by their share.
        busy_s: time that they take of it [s].
        cycle_s: that cycle [s].
    """

    devices: int
    reads: float
    writes: float
    busy_s: float
    cycle_s: float

    @property
    def share(self) -> float:
        return self.busy_s / self.cycle_s


def read_s(link: Link, registers: int) -> float:
    """One read and its answer [s].

    Reference: MODBUS over Serial Line Specification and Implementation Guide V1.02, sections 2.5.1 and 2.5.1.1.
    """
    return _request_s(link, _READ_BYTES + 2 * registers)


def write_s(link: Link, registers: int) -> float:
    """One write and its answer [s]."""
    return _request_s(link, _WRITE_BYTES + 2 * registers)


def _request_s(link: Link, line_bytes: int) -> float:
    if link.serial is None:
        return link.expected_latency_s + link.request_gap_s
    gap_s = max(link.request_gap_s, link.serial.silence_s)
    return line_bytes * link.serial.character_s + link.expected_latency_s + gap_s


def link_load(link: Link, devices: Iterable[Traffic]) -> LinkLoad | None:
    """What these devices need of a link; None where there are none."""
    every = list(devices)
    if not every:
        return None
    cycle_s = min(device.cycle_s for device in every)
    reads = writes = busy_s = 0.0
    for device in every:
        times = cycle_s / device.cycle_s
        # at most one slow read comes with each reading
        slow_times = min(cycle_s / SLOW_PERIOD_S, times / max(1, len(device.slow)))
        reads += times * len(device.reads) + slow_times * len(device.slow)
        writes += times * len(device.writes)
        busy_s += times * sum(read_s(link, n) for n in device.reads) + slow_times * sum(read_s(link, n) for n in device.slow)
        busy_s += times * sum(write_s(link, n) for n in device.writes)
    return LinkLoad(len(every), reads, writes, busy_s / max(1, link.max_connections), cycle_s)


def sunspec_meter(link: Link, cycle_s: float) -> Traffic:
    """A meter whose models are not known before it answers."""
    return Traffic(_pieces(_METER_REGISTERS, link.max_registers), (), (), cycle_s)


def sunspec_mim(link: Link, ports: int, cycle_s: float) -> Traffic:
    """The same for a MIM: its measurements and one command in every cycle."""
    registers = _MIM_READ + _MIM_READ_PORT * ports
    reads = _pieces(registers, min(link.max_registers, -(-registers // _MIM_READS)))
    return Traffic(reads, (_MIM_WRITE + _MIM_WRITE_PORT * ports,), (), cycle_s)


def sunspec_device(link: Link, beside: RegisterMap, cycle_s: float, *, commanded: bool) -> Traffic:
    """A meter or an inverter that tells its own register map, and what it has beside that.

    Args:
        beside: registers at addresses that are known.
        commanded: it gets a command in every cycle, and is read back.
    """
    own = mapped_device(link, beside, cycle_s, commanded=False)
    most = min(link.max_registers, beside.max_registers)
    reads = (*_pieces(_METER_REGISTERS, most), *own.reads)
    if not commanded:
        return Traffic(reads, (), own.slow, cycle_s)
    return Traffic((*reads, *_pieces(_CONTROLS_REGISTERS, most)), _INVERTER_WRITES, own.slow, cycle_s)


def mapped_device(link: Link, register_map: RegisterMap, cycle_s: float, *, commanded: bool) -> Traffic:
    """A device whose register map is known.

    Args:
        commanded: it gets a command in every cycle, and is read back where it does not count commands.
    """
    points = tuple(p for p in register_map.points if not p.type.is_text and not p.static)
    polls = plan_polls(register_map, points, link.max_registers, register_map.max_gap)
    reads = tuple(block.count for block in polls.fast)
    mim = register_map.mim
    if not commanded or mim is None:
        return Traffic(reads, (), tuple(b.count for b in polls.slow), cycle_s)
    back = tuple(block.count for block in mim.state) if mim.sequence is None else ()
    return Traffic((*reads, *back), command_frames(mim), tuple(b.count for b in polls.slow), cycle_s)


def command_frames(mim: MimMap) -> tuple[int, ...]:
    """Registers of each write of a command whose modes and timers stand already."""
    if mim.command is not None:
        return (mim.command.count,)
    kept = (Role.SWITCH, Role.EXPIRY, Role.VALIDITY)
    frames: list[int] = []
    last: CommandPoint | None = None
    for command in mim.commands:
        if not command.always and (command.role in kept and command.role not in mim.keepalive):
            continue
        joins = last is not None and last.point.end == command.point.address and not (last.single or command.single)
        if joins:
            frames[-1] += command.point.registers
        else:
            frames.append(command.point.registers)
        last = command
    return tuple(frames)


def _pieces(registers: int, most: int) -> tuple[int, ...]:
    return tuple(min(most, registers - at) for at in range(0, registers, most))
