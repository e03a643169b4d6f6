"""Virtual meters: a view of one node through a SunSpec meter model or a profile's register map."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mimctl.model.address import SUNSPEC
from mimctl.model.errors import DeviceRefusal, UserError
from mimctl.model.layout import SiteLayout
from mimctl.model.node import Node
from mimctl.model.profile import DeviceProfile, PointType, RegisterMap
from mimctl.model.quantity import quantity_of
from mimctl.model.site import Meter
from mimctl.twin.images import ILLEGAL_ADDRESS, MARGIN, Display, Image, exponent_for, image_of_profiles, proof_of
from mimctl.twin.meter_values import MeterValues
from mimctl.twin.parts import Sources, chosen_parts, every_part
from mimctl.twin.picture import Picture, World
from mimctl.wire.sunspec_device import bases_of, rules_of
from mimctl.wire.sunspec_image import ModelContent, build_chain
from mimctl.wire.sunspec_map import model_map, register_map_of
from mimctl.wire.writes import encode_raw, encode_text

#: three-phase wye meters with integers and scale factors, and with floats
_INTEGER_METER, _FLOAT_METER = 203, 213
_INT16_MAX = 32767
#: mandatory points that mimctl does not read
#: points of the common model by what a rule calls them
_COMMON = {"manufacturer": "Mn", "model": "Md", "version": "Vr", "options": "Opt"}
_EXTRA = {"A": "A", "PhV": "PhV", "PPV": "PPV"}


@dataclass(frozen=True, slots=True)
class _View:
    """One meter's part of the registers: each key there shows one of its values, or a share of it."""

    values: MeterValues
    display: Display
    sources: Sources

    def show(self, picture: Picture) -> None:
        measured = self.values.measured(picture)
        self.display.show({key: share * measured.get(plain, math.nan) for key, (plain, share) in self.sources.items()})


class MeterBank:
    """The registers of one unit as a `wire.modbus_server.RegisterBank`: noisy, quantised, wired as the site file says.

    Args:
        meters: of this unit: one, or parts of one device.
        rngs: noise of each.
        profiles: those that the meters name, by id.
    """

    def __init__(
        self,
        meters: Sequence[Meter],
        layout: SiteLayout,
        world: World,
        rngs: Sequence[np.random.Generator],
        profiles: Mapping[str, DeviceProfile],
    ) -> None:
        self._name = meters[0].id
        self._world = world
        exponents = _widest([layout.nodes[layout.node_index[meter.node]] for meter in meters])
        values = [MeterValues(meter, layout, rng) for meter, rng in zip(meters, rngs, strict=True)]
        self._views: list[_View]
        used = {m.address.profile: profiles[m.address.profile] for m in meters if m.address.profile != SUNSPEC}
        by_chain = next((p for p in used.values() if p.chain is not None), None)
        if by_chain is not None or not used:
            self._image, register_map = _sunspec(meters[0], exponents, by_chain)
            turned = rules_of(by_chain).turned
            sources = {k: (k, -1.0 if k.partition(".")[0] in turned else 1.0) for k in _shown(register_map)}
            self._views = [_View(values[0], Display(self._image, register_map, sources), sources)]
        else:
            self._image = image_of_profiles(self._name, used.values(), exponents)
            _introduce(self._image, meters[0], used.values())
            self._views = list(_views(self._image, meters, values, used))
        self._seen: Picture | None = None

    def read(self, address: int, count: int) -> bytes:
        picture = self._world.look()
        if picture is not self._seen:
            for view in self._views:
                view.show(picture)
            self._seen = picture
        return self._image.read(address, count)

    def write(self, address: int, data: bytes) -> None:
        raise DeviceRefusal(self._name, f"register {address} cannot be written", ILLEGAL_ADDRESS)


def meter_kind(meter: Meter, node: Node) -> str:
    """What kind of meter it is, for people."""
    if meter.address.profile == SUNSPEC:
        return f"meter {_sunspec_model(exponents_of(node))}"
    return " ".join(["meter", meter.address.profile, *meter.address.instances])


def _views(
    image: Image, meters: Sequence[Meter], values: Sequence[MeterValues], profiles: Mapping[str, DeviceProfile]
) -> Iterator[_View]:
    """What the parts of a device have in common is shown by the first of them."""
    begun: set[str] = set()
    for meter, own in zip(meters, values, strict=True):
        name, instances = meter.address.profile, meter.address.instances
        register_map = profiles[name].register_map
        keys = _shown(register_map)
        sources = chosen_parts(keys, instances, shared=name not in begun) if instances else every_part(keys)
        begun.add(name)
        yield _View(own, Display(image, register_map, sources), sources)


