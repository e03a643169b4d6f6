"""What a profile's rules make of the models of a chain: fewer of them, better ones first, signs put right, points added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from mimctl.model.chain import ChainPoint, ChainRules
from mimctl.model.profile import DeviceClass, Difference, PointSpec, RegisterMap
from mimctl.model.quantity import quantity_of
from mimctl.wire.sunspec import COMMON, Chain, ModelBlock
from mimctl.wire.sunspec_keys import INVERTER_MODELS, METER_MODELS
from mimctl.wire.sunspec_map import class_of
from mimctl.wire.sunspec_models import definition_of, leaves, point_spec

_MEASURING = METER_MODELS | INVERTER_MODELS


def models_of(chain: Chain, wanted: DeviceClass, rules: ChainRules) -> tuple[ModelBlock, ...] | None:
    """The models of the first device of a chain that is wanted and has a model to measure with.

    An inverter serves where a MIM is wanted: it may have controls. A MIM tells everything itself, and no profile is about one.
    """
    kinds: tuple[DeviceClass, ...] = (wanted,)
    if wanted is DeviceClass.MIM:
        kinds = (DeviceClass.INVERTER,) if rules.models else (wanted, DeviceClass.INVERTER)
    for kind in kinds:
        for models in chain.devices:
            if class_of(models) is kind and (not rules.models or any(m.id in rules.models for m in models)):
                return models
    return None


def narrowed(models: Iterable[ModelBlock], rules: ChainRules) -> tuple[ModelBlock, ...]:
    """The models that are read, measuring ones in the order of preference in the place of the first of them."""
    read = [m for m in models if m.id not in rules.ignored]
    if not rules.models:
        return tuple(read)
    best = sorted((m for m in read if m.id in rules.models), key=lambda m: rules.models.index(m.id))
    others = [m for m in read if m.id not in _MEASURING]
    common = [m for m in others if m.id == COMMON]
    return (*common, *best, *(m for m in others if m.id != COMMON))


def corrected(found: RegisterMap, models: Sequence[ModelBlock], rules: ChainRules, own: RegisterMap | None = None) -> RegisterMap:
    """The map of a chain as its profile has it.

    Args:
        own: registers that the device has beside its chain; of two points with one key, this map's is taken.
    """
    beside = [] if own is None else list(own.points)
    extra = {p.key: p for p in (*_added(models, rules.points), *beside)}
    made = [Difference(d.key, d.plus, d.minus) for d in rules.differences if {d.plus, d.minus} <= extra.keys()]
    made += [] if own is None else own.differences
    taken = extra.keys() | {d.key for d in made}
    points = [_put_right(p, rules) for p in found.points if p.key not in taken and not _left_out(p.key, rules)]
    needed = {key for d in made for key in (d.plus, d.minus)} | {s.by for s in ([] if own is None else own.signed)}
    points += [p for p in extra.values() if quantity_of(p.key) is not None or p.key in needed]
    return replace(
        found,
        device_class=found.device_class if own is None else own.device_class,
        points=tuple(points),
        differences=tuple(made),
        signed=() if own is None else own.signed,
        max_registers=found.max_registers if own is None else own.max_registers,
    )


def _left_out(key: str, rules: ChainRules) -> bool:
    return key in rules.left_out or key.partition(".")[0] in rules.left_out


def _put_right(point: PointSpec, rules: ChainRules) -> PointSpec:
    quantity = point.key.partition(".")[0]
    sign = -point.sign if quantity in rules.turned else point.sign
    zeros = (0.0,) if quantity in rules.silent_zeros and 0 not in point.sentinels else ()
    return replace(point, sign=sign, sentinels=(*point.sentinels, *zeros))


def _added(models: Sequence[ModelBlock], wanted: Iterable[ChainPoint]) -> Iterator[PointSpec]:
    """The points that the profile names and the device has."""
    there = {m.id: m for m in reversed(models)}
    for rule in wanted:
        block = there.get(rule.model)
        if block is None or any(model not in there for model in rule.requires):
            continue
        spec = point_at(block, rule.path, rule.key)
        if spec is not None and not spec.type.is_text:
            quantity = quantity_of(rule.key)
            yield replace(
                spec,
                unit=spec.unit if quantity is None else quantity.unit,
                sign=rule.sign,
                sentinels=(*spec.sentinels, *rule.sentinels),
                writable=False,
            )


def point_at(block: ModelBlock, path: str, key: str) -> PointSpec | None:
    """A point of one model by its SunSpec name; None where the model is too short for it, or knows no such name."""
    definition = definition_of(block.id)
    found = [] if definition is None else leaves(definition, block.length, dict(block.counts))
    leaf = next((leaf for leaf in found if leaf.path == path), None)
    return None if leaf is None else point_spec(leaf, key, block.address)
