"""A device's registers as bytes, and the rules for choosing scale factors."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import replace

from mimctl.model.errors import DeviceRefusal
from mimctl.model.profile import PointSpec, RegisterMap
from mimctl.wire.writes import write_image

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


def image_of_map(device: str, register_map: RegisterMap, exponents: Mapping[str, int]) -> Image:
    """The registers that a profile describes, holding nothing but what identifies them and their scale factors.

    Args:
        exponents: for points that have a scale register, by quantity.
    """
    places = [(p.address, p.end) for p in (*register_map.points, *(p for _, p in register_map.identity))]
    places += [(p.scale_address, p.scale_address + 1) for p in register_map.points if p.scale_address is not None]
    places += [(g.address, g.address + len(g.values)) for g in register_map.guards]
    places += [(b.address, b.end) for b in register_map.blocks]
    origin, end = min(a for a, _ in places), max(b for _, b in places)
    image = Image(device, origin, bytearray(2 * (end - origin)))
    for point in register_map.points:
        if point.scale_address is not None:
            image.put(point.scale_address, struct.pack(">h", exponents.get(_quantity(point), 0)))
    for guard in register_map.guards:
        image.put(guard.address, struct.pack(f">{len(guard.values)}H", *guard.values))
    return image


def _quantity(point: PointSpec) -> str:
    return point.key.partition(".")[0]
