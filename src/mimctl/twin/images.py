"""A device's registers as bytes, and the rules for choosing scale factors."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mimctl.model.errors import DeviceRefusal
from mimctl.model.instances import instance_names
from mimctl.model.profile import Condition, DeviceProfile, PointSpec, PointType, RegisterMap
from mimctl.wire.writes import encode_raw, encode_reading, encode_text, write_image

ILLEGAL_ADDRESS, ILLEGAL_VALUE, NO_ANSWER = 2, 3, 11
#: how much more than its rating an instrument can show
MARGIN = 1.25


def exponent_for(largest: float, most_counts: int, finest: int) -> int:
    """The smallest power of ten, `finest` or more, in which `largest` needs no more than `most_counts`."""
    return max(finest, math.ceil(math.log10(max(largest, 1e-9) / most_counts)))


class Image:
    """Registers of one unit from `origin` on. What lies outside is refused as an illegal address."""

    def __init__(self, device: str, origin: int, data: bytearray) -> None:
        self.device = device
        self.origin = origin
        self.data = data

    def read(self, address: int, count: int) -> bytes:
        start = 2 * (address - self.origin)
        if start < 0 or start + 2 * count > len(self.data):
            raise DeviceRefusal(self.device, f"registers {address} to {address + count - 1} do not exist", ILLEGAL_ADDRESS)
        return bytes(self.data[start : start + 2 * count])

    def put(self, address: int, data: bytes) -> None:
        start = 2 * (address - self.origin)
        self.data[start : start + len(data)] = data


class Display:
    """Some points of an image that are measured again and again."""

    def __init__(self, image: Image, register_map: RegisterMap, keys: Iterable[str]) -> None:
        wanted = set(keys)
        split = {d.key: (d.plus, d.minus) for d in register_map.differences if d.key in wanted}
        stored = wanted | {part for parts in split.values() for part in parts}
        self._image = image
        self._map = replace(register_map, points=tuple(p for p in register_map.points if p.key in stored))
        saying_nothing = {p.key for p in self._map.points if p.sentinels or p.type.is_float}
        #: the points that have a pattern for “no value”
        self._can_be_unknown = saying_nothing | {key for key, parts in split.items() if saying_nothing.issuperset(parts)}

    def show(self, values: Mapping[str, float]) -> None:
        """Write measurements, in the units and signs of the map; one that is NaN and cannot be said so stays as it stands."""
        sayable = {k: v for k, v in values.items() if not math.isnan(v) or k in self._can_be_unknown}
        write_image(self._map, self._image.data, self._image.origin, sayable)


def image_of_profiles(device: str, profiles: Iterable[DeviceProfile], exponents: Mapping[str, int]) -> Image:
    """The registers of one unit, holding nothing but what identifies them and their scale factors.

    Args:
        profiles: one, or those that describe parts of the unit.
        exponents: for points that have a scale register, by quantity.
    """
    profiles = list(profiles)
    places = [place for profile in profiles for place in _places(profile)]
    origin, end = min(a for a, _ in places), max(b for _, b in places)
    image = Image(device, origin, bytearray(2 * (end - origin)))
    for profile in profiles:
        _put_fixed(image, profile, exponents)
    return image


def _places(profile: DeviceProfile) -> Iterator[tuple[int, int]]:
    """First register of everything that a client may look at, and the one behind it."""
    register_map = profile.register_map
    signs = (rule.condition.point for rule in profile.identify if not rule.weak)
    for point in (*register_map.points, *(p for _, p in register_map.identity), *signs, *(c.point for c in profile.counts)):
        yield point.address, point.end
        if point.scale_address is not None:
            yield point.scale_address, point.scale_address + 1
    yield from ((g.address, g.address + len(g.values)) for g in register_map.guards)
    yield from ((b.address, b.end) for b in register_map.blocks)


def _put_fixed(image: Image, profile: DeviceProfile, exponents: Mapping[str, int]) -> None:
    register_map = profile.register_map
    for point in register_map.points:
        if point.scale_address is not None:
            image.put(point.scale_address, struct.pack(">h", _exponent(point, exponents)))
    for guard in register_map.guards:
        image.put(guard.address, struct.pack(f">{len(guard.values)}H", *guard.values))
    for rule in profile.identify:
        proof = None if rule.weak else _proof(rule.condition)
        if proof is not None:
            image.put(rule.condition.point.address, _raw(rule.condition.point, proof))
    names = instance_names(register_map)
    for count in profile.counts:
        there = sum(name.rstrip("0123456789") == count.instance for name in names)
        image.put(count.point.address, _raw(count.point, there))


def proof_of(pattern: str) -> str:
    """A text that is like a pattern with * and ?."""
    return pattern.replace("*", "").replace("?", "0")


def _proof(condition: Condition) -> int | str | None:
    """Something that the condition takes; None where it only says what must not be."""
    if condition.equals:
        return condition.equals[0]
    if condition.matches:
        return proof_of(condition.matches[0])
    return condition.at_least


def _raw(point: PointSpec, value: int | str) -> bytes:
    """A register as it stands there, its scale and sign left out."""
    if point.type is PointType.STRING:
        return encode_text(point, str(value))
    if point.type.is_float:
        return encode_reading(replace(point, scale=1.0, scale_address=None, sign=1), float(value))
    return encode_raw(point, int(value))


def _exponent(point: PointSpec, exponents: Mapping[str, int]) -> int:
    """Of a point that may be in kW: the same resolution as another has in W."""
    return exponents.get(point.key.partition(".")[0], 0) - round(math.log10(point.scale))
