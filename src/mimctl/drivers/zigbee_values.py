"""From what a Zigbee device tells to values: which attributes are wanted for a point, and what their numbers stand for.

Needs no zigpy: golden vectors of profiles are run by it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mimctl.model.problem import Problem, error
from mimctl.model.zigbee import ZigbeePoint
from mimctl.model.zigbee_profile import ToldAttribute, ZigbeeProfile
from mimctl.wire.golden_values import compared
from mimctl.wire.zigbee import zcl
from mimctl.wire.zigbee.watched import Spot, Wanted, Watched


def wanted(points: Sequence[ZigbeePoint]) -> Iterator[Wanted]:
    """What the bridge is asked to have reported: the points, in their order, and then the scales that they need."""
    scales: dict[Spot, Wanted] = {}
    for point in points:
        multiplier, divisor = (_scale_spot(point, number) for number in (point.multiplier, point.divisor))
        for spot in (multiplier, divisor):
            if spot is not None:
                scales[spot] = Wanted(spot, fixed=True)
        scale = abs(point.scale)
        yield Wanted(spot_of(point), point.least_s, point.most_s, point.change, scale, multiplier, divisor)
    yield from scales.values()


def spot_of(point: ZigbeePoint) -> Spot:
    return (point.endpoint, point.cluster, point.manufacturer, point.attribute)


def value_of(point: ZigbeePoint, asked: Wanted, watched: Watched) -> float:
    """What a device told last, in the unit of the quantity and in mimctl's sign; NaN where it has no value.

    Args:
        asked: what `wanted` made of the point.
    """
    held = watched.values.get(spot_of(point))
    if held is None or held.raw is None or held.raw in point.absent:
        return math.nan
    return held.raw * watched.unit(asked) * point.sign


def zigbee_vector_problems(profile: ZigbeeProfile) -> list[Problem]:
    """One problem for each golden value that the profile does not give."""
    points = profile.map.points
    asked = tuple(wanted(points))
    problems: list[Problem] = []
    for n, vector in enumerate(profile.vectors):
        problems += (
            error("profile.vector", f"tests[{n}].told[{k}].raw", f"{vector.name}: {told.raw} does not fit into its type")
            for k, told in enumerate(vector.told)
            if not _fits(told)
        )
        watched = Watched(profile.id, asked)
        known = [(told.endpoint, told.cluster, told.manufacturer, told.attribute) for told in vector.told]
        watched.absent |= {w.spot for w in asked} - set(known)
        for spot, told in zip(known, vector.told, strict=True):
            watched.take(spot, told.kind, told.raw, 0.0)
        found = {point.key: value_of(point, each, watched) for point, each in zip(points, asked, strict=False)}
        problems += compared(vector, found, f"tests[{n}]")
    return problems


def _fits(told: ToldAttribute) -> bool:
    bits = 8 * zcl.size_of(told.kind)
    low, high = (-(1 << bits - 1), 1 << bits - 1) if zcl.is_signed(told.kind) else (0, 1 << bits)
    return low <= told.raw < high


def _scale_spot(point: ZigbeePoint, attribute: int | None) -> Spot | None:
    return None if attribute is None else (point.endpoint, point.cluster, point.manufacturer, attribute)
