"""A virtual meter on the air: what a profile reads of a device, shown by a node that has just those attributes.

Numbers, multipliers and divisors are the device's own affair: the profile names where they stand, and they are chosen here so that
what the node can carry fits into their data types.

Reference: Zigbee Cluster Library Specification, revision 8, chapters 4.9 (electrical measurement) and 10.4 (metering): data types.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mimctl.model.layout import SiteLayout
from mimctl.model.node import Node as Conductor
from mimctl.model.site import Meter
from mimctl.model.zigbee import ZigbeePoint
from mimctl.model.zigbee_profile import ZigbeeProfile
from mimctl.twin.images import MARGIN, exponent_for
from mimctl.twin.meter_values import MeterValues
from mimctl.twin.picture import Picture
from mimctl.wire.zigbee import zcl
from mimctl.wire.zigbee.air import Frame
from mimctl.wire.zigbee.node import BASIC, ELECTRICAL, METERING, Node, Place
from mimctl.wire.zigbee.zcl import Attribute

_PHASES = (0x000, 0x400, 0x500)
_OF_A_PHASE = {0x0505: zcl.UINT16, 0x0508: zcl.UINT16, 0x050B: zcl.INT16, 0x050E: zcl.INT16, 0x050F: zcl.UINT16, 0x0510: zcl.INT8}
#: data types by cluster and attribute; an attribute that does not stand here has 32 bits and a sign
_KINDS: dict[int, dict[int, int]] = {
    ELECTRICAL: {attribute + phase: kind for phase in _PHASES for attribute, kind in _OF_A_PHASE.items()}
    | dict.fromkeys((768, 1024, 1025, *range(1536, 1542)), zcl.UINT16)
    | {0x0304: zcl.INT32, 0x0305: zcl.INT32, 0x0306: zcl.UINT32, 0x0402: zcl.UINT32, 0x0403: zcl.UINT32},
    METERING: {0x0000: zcl.UINT48, 0x0001: zcl.UINT48, 0x0301: zcl.UINT24, 0x0302: zcl.UINT24, 0x0400: zcl.INT24},
}
#: powers of ten: a device tells nothing finer, and a multiplier or divisor of 16 bits holds nothing coarser
_FINEST, _COARSEST = -3, 4
_MOST_WH = 4e9
#: multiplier and divisor of one value: the place of both, and their ids
_Scale = tuple[Place, int | None, int | None]


class ZigbeeMeter:
    """One meter as a node of the network."""

    def __init__(
        self,
        meter: Meter,
        layout: SiteLayout,
        rng: np.random.Generator,
        profile: ZigbeeProfile,
        nwk: int,
        send: Callable[[Frame], None],
    ) -> None:
        self._values = MeterValues(meter, layout, rng)
        self._points = profile.map.points
        #: what its attributes show
        self.shown: Picture | None = None
        conductor = layout.nodes[layout.node_index[meter.node]]
        self._exponents = _exponents(self._points, conductor)
        places: dict[Place, dict[int, Attribute]] = {(1, BASIC, None): _basic(profile)}
        for point in self._points:
            here = places.setdefault(_place(point), {})
            kind = _kind(point.cluster, point.attribute)
            here[point.attribute] = Attribute(kind, zcl.number(kind, None))
            here.update(self._scales(point))
        self.node = Node(meter.address.eui, nwk, send, places)
        self.kind = f"meter over Zigbee, {profile.id}"

    @property
    def on(self) -> bool:
        """It hangs on the mains."""
        return True

    def show(self, picture: Picture) -> None:
        """Measure."""
        values = self._values.measured(picture)
        for point in self._points:
            unit = point.scale * 10.0 ** self._exponents[_scale_of(point)]
            self.node.set(_place(point), point.attribute, point.sign * values.get(point.key, math.nan) / unit)

    def _scales(self, point: ZigbeePoint) -> Mapping[int, Attribute]:
        exponent = self._exponents[_scale_of(point)]
        told = ((point.multiplier, max(exponent, 0)), (point.divisor, max(-exponent, 0)))
        return {n: Attribute(_kind(point.cluster, n), 10**power) for n, power in told if n is not None}


def _exponents(points: Sequence[ZigbeePoint], conductor: Conductor) -> dict[_Scale, int]:
    """The power of ten of each multiplier and divisor: coarse enough for all values that share them."""
    found: dict[_Scale, int] = {}
    for point in points:
        kind = _kind(point.cluster, point.attribute)
        bits = 8 * zcl.size_of(kind) - zcl.is_signed(kind)
        needed = exponent_for(_most(point.key, conductor) / point.scale, (1 << bits) - 2, _FINEST)
        lowest = _FINEST if point.divisor is not None else 0
        highest = _COARSEST if point.multiplier is not None else 0
        scale = _scale_of(point)
        found[scale] = max(found.get(scale, lowest), min(max(needed, lowest), highest))
    return found


def _most(key: str, conductor: Conductor) -> float:
    """What a meter there may have to tell, in the unit of its quantity."""
    quantity = key.partition(".")[0]
    current_a, voltage_v = 3 * MARGIN * conductor.rating_a, 3 * conductor.voltage_ln_v
    if quantity.startswith("energy"):
        return _MOST_WH
    return {"voltage": voltage_v, "current": current_a, "frequency": 100.0}.get(quantity, current_a * conductor.voltage_ln_v)


def _scale_of(point: ZigbeePoint) -> _Scale:
    return _place(point), point.multiplier, point.divisor


def _place(point: ZigbeePoint) -> Place:
    return (point.endpoint, point.cluster, point.manufacturer)


def _kind(cluster: int, attribute: int) -> int:
    return _KINDS.get(cluster, {}).get(attribute, zcl.INT32)


def _basic(profile: ZigbeeProfile) -> dict[int, Attribute]:
    return {4: Attribute(zcl.TEXT, profile.vendor), 5: Attribute(zcl.TEXT, profile.models[0])}
