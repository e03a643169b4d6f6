"""Payloads to values and back, by the layouts of a profile. Whatever bytes come from the air, reading them raises nothing."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from mimctl.model.errors import Unencodable
from mimctl.model.layout import FloatArray, frozen
from mimctl.model.payload import FieldType, Frame, PayloadField

#: largest number of 32 bit floats
_MOST_FLOAT = 3.4028234e38


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one payload says.

    Args:
        values: one per field of the frame, NaN where it gives none or none that can be.
        unbelievable: keys of the fields whose value is outside of what the profile allows.
    """

    frame: Frame
    values: FloatArray
    unbelievable: tuple[str, ...]

    def get(self, key: str) -> float | None:
        keys = self.frame.keys
        value = float(self.values[keys.index(key)]) if key in keys else math.nan
        return None if math.isnan(value) else value


def read_payload(frames: Iterable[Frame], port: int, payload: bytes, nominal_hz: float = 50.0) -> Reading | None:
    """The values of a payload; None where no layout fits its port, length and header."""
    for frame in frames:
        if frame.port == port and frame.length == len(payload) and payload.startswith(frame.header):
            return _read(frame, payload, nominal_hz)
    return None


def _read(frame: Frame, payload: bytes, nominal_hz: float) -> Reading:
    values, wrong = np.full(len(frame.fields), np.nan), []
    for i, field in enumerate(frame.fields):
        value = _value(field, payload, nominal_hz)
        if value is None:
            continue
        low, high = field.minimum, field.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            wrong.append(field.key)
            continue
        values[i] = value
    return Reading(frame, frozen(values), tuple(wrong))


def _value(field: PayloadField, payload: bytes, nominal_hz: float) -> float | None:
    data = payload[field.at : field.end]
    order = "<" if field.little else ">"
    if field.type is FieldType.FLOAT32:
        raw: float = struct.unpack(f"{order}f", data)[0]
        if not math.isfinite(raw):
            return None
    else:
        raw = _integer(field, data)
        if raw in field.sentinels:
            return None
    base = nominal_hz if field.from_nominal else 0.0
    return (raw * field.scale + field.offset) * field.sign + base + 0.0


def _integer(field: PayloadField, data: bytes) -> int:
    number = int.from_bytes(data, "little" if field.little else "big")
    if field.mask:
        number = (number & field.mask) >> field.shift
    low, _ = field.bounds
    return number - (1 << field.bits) if low < 0 and number >> field.bits - 1 else number


def encode_payload(
    device: str, frame: Frame, values: Mapping[str, float], nominal_hz: float = 50.0, *, measured: bool = False
) -> bytes:
    """The payload that carries these values. Commands are rounded towards zero: nobody is asked for more than was meant.

    Args:
        device: for the message.
        values: by key; every field of the frame must have one. NaN is the field's pattern for “no value”.
        measured: round to the nearest number instead.

    Raises:
        Unencodable: a value that the field cannot hold or its profile does not allow.
    """
    payload = bytearray(frame.length)
    payload[: len(frame.header)] = frame.header
    for field in frame.fields:
        data = _encoded(device, field, values[field.key], nominal_hz, measured)
        for n, byte in enumerate(data):  # masked fields share bytes
            payload[field.at + n] |= byte
    return bytes(payload)


def _encoded(device: str, field: PayloadField, value: float, nominal_hz: float, measured: bool) -> bytes:
    if math.isnan(value) and field.sentinels:
        return _placed(field, field.sentinels[0])
    if not math.isfinite(value):
        raise Unencodable(device, f"{field.key} cannot be {value}")
    for limit, over in ((field.minimum, value < (field.minimum or 0)), (field.maximum, value > (field.maximum or 0))):
        if limit is not None and over:
            raise Unencodable(device, f"{field.key} of {value:g} is outside of {field.minimum} to {field.maximum}")
    base = nominal_hz if field.from_nominal else 0.0
    raw = ((value - base) * field.sign - field.offset) / field.scale
    if field.type is FieldType.FLOAT32:
        if abs(raw) > _MOST_FLOAT:
            raise Unencodable(device, f"{field.key} of {value:g} does not fit into {field.type}")
        return struct.pack("<f" if field.little else ">f", raw)
    whole = round(raw) if measured else math.trunc(raw + math.copysign(1e-9 + 8e-15 * abs(raw), raw))
    low, high = field.bounds
    if not low <= whole <= high or whole in field.sentinels:
        raise Unencodable(device, f"{field.key} of {value:g} does not fit into {field.bits} bits of {field.scale:g}")
    return _placed(field, whole)


def _placed(field: PayloadField, whole: int) -> bytes:
    pattern = (whole & (1 << field.bits) - 1) << field.shift
    return pattern.to_bytes(field.type.size, "little" if field.little else "big")


def resolution(frame: Frame, key: str) -> float:
    """The step of a field, in the unit of its quantity; 0 where it has none or the frame has no such field."""
    return next((abs(f.scale) for f in frame.fields if f.key == key and f.type is not FieldType.FLOAT32), 0.0)
