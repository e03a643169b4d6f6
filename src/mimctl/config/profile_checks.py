"""What can be wrong with a profile beyond its form: one function per thing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mimctl.config.profile_schema import PointItem, ProfileFile
from mimctl.config.validate import did_you_mean
from mimctl.model.problem import Problem, error
from mimctl.model.quantity import QUANTITIES, quantity_of

_PLACES = re.compile(r"(L[123]|L1L2|L2L3|L3L1|N|total|port[1-9][0-9]*)\Z")
_ADDRESSES = 65536


def file_problems(file: ProfileFile) -> list[Problem]:
    """Every problem of a file whose form is right; paths without file and line."""
    checks = (_points, _names, _units, _differences, _ranges, _overlaps, _blocks, _vectors)
    return [problem for check in checks for problem in check(file)]


def _stored(file: ProfileFile) -> Iterator[tuple[str, str, PointItem]]:
    """(path, key, point) of everything that stands in registers."""
    for name, item in file.identity.items():
        yield f"identity.{name}", name, item
    for key, item in file.points.items():
        if item.difference is None:
            yield f"points.{key}", key, item


def _registers(item: PointItem) -> int:
    return item.count or (item.type.registers if item.type is not None else 0)


def _points(file: ProfileFile) -> Iterator[Problem]:
    """A point stands somewhere, or is made of others, and not both."""
    for path, _, item in _stored(file):
        if item.address is None or item.type is None:
            missing = "address" if item.address is None else "type"
            yield error("profile.point", path, f"the key '{missing}' is missing: a point needs address and type, or a difference")
            continue
        if item.type.is_text and item.count is None:
            yield error("profile.point", path, "the key 'count' is missing: the registers of the text")
        if item.type.is_text and not path.startswith("identity."):
            yield error("profile.point", f"{path}.type", "a text is no measurement: move the point to 'identity'")
        if not item.type.is_text and item.count is not None:
            yield error("profile.point", f"{path}.count", f"{item.type} has {item.type.registers} registers; drop the count")
        if item.scale == 0:
            yield error("profile.point", f"{path}.scale", "a scale of 0 makes every value 0")
    for key, item in file.points.items():
        given = item.model_fields_set - {"difference", "unit", "sign"}
        if item.difference is not None and given:
            text = f"a difference has no {', '.join(sorted(given))} of its own"
            yield error("profile.point", f"points.{key}.{min(given)}", text)


def _names(file: ProfileFile) -> Iterator[Problem]:
    """A name is a quantity at a place, or a helper of some difference."""
    helpers = {name for item in file.points.values() for name in item.difference or ()}
    for key in file.points:
        quantity, _, at = key.partition(".")
        if key in helpers and quantity not in QUANTITIES:
            continue
        if quantity not in QUANTITIES:
            hint = did_you_mean(quantity, QUANTITIES)
            yield error("profile.quantity", f"points.{key}", f"there is no quantity '{quantity}'{hint}, and no difference uses it")
        elif at and _PLACES.match(at) is None:
            text = f"'{at}' is no place: L1, L2, L3, L1L2, L2L3, L3L1, N, total or port1, port2, …"
            yield error("profile.place", f"points.{key}", text)


def _units(file: ProfileFile) -> Iterator[Problem]:
    for key, item in file.points.items():
        quantity = quantity_of(key)
        if item.unit is not None and quantity is not None and item.unit != quantity.unit:
            text = f"{quantity.name} is in {quantity.unit or 'no unit'}: scale the point to it (kW: scale 1000, unit W)"
            yield error("profile.unit", f"points.{key}.unit", text)


def _differences(file: ProfileFile) -> Iterator[Problem]:
    for key, item in file.points.items():
        for index, name in enumerate(item.difference or ()):
            other = file.points.get(name)
            path = f"points.{key}.difference[{index}]"
            if other is None:
                yield error("profile.difference", path, f"there is no point '{name}'{did_you_mean(name, file.points)}")
            elif other.difference is not None:
                yield error("profile.difference", path, f"'{name}' is a difference itself")


def _ranges(file: ProfileFile) -> Iterator[Problem]:
    low = 1 if file.transport.addressing == "one_based" else 0
    for path, _, item in _stored(file):
        places = [(f"{path}.address", item.address, _registers(item))]
        if item.scale_register is not None:
            places.append((f"{path}.scale_register.address", item.scale_register.address, 1))
        for where, address, count in places:
            if address is not None and not low <= address <= _ADDRESSES + low - count:
                last = _ADDRESSES + low - 1
                yield error("profile.address", where, f"register {address}, {count} in all, is outside {low}…{last}")


def _overlaps(file: ProfileFile) -> Iterator[Problem]:
    """Two values cannot share a register."""
    found = [
        (item.function or file.defaults.function, item.address, item.address + _registers(item), path)
        for path, _, item in _stored(file)
        if item.address is not None
    ]
    found.sort()
    for index, (function, start, end, path) in enumerate(found):
        before = next((f for f in found[:index] if f[0] == function and f[2] > start), None)
        if before is not None:
            text = f"registers {start}…{end - 1} overlap those of {before[3]} ({before[1]}…{before[2] - 1})"
            yield error("profile.overlap", f"{path}.address", text)


def _blocks(file: ProfileFile) -> Iterator[Problem]:
    """Prescribed reads stay inside the device's limit and hold every point whole."""
    for index, block in enumerate(file.blocks):
        if block.count > file.transport.max_registers:
            text = f"{block.count} registers in one read; the device gives {file.transport.max_registers}"
            yield error("profile.block", f"blocks[{index}].count", text)
    if not file.blocks:
        return
    for key, item in file.points.items():
        if item.address is None:
            continue
        function = item.function or file.defaults.function
        scale = item.scale_register.address if item.scale_register is not None else item.address
        inside = any(
            (b.function or file.defaults.function) == function
            and b.address <= min(item.address, scale)
            and max(item.address + _registers(item), scale + 1) <= b.address + b.count
            for b in file.blocks
        )
        if not inside:
            text = "no block holds the point whole (with its scale register)"
            yield error("profile.block", f"points.{key}.address", text)


def _vectors(file: ProfileFile) -> Iterator[Problem]:
    for index, vector in enumerate(file.tests):
        for part, image in enumerate(vector.image):
            digits = "".join(image.hex.split())
            if len(digits) % 4:
                text = f"{len(digits)} digits are no whole registers (four digits each)"
                yield error("profile.vector", f"tests[{index}].image[{part}].hex", text)
        for key in vector.expect:
            if key not in file.points:
                text = f"there is no point '{key}'{did_you_mean(key, file.points)}"
                yield error("profile.vector", f"tests[{index}].expect.{key}", text)
