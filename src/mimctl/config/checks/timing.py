"""Whether the links can keep up with the cycles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain

from mimctl.config.draft import DEFAULT_CYCLE_S, Draft, port_of
from mimctl.config.schema_devices import DeviceItem, LinkItem, MeterItem, MimItem
from mimctl.model.problem import Problem, warning
from mimctl.model.site import SUNSPEC, LinkType, SerialLine

#: bytes of one read and its answer on a serial line, beside the registers: addresses, function codes, counts, checksums
_FRAME_BYTES = 13
#: registers that one reading of a device takes at the least: a SunSpec meter or MIM; a profile may name a handful
_SUNSPEC_REGISTERS, _PROFILE_REGISTERS = 50, 6


def check_links_keep_up(draft: Draft) -> Iterator[Problem]:
    """`link.too_slow`: one look at every device of a link takes longer than the cycle of a zone that needs it."""
    cycles = {zone.id: zone.cycle_s for zone in draft.file.zones}
    devices: dict[str, list[MeterItem | MimItem]] = defaultdict(list)
    every: Iterator[MeterItem | MimItem] = chain((m for _, m in draft.meters()), (m for _, m in draft.mims()))
    for device in every:
        devices[device.link].append(device)
    for path, link in draft.links():
        wanted = [cycles.get(zone, DEFAULT_CYCLE_S) for device in devices[link.id] for zone in _zones(draft, device)]
        sweep_s = sum(_least_s(link, device) for device in devices[link.id]) / link.max_connections
        if wanted and sweep_s > min(wanted):
            text = (
                f"to read its {len(devices[link.id])} devices once takes {sweep_s:.1f} s or more, but their zone wants new values "
                f"each {min(wanted):g} s: {_mend(link)}"
            )
            yield warning("link.too_slow", path, text)


def _zones(draft: Draft, device: MeterItem | MimItem) -> set[str]:
    """The zones that need a device in every cycle."""
    nodes = {device.node} if isinstance(device, MeterItem) else {port_of(device, port)[0] for port in device.ports}
    return {zone for node in nodes if node is not None and (zone := draft.zone_of_node.get(node)) is not None}


def _least_s(link: LinkItem, device: DeviceItem) -> float:
    """The least time that one reading takes on the link [s]: what is sent, and the prescribed silences; no answering time."""
    if link.type is not LinkType.MODBUS_RTU:
        return link.request_gap_s
    line = SerialLine("", link.baudrate, link.parity, link.stop_bits, link.byte_size)
    registers = _SUNSPEC_REGISTERS if device.profile == SUNSPEC else _PROFILE_REGISTERS
    return (_FRAME_BYTES + 2 * registers) * line.character_s + 2 * line.silence_s + link.request_gap_s


def _mend(link: LinkItem) -> str:
    faster = "a higher baudrate" if link.type is LinkType.MODBUS_RTU else "a smaller request_gap"
    return f"fewer devices on a link, {faster} or a longer cycle"


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (check_links_keep_up,)
