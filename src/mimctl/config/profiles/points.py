"""From a profile file without errors to its register map: addresses on the wire, mimctl's units and signs."""

from __future__ import annotations

from collections.abc import Mapping

from mimctl.config.profiles.commands import mim_map, readable_commands
from mimctl.config.profiles.layout import Named, all_points, raw_value, wire_address, wire_function
from mimctl.config.profiles.schema import BlockItem, ConditionItem, PointItem, ProfileFile, RegisterItem
from mimctl.config.profiles.signs import convention_sign
from mimctl.model.points import PointSpec, PointType, ReadBlock
from mimctl.model.profile import Condition, Difference, RegisterMap, Signed
from mimctl.model.quantity import quantity_of


def register_map(file: ProfileFile) -> RegisterMap:
    """What mimctl reads from the device, and how it commands it."""
    named = all_points(file)
    mim = mim_map(file)
    blocks = [_block(file, b) for b in file.blocks]
    if blocks and mim is not None:
        blocks += mim.state
    stored = [n for n in named if n.item.difference is None]
    return RegisterMap(
        device_class=file.device_class,
        points=(*(_point(file, n) for n in stored), *(() if mim is None else readable_commands(mim))),
        differences=tuple(
            Difference(n.key, *_signed_pair(file, n, n.item.difference)) for n in named if n.item.difference is not None
        ),
        identity=tuple((name, plain_point(file, f"identity.{name}", item)) for name, item in file.identity.items()),
        blocks=tuple(blocks),
        max_gap=file.max_gap,
        max_registers=file.transport.max_registers,
        mim=mim,
        signed=tuple(s for n in stored if (s := _signed(file, n)) is not None),
    )


def plain_point(file: ProfileFile, key: str, item: RegisterItem) -> PointSpec:
    """A register without a scale, as it is read to know what a device is."""
    assert item.address is not None and item.type is not None  # noqa: PT018 - the checks have refused the rest
    return PointSpec(
        key=key,
        address=wire_address(file, item.address)[0],
        type=item.type,
        function=wire_function(file, item),
        count=item.count or 0,
        word_order=item.word_order or file.defaults.word_order,
        byte_order=item.byte_order or file.defaults.byte_order,
    )


def condition(file: ProfileFile, item: ConditionItem) -> Condition:
    identity: Mapping[str, RegisterItem] = {str(name): register for name, register in file.identity.items()}
    named = item if item.identity is None else identity[item.identity]
    return Condition(
        plain_point(file, f"identity.{item.identity or 'register'}", named),
        tuple(item.equals),
        tuple(item.matches),
        None if item.at_least is None else str(item.at_least),
        None if item.below is None else str(item.below),
    )


def _sign(file: ProfileFile, key: str, item: PointItem) -> int:
    return item.sign * convention_sign(file.conventions, key, file.device_class)


def _signed_pair(file: ProfileFile, named: Named, pair: list[str]) -> tuple[str, str]:
    """The two halves in the order that gives mimctl's sign."""
    plus, minus = pair
    return (plus, minus) if _sign(file, named.key, named.item) > 0 else (minus, plus)


def _signed(file: ProfileFile, named: Named) -> Signed | None:
    item = named.item
    if item.sign_bit is not None:
        sign = _sign(file, named.key, item) * (1 if item.sign_bit.negative else -1)
        return Signed(named.key, item.sign_bit.point, item.sign_bit.bit, sign)
    if item.signed_by is None:
        return None
    # a quantity has been turned into mimctl's direction already; a helper still has the device's
    return Signed(named.key, item.signed_by, None, 1 if quantity_of(item.signed_by) else _sign(file, named.key, item))


def _point(file: ProfileFile, named: Named) -> PointSpec:
    item, quantity = named.item, quantity_of(named.key)
    assert item.address is not None and item.type is not None  # noqa: PT018 - the checks have refused the rest
    scale = item.scale_register
    return PointSpec(
        key=named.key,
        address=wire_address(file, item.address)[0],
        type=item.type,
        function=wire_function(file, item),
        count=item.count or 0,
        scale=item.scale,
        scale_address=None if scale is None else wire_address(file, scale.address)[0],
        word_order=item.word_order or file.defaults.word_order,
        byte_order=item.byte_order or file.defaults.byte_order,
        sentinels=_sentinels(file, item, item.type),
        sign=_sign(file, named.key, item),
        unit=quantity.unit if quantity is not None else "",
        static=item.static,
        slow=None if item.poll is None else item.poll == "slow",
        names=tuple(item.names.items()),
    )


def _sentinels(file: ProfileFile, item: PointItem, kind: PointType) -> tuple[float, ...]:
    values: list[int | float] = list(item.nan) if item.nan is not None else []
    if item.nan is None:
        values += dict(file.defaults.nan).get(kind.value, [])  # type: ignore[call-overload]
    return tuple(raw_value(kind, n) for n in values)


def _block(file: ProfileFile, item: BlockItem) -> ReadBlock:
    address, told = wire_address(file, item.address)
    return ReadBlock(address, item.count, item.function or told or file.defaults.function)
