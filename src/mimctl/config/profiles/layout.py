"""From the numbers in a profile file to wire addresses, and from one repeated part to all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mimctl.config.profiles.schema import InstanceItem, PointItem, ProfileFile, RegisterItem
from mimctl.config.profiles.schema_points import InstancePointItem, ScaleRegisterItem, SignBitItem
from mimctl.model.points import PointType
from mimctl.model.problem import Problem, error

ADDRESSES = 65536
#: leading digit of a Modicon number → function code
_MODICON = {4: 3, 3: 4}


@dataclass(frozen=True, slots=True)
class Named:
    """A point with its key and where it stands in the file. Repeated parts are spelt out."""

    path: str
    key: str
    item: PointItem


def wire_address(file: ProfileFile, address: int) -> tuple[int, int | None]:
    """Wire address of a number in the file, and the function code that the number itself says, if it does.

    A number that its addressing does not know gives a negative address.
    """
    addressing = file.transport.addressing
    if addressing == "one_based":
        return address - 1, None
    if addressing == "zero_based":
        return address, None
    power = 100_000 if address >= 100_000 else 10_000
    function = _MODICON.get(address // power)
    return (-1, None) if function is None else (address % power - 1, function)


def wire_function(file: ProfileFile, item: RegisterItem) -> int:
    """Function code that reads a register."""
    told = None if item.address is None else wire_address(file, item.address)[1]
    return item.function or told or file.defaults.function


def address_problems(file: ProfileFile, path: str, address: int, count: int, function: int | None) -> Iterator[Problem]:
    """A number that is no register of the device's, or that says another function than the file does."""
    wire, told = wire_address(file, address)
    if file.transport.addressing == "modicon" and wire < 0:
        yield error(
            "profile.address", path, f"{address} is no Modicon number: 40001… are holding registers, 30001… input registers"
        )
    elif not 0 <= wire <= ADDRESSES - count:
        low = address - wire
        yield error("profile.address", path, f"register {address}, {count} in all, is outside {low}…{ADDRESSES + low - 1}")
    if told is not None and function is not None and told != function:
        yield error("profile.address", path, f"the number {address} says function {told}, the file says {function}")


def raw_value(kind: PointType, value: float) -> float:
    """A pattern as the number that the type reads: 0x8000 of a signed 16-bit register is −32768."""
    if not kind.is_signed or not isinstance(value, int):
        return value
    return value - (1 << 16 * kind.registers) if value > kind.bounds[1] else value


def complete(item: RegisterItem, path: str) -> Iterator[Problem]:
    """A register without an address or a type."""
    for key in ("address", "type"):
        if getattr(item, key) is None:
            yield error("profile.point", path, f"the key '{key}' is missing")


def registers_of(item: RegisterItem) -> int:
    return item.count or (item.type.registers if item.type is not None else 0)


def all_points(file: ProfileFile) -> list[Named]:
    """Every point of the file, those of repeated parts once for each part."""
    found = [Named(f"points.{key}", key, item) for key, item in file.points.items()]
    for name, instance in file.instances.items():
        found += _spelt_out(name, instance)
    return found


def instance_key(key: str, instance: str) -> str:
    """`active_power.L1` of `group2` → `active_power.group2.L1`."""
    quantity, _, place = key.partition(".")
    return f"{quantity}.{instance}.{place}" if place else f"{quantity}.{instance}"


def _spelt_out(name: str, instance: InstanceItem) -> Iterator[Named]:
    for number in range(instance.count):
        own = f"{name}{number + 1}"
        for key, item in instance.points.items():
            yield Named(f"instances.{name}.points.{key}", instance_key(key, own), _moved(instance, item, number, own))


def _moved(instance: InstanceItem, item: InstancePointItem, number: int, own: str) -> PointItem:
    """The point of the part with this number (from 0)."""
    changes: dict[str, object] = {}
    if item.address is not None:
        changes["address"] = item.address + _offset(instance, item.stride, number)
    if item.scale_register is not None:
        stride = item.scale_register.stride
        moved = item.scale_register.address + _offset(instance, item.stride if stride is None else stride, number)
        changes["scale_register"] = ScaleRegisterItem(address=moved)
    here = instance.points
    if item.difference is not None:
        changes["difference"] = [instance_key(n, own) if n in here else n for n in item.difference]
    if item.signed_by is not None and item.signed_by in here:
        changes["signed_by"] = instance_key(item.signed_by, own)
    if item.sign_bit is not None and item.sign_bit.point in here:
        bit = item.sign_bit
        changes["sign_bit"] = SignBitItem(point=instance_key(bit.point, own), bit=bit.bit, negative=bit.negative)
    return item.model_copy(update=changes)


def _offset(instance: InstanceItem, stride: int | None, number: int) -> int:
    step = stride if stride is not None else instance.stride or 0
    bases = instance.bases
    if not bases:
        return step * number
    last = len(bases) - 1
    return bases[number] if number <= last else bases[last] + step * (number - last)
