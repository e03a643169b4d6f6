"""Repeated parts of a virtual device: which of a meter's values each of their points shows, and how much of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from mimctl.model.instances import instance_of, plain_key
from mimctl.model.phases import PHASES

#: what the parts of a device have together
_DIVIDED = frozenset(("current", "active_power", "reactive_power", "apparent_power", "energy_import", "energy_export"))

#: key of the device → key of the meter's own values, and the part of that value
Sources = Mapping[str, tuple[str, float]]


def chosen_parts(keys: Iterable[str], instances: Sequence[str], *, shared: bool) -> Sources:
    """Keys of a meter that is made of some parts of a device.

    Args:
        shared: with what all parts have in common, as a device's one set of voltages.
    """
    place = dict(zip(instances, PHASES, strict=False))
    named = {key: instance_of(key) for key in keys}
    return {
        key: (plain_key(key, place), 1.0) for key, instance in named.items() if instance in place or (shared and instance is None)
    }


def every_part(keys: Iterable[str]) -> Sources:
    """Keys of a device as a whole: its parts carry equal shares.

    Parts that are one circuit each are dealt to L1, L2, L3 in turn.
    """
    keys = tuple(keys)
    parts = {name for key in keys if (name := instance_of(key)) is not None}
    place = {name: PHASES[(_number(name) - 1) % len(PHASES)] for name in parts}
    of_kind = Counter(_kind(name) for name in parts)
    on_phase = Counter((_kind(name), place[name]) for name in parts)
    found: dict[str, tuple[str, float]] = {}
    for key in keys:
        name = instance_of(key)
        if name is None:
            found[key] = (key, 1.0)
            continue
        has_places = key.count(".") > 1
        together = of_kind[_kind(name)] if has_places else on_phase[_kind(name), place[name]]
        found[key] = (plain_key(key, place), 1 / together if key.partition(".")[0] in _DIVIDED else 1.0)
    return found


def _kind(name: str) -> str:
    return name.rstrip("0123456789")


def _number(name: str) -> int:
    return int(name.removeprefix(_kind(name)))
