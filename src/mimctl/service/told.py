"""A device that nobody can ask, as `device read` shows it: what it told last, when, and what lately happened to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mimctl.model.event import Event
from mimctl.model.quantity import quantity_of
from mimctl.model.sample import Quality, Sample
from mimctl.service.status import event_status


def plain_sample(sample: Sample, events: Iterable[Event], now_s: float) -> dict[str, Any]:
    """A sample in the plain values of a reading of registers, without what only registers have.

    Args:
        events: of this device, oldest first.
        now_s: monotonic, for the ages.
    """
    return {
        "device": sample.device,
        "unit": None,
        "map": None,
        "class": "radio",
        "identity": {},
        "quality": sample.quality.name.lower(),
        "reason": None if sample.reason is None else str(sample.reason),
        "age_s": _age_s(sample.taken_at_s, now_s),
        "warnings": [],
        "models": [],
        "points": [_point(sample, key, now_s) for key in sample.keys],
        "events": [event_status(event) for event in events],
    }


def _point(sample: Sample, key: str, now_s: float) -> dict[str, Any]:
    value, quantity = sample.get(key), quantity_of(key)
    return {
        "point": key,
        "value": value,
        "unit": "" if quantity is None else quantity.unit,
        "quality": (Quality.BAD if value is None else sample.quality).name.lower(),
        "address": None,
        "function": None,
        "registers": [],
        "meaning": None,
        "places": [],
        "age_s": _age_s(sample.instant_s(key), now_s),
    }


def _age_s(at_s: float, now_s: float) -> float:
    return round(max(0.0, now_s - at_s), 3)