def _shown(register_map: RegisterMap) -> list[str]:
    """Keys of what is measured; the two halves of a split value are shown by the value that they make."""
    helpers = {key for d in register_map.differences for key in (d.plus, d.minus)}
    measured = [p.key for p in register_map.points if not p.static and not p.type.is_text and p.key not in helpers]
    return [*measured, *(d.key for d in register_map.differences)]


def _introduce(image: Image, meter: Meter, profiles: Iterable[DeviceProfile]) -> None:
    """Who the device says it is, where nothing must be found there."""
    for profile in profiles:
        signs = {rule.condition.point.address for rule in profile.identify if not rule.weak}
        texts = {"manufacturer": profile.vendor, "model": profile.models[0] if profile.models else profile.id, "serial": meter.id}
        for name, point in profile.register_map.identity:
            if point.address in signs:
                continue
            if point.type is PointType.STRING and name in texts:
                image.put(point.address, encode_text(point, texts[name][: 2 * point.registers]))
            elif name == "serial" and not point.type.is_text and not point.type.is_float:
                image.put(point.address, encode_raw(point, meter.address.unit))


def _widest(nodes: Sequence[Node]) -> dict[str, int]:
    """Scale factors that fit every node."""
    rows = [exponents_of(node) for node in nodes]
    return {quantity: max(row[quantity] for row in rows) for quantity in rows[0]}


def exponents_of(node: Node) -> dict[str, int]:
    """Scale factors by quantity, fine enough for the node and wide enough for more than its rating."""
    current_a = MARGIN * node.rating_a
    power_va = 3 * current_a * node.voltage_ln_v
    power = exponent_for(power_va, _INT16_MAX, -1)
    return {
        "current": exponent_for(3 * current_a, _INT16_MAX, -2),
        "voltage": exponent_for(3 * node.voltage_ln_v, _INT16_MAX, -2),
        "frequency": -2,
        "active_power": power,
        "reactive_power": power,
        "apparent_power": power,
        "thd_v": -1,
        "thd_i": -1,
    }


def _sunspec_model(exponents: Mapping[str, int]) -> int:
    # whole watts do not fit 16 bits on a large node: such meters come with floats
    return _INTEGER_METER if exponents["active_power"] <= 0 else _FLOAT_METER


def _sunspec(meter: Meter, exponents: Mapping[str, int], profile: DeviceProfile | None) -> tuple[Image, RegisterMap]:
    """A chain of the common model and a meter's, such as the profile's rules look for where there is one.

    Raises:
        UserError: they look for another one.
    """
    rules, model = rules_of(profile), _sunspec_model(exponents)
    if profile is not None and rules.models and model not in rules.models:
        model = next((m for m in (_FLOAT_METER, _INTEGER_METER) if m in rules.models), 0)
        if not model:
            raise UserError(f"the twin has no virtual device for the profile '{profile.id}' of {meter.id}")
    names = {"A_SF": "current", "V_SF": "voltage", "Hz_SF": "frequency", "W_SF": "active_power"}
    names |= {"VA_SF": "apparent_power", "VAR_SF": "reactive_power"}
    scales: dict[str, float | str] = {name: exponents[quantity] for name, quantity in names.items()}
    content = ModelContent(model, {**scales, "TotWh_SF": 0, "Evt": 0} if model == _INTEGER_METER else {"Evt": 0})
    base = bases_of(profile, meter.address.base)[0]
    common = common_model("virtual meter", meter.id)
    says = {_COMMON[name]: proof_of(patterns[0]) for name, patterns in rules.common if name in _COMMON}
    data, chain = build_chain([replace(common, values={**common.values, **says}), content], base)
    register_map = register_map_of(chain.models, meter.id)
    extra = [replace(p, key=_EXTRA[p.key]) for p in model_map(chain.models[1]).points if p.key in _EXTRA]
    known = tuple(p for p in register_map.points if quantity_of(p.key) is not None)
    return Image(meter.id, base, data), replace(register_map, points=(*known, *extra))


def common_model(model: str, serial: str) -> ModelContent:
    """The SunSpec common model of a virtual device; texts are cut to the 32 bytes that it has for them."""
    texts = {"Mn": "mimctl", "Md": model, "SN": serial.encode()[:32].decode(errors="ignore"), "Vr": "twin"}
    return ModelContent(1, {**texts, "DA": 1}, length=66)
