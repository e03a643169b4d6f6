"""Repeated parts of one device (circuits, groups, outlets) and how a meter of the site is made of some of them.

A key with an instance reads `quantity.<instance>` or `quantity.<instance>.<place>`: `current.circuit7`, `active_power.group2.L1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from mimctl.model.points import PointSpec
from mimctl.model.profile import Difference, RegisterMap, Signed

_INSTANCE = re.compile(r"(?!port|L[123])[a-z][a-z_]*[1-9][0-9]*\Z")
_PHASES = ("L1", "L2", "L3")


def instance_of(key: str) -> str | None:
    """The instance in a key, None where it names none."""
    parts = key.split(".")
    return parts[1] if len(parts) > 1 and _INSTANCE.match(parts[1]) else None


def instance_names(register_map: RegisterMap) -> tuple[str, ...]:
    """Every instance of a map, in the order of its points."""
    keys = (*(p.key for p in register_map.points), *(d.key for d in register_map.differences))
    return tuple(dict.fromkeys(name for key in keys if (name := instance_of(key)) is not None))


def select_instances(register_map: RegisterMap, names: Sequence[str]) -> RegisterMap:
    """The map of one meter made of some parts of a device: what they share, and their own points under plain keys.

    A part with phases of its own keeps its places. Of parts that are one circuit each, the first becomes L1, the second L2 and the
    third L3: `("circuit7", "circuit9")` gives `current.L1` and `current.L2`.

    Raises:
        KeyError: the map has no part of that name.
        ValueError: more parts than a meter has phases.
    """
    if len(names) > len(_PHASES):
        raise ValueError(f"{len(names)} parts for the {len(_PHASES)} phases of a meter")
    known = instance_names(register_map)
    for name in names:
        if name not in known:
            raise KeyError(name)
    place = dict(zip(names, _PHASES, strict=False))
    points = tuple(_renamed(p, place) for p in register_map.points if _stays(p.key, names))
    first: dict[str, PointSpec] = {}
    for point in points:
        first.setdefault(point.key, point)
    differences = [d for d in register_map.differences if _stays(d.key, names)]
    signed = [s for s in register_map.signed if _stays(s.key, names)]
    return replace(
        register_map,
        points=tuple(first.values()),
        differences=tuple(
            Difference(plain_key(d.key, place), plain_key(d.plus, place), plain_key(d.minus, place)) for d in differences
        ),
        signed=tuple(Signed(plain_key(s.key, place), plain_key(s.by, place), s.bit, s.sign) for s in signed),
        blocks=(),
    )


def keep_instances(register_map: RegisterMap, counts: Mapping[str, int]) -> RegisterMap:
    """The map without the parts that the device does not have.

    Args:
        counts: by the instance's name without its number; kinds that are not named stay whole.
    """

    def stays(key: str) -> bool:
        name = instance_of(key)
        if name is None:
            return True
        kind = name.rstrip("0123456789")
        return kind not in counts or int(name.removeprefix(kind)) <= counts[kind]

    return replace(
        register_map,
        points=tuple(p for p in register_map.points if stays(p.key)),
        differences=tuple(d for d in register_map.differences if stays(d.key)),
        signed=tuple(s for s in register_map.signed if stays(s.key)),
    )


def _stays(key: str, names: Iterable[str]) -> bool:
    instance = instance_of(key)
    return instance is None or instance in names


def _renamed(point: PointSpec, place: Mapping[str, str]) -> PointSpec:
    key = plain_key(point.key, place)
    return point if key == point.key else replace(point, key=key)


def plain_key(key: str, place: Mapping[str, str]) -> str:
    """The key that a part's own point has in the map of a meter made of it.

    Args:
        place: phase of each part that is one circuit.
    """
    instance = instance_of(key)
    if instance is None:
        return key
    quantity, _, own = key.replace(f".{instance}", "", 1).partition(".")
    if own or quantity in _SHARED:
        return f"{quantity}.{own}" if own else quantity
    return f"{quantity}.{place[instance]}"


#: quantities that a part has once, whatever its phases
_SHARED = ("frequency", "temperature", "status", "alarms")
