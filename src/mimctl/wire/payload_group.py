"""Frames for several devices of a multicast group, by the layouts of a profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mimctl.model.payload import Frame, GroupFrames
from mimctl.wire.payload import Reading, encode_payload, read_payload


def encode_part(device: str, frames: GroupFrames, values: Mapping[str, float]) -> bytes:
    """The setpoint of one device.

    Raises:
        Unencodable: a value that it cannot carry.
    """
    return encode_payload(device, frames.part, values)


def encode_group(device: str, frames: GroupFrames, validity_s: float, parts: Sequence[bytes]) -> bytes:
    """A frame with the setpoints of several devices. Raises as `encode_part`."""
    return encode_payload(device, frames.head, {"validity": validity_s}) + b"".join(parts)


def read_part(frames: GroupFrames, port: int, payload: bytes, member: int) -> tuple[float, Reading] | None:
    """What a frame for several says to one device: for how long [s], and its setpoint; None where it says nothing to it."""
    head, part = frames.head, frames.part
    if port != head.port or not payload.startswith(head.header) or len(payload) < head.length:
        return None
    begin, rest = payload[: head.length], payload[head.length :]
    common = read_payload([head], port, begin)
    if common is None or len(rest) % part.length:
        return None
    for at in range(0, len(rest), part.length):
        reading = _read(part, rest[at : at + part.length])
        if reading is not None and reading.get("member") == member:
            return common.get("validity") or 0.0, reading
    return None


def read_release(frames: GroupFrames, port: int, payload: bytes) -> int | None:
    """The number of a release of all; None where a frame is none."""
    reading = read_payload([frames.release], port, payload)
    return None if reading is None else int(reading.get("sequence") or 0)


def _read(part: Frame, payload: bytes) -> Reading | None:
    return read_payload([replace(part, header=b"")], part.port, payload)
