"""From values to registers: setpoints for a device, images for a server.

A setpoint is checked before it is encoded and rounded towards zero in register units, so that it never exceeds what was judged.
An image holds measurements: it is rounded to the nearest count.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping

import numpy as np

from mimctl.model.errors import Unencodable
from mimctl.model.profile import PointSpec, PointType, RegisterMap, Signed
from mimctl.model.quantity import quantity_of
from mimctl.wire.register_fields import big_endian_order
from mimctl.wire.registers import MAX_EXPONENT

_CODES = {2: {True: "h", False: "H"}, 4: {True: "i", False: "I"}, 8: {True: "q", False: "Q"}}
#: counts closer than this to a whole number are that number: 3.3 / 0.1 is meant to be 33
_WHOLE = 1e-9
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def encode_setpoint(device: str, point: PointSpec, value: float, exponent: int | None = None) -> bytes:
    """Register bytes of a value that will be written to a device.

    Args:
        device: for the message.
        value: in the unit of the point's quantity.
        exponent: what `point.scale_address` holds; None where the point has none.

    Raises:
        Unencodable: not writable, not finite, outside the point's limits or its type, or equal to a “no value” pattern.
    """
    _check(device, point, value, exponent)
    counts = value / _factor(point, exponent)
    if point.type.is_float:
        if point.type is PointType.FLOAT32 and abs(counts) > _FLOAT32_MAX:
            raise Unencodable(device, f"{point.key} = {value:g} does not fit float32")
        return _ordered(point, _float_bytes(point, counts, towards_zero=True))
    near = round(counts)
    whole = near if abs(counts - near) <= _WHOLE * max(1.0, abs(counts)) else math.trunc(counts)
    low, high = point.type.bounds
    if not low <= whole <= high:
        raise Unencodable(device, f"{point.key} = {value:g} does not fit {point.type} (counts {whole})")
    if whole in point.sentinels:
        raise Unencodable(device, f"{point.key} = {value:g} would be written as {whole}, which means 'no value'")
    return _ordered(point, _int_bytes(point, whole))


def encode_reading(point: PointSpec, value: float, exponent: int | None = None) -> bytes:
    """Register bytes of a measurement, as a device would hold it; NaN, and what does not fit, as “no value”.

    Raises:
        ValueError: no value, and the point has no pattern for that.
    """
    factor = _factor(point, exponent)
    if point.type.is_float:
        return _ordered(point, _float_bytes(point, value / factor, towards_zero=False))
    counts = value / factor
    low, high = point.type.bounds
    if math.isfinite(counts) and low <= (whole := round(counts)) <= high and whole not in point.sentinels:
        return _ordered(point, _int_bytes(point, whole))
    if not point.sentinels:
        raise ValueError(f"{point.key} = {value} cannot be held by {point.type}, which has no pattern for 'no value'")
    return _ordered(point, _int_bytes(point, int(point.sentinels[0])))


def encode_raw(point: PointSpec, raw: int) -> bytes:
    """Register bytes of a whole number as it stands in the register, whatever its scale and sign; exact however wide.

    Raises:
        ValueError: the point holds no whole numbers, or none so large.
    """
    if point.type.is_text or point.type.is_float:
        raise ValueError(f"{point.key} is a {point.type}, which holds no whole numbers")
    low, high = point.type.bounds
    if not low <= raw <= high:
        raise ValueError(f"{raw} does not fit {point.type}")
    return _ordered(point, _int_bytes(point, raw))


def encode_text(point: PointSpec, text: str) -> bytes:
    """Register bytes of a text, filled up with NULs.

    Raises:
        ValueError: longer than the point.
    """
    data = text.encode("utf-8")
    if point.type is not PointType.STRING or len(data) > 2 * point.registers:
        raise ValueError(f"{text!r} does not fit {point.key} ({2 * point.registers} bytes)")
    return data.ljust(2 * point.registers, b"\0")


def write_image(register_map: RegisterMap, image: bytearray, origin: int, values: Mapping[str, float]) -> None:
    """Put measurements into a device's image, so that decoding it gives them back.

    Scale factors are read from the image: they must stand there first. Keys that the map does not have are an error.

    Args:
        image: registers from `origin` on, two bytes each; changed in place.
        values: by key, in the units and signs of the model; NaN = no value.
    """
    points = {p.key: p for p in register_map.points}
    split = {d.key: d for d in register_map.differences}
    sizes = {s.key: s for s in register_map.signed}
    for key, value in values.items():
        if key in sizes:
            _put_signed(points, sizes[key], image, origin, value)
        elif key in split:
            plus, minus = points[split[key].plus], points[split[key].minus]
            _put(plus, image, origin, value if math.isnan(value) else max(value, 0.0))
            _put(minus, image, origin, value if math.isnan(value) else max(-value, 0.0))
        else:
            _put(points[key], image, origin, value)


def _put_signed(points: Mapping[str, PointSpec], signed: Signed, image: bytearray, origin: int, value: float) -> None:
    """The size of a value, and its direction where a word of its own tells it."""
    size = points[signed.key]
    _put(size, image, origin, abs(value) * size.sign)
    by = points[signed.by]
    negative = value * signed.sign < 0
    if signed.bit is not None:
        stored = image[2 * (by.address - origin) : 2 * (by.end - origin)]
        word = int.from_bytes(_ordered(by, bytes(stored)), "big") & ~(1 << signed.bit)
        word |= int(negative) << signed.bit
        image[2 * (by.address - origin) : 2 * (by.end - origin)] = _ordered(by, word.to_bytes(len(stored), "big"))
    elif quantity_of(signed.by) is None:
        _put(by, image, origin, -1.0 if negative else 1.0)


def exponent_in(point: PointSpec, data: bytes | bytearray, origin: int) -> int | None:
    """The power of ten that stands in `data` for a point; None where the point has none."""
    if point.scale_address is None:
        return None
    exponent: int = struct.unpack_from(">h", data, 2 * (point.scale_address - origin))[0]
    return exponent


def _put(point: PointSpec, image: bytearray, origin: int, value: float) -> None:
    at = 2 * (point.address - origin)
    image[at : at + 2 * point.registers] = encode_reading(point, value, exponent_in(point, image, origin))


def _check(device: str, point: PointSpec, value: float, exponent: int | None) -> None:
    if not point.writable:
        raise Unencodable(device, f"{point.key} is not writable")
    if not math.isfinite(value):
        raise Unencodable(device, f"{point.key} = {value} is not a number that can be written")
    if point.minimum is not None and value < point.minimum:
        raise Unencodable(device, f"{point.key} = {value:g} is under its minimum {point.minimum:g}")
    if point.maximum is not None and value > point.maximum:
        raise Unencodable(device, f"{point.key} = {value:g} is over its maximum {point.maximum:g}")
    if point.scale_address is not None and (exponent is None or abs(exponent) > MAX_EXPONENT):
        raise Unencodable(device, f"the scale factor of {point.key} is {exponent}: nothing can be written in it")


def _factor(point: PointSpec, exponent: int | None) -> float:
    if point.scale_address is None:
        return point.scale * point.sign
    if exponent is None or abs(exponent) > MAX_EXPONENT:
        return math.nan
    return float(point.scale * point.sign * 10.0**exponent)


def _float_bytes(point: PointSpec, value: float, *, towards_zero: bool) -> bytes:
    if point.type is PointType.FLOAT64:
        return struct.pack(">d", value)
    with np.errstate(over="ignore"):
        short = np.float32(value)
    if towards_zero and abs(float(short)) > abs(value):
        short = np.nextafter(short, np.float32(0))
    return struct.pack(">f", float(short))


def _int_bytes(point: PointSpec, whole: int) -> bytes:
    code = _CODES[2 * point.registers][whole < 0 or point.type.is_signed]
    return struct.pack(">" + code, whole)


def _ordered(point: PointSpec, data: bytes) -> bytes:
    """Big-endian bytes in the order of the device."""
    result = bytearray(len(data))
    for byte, at in zip(data, big_endian_order(0, len(data), point), strict=True):
        result[at] = byte
    return bytes(result)
