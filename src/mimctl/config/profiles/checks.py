"""What can be wrong with a profile beyond its form: one function per thing. Setpoints: `checks_setpoints`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mimctl.config.profiles.checks_commands import command_vector_problems
from mimctl.config.profiles.checks_identity import condition_problems, with_variant
from mimctl.config.profiles.checks_setpoints import SETPOINT_CHECKS
from mimctl.config.profiles.checks_sunspec import sunspec_problems
from mimctl.config.profiles.keys import key_problems
from mimctl.config.profiles.layout import Named, address_problems, all_points, complete, registers_of, wire_address, wire_function
from mimctl.config.profiles.schema import PointItem, ProfileFile
from mimctl.config.validate import did_you_mean
from mimctl.model.points import PointType
from mimctl.model.problem import Problem, Severity, error, warning
from mimctl.model.quantity import quantity_of


def file_problems(file: ProfileFile) -> list[Problem]:
    """Every problem of a file whose form is right; paths without file and line, each path at most once per code."""
    checks = (_points, _defaults, _names, _units, _references, _instances, _ranges, _overlaps, _blocks, _vectors)
    found: dict[tuple[str, str], Problem] = {}
    for check in (*checks, condition_problems, _variants, *SETPOINT_CHECKS, sunspec_problems, command_vector_problems):
        for problem in check(file):
            found.setdefault((problem.code, problem.path), problem)
    if not file.tests and all(problem.severity is not Severity.ERROR for problem in found.values()):
        text = "nothing proves these values: work some out by hand from the maker's tables and give them as 'tests'"
        return [*found.values(), warning("profile.vector", "tests", text)]
    return list(found.values())


def is_derived(item: PointItem) -> bool:
    return item.difference is not None


def _stored(file: ProfileFile) -> Iterator[Named]:
    """Everything that stands in registers, what identifies the device first."""
    for name, item in file.identity.items():
        yield Named(f"identity.{name}", name, PointItem(**item.model_dump(exclude_unset=True)))
    yield from (named for named in all_points(file) if not is_derived(named.item))


def _points(file: ProfileFile) -> Iterator[Problem]:
    """A point stands somewhere, or is made of others, and not both."""
    if not file.points and not file.instances and file.sunspec is None:
        yield error("profile.point", "points", "a profile has points, or instances with points")
    for path, item in ((n.path, n.item) for n in _stored(file)):
        if item.address is None or item.type is None:
            missing = "address" if item.address is None else "type"
            yield error("profile.point", path, f"the key '{missing}' is missing: a point needs address and type, or a difference")
            continue
        yield from _type_problems(path, item)
        yield from _sentinel_problems(f"{path}.nan", item.type, item.nan or ())
        if item.scale == 0:
            yield error("profile.point", f"{path}.scale", "a scale of 0 makes every value 0")
        if item.signed_by is not None and item.sign_bit is not None:
            yield error("profile.point", f"{path}.sign_bit", "the sign comes from another point or from a bit, not from both")
    for named in all_points(file):
        given = named.item.model_fields_set - {"difference", "unit", "sign"}
        if is_derived(named.item) and given:
            text = f"a difference has no {', '.join(sorted(given))} of its own"
            yield error("profile.point", f"{named.path}.{min(given)}", text)


def _type_problems(path: str, item: PointItem) -> Iterator[Problem]:
    if item.type is None:
        return
    if item.type.is_text and item.count is None:
        yield error("profile.point", path, "the key 'count' is missing: the registers of the text")
    if item.type.is_text and not path.startswith("identity."):
        yield error("profile.point", f"{path}.type", "a text is no measurement: move the point to 'identity'")
    if not item.type.is_text and item.count is not None:
        yield error("profile.point", f"{path}.count", f"{item.type} has {item.type.registers} registers; drop the count")


def _sentinel_problems(path: str, kind: PointType, values: Iterable[float]) -> Iterator[Problem]:
    """A pattern that the type cannot hold would never be seen."""
    if kind.is_text or kind.is_float:
        return
    most = (1 << 16 * kind.registers) - 1
    for index, value in enumerate(values):
        if not (float(value).is_integer() and kind.bounds[0] <= value <= most):
            text = f"{value} is no raw value of {kind}: {kind.bounds[0]} to {most}"
            yield error("profile.point", f"{path}[{index}]", text)


def _defaults(file: ProfileFile) -> Iterator[Problem]:
    for name, values in file.defaults.nan.items():
        yield from _sentinel_problems(f"defaults.nan.{name}", PointType(name), values)


def _names(file: ProfileFile) -> Iterator[Problem]:
    """A name is a quantity at a place, or a helper that another point uses."""
    points: list[tuple[str, Mapping[str, PointItem]]] = [("points", file.points)]
    points += [(f"instances.{name}.points", i.points) for name, i in file.instances.items()]
    used = {name for _, group in points for item in group.values() for name in _used(item)}
    for path, group in points:
        for key in group:
            if key in used and quantity_of(key) is None:
                continue
            yield from key_problems(f"{path}.{key}", key, hint=", and no point uses it")


def _used(item: PointItem) -> Iterator[str]:
    """Names of the other points that a point needs."""
    yield from item.difference or ()
    if item.signed_by is not None:
        yield item.signed_by
    if item.sign_bit is not None:
        yield item.sign_bit.point


def _units(file: ProfileFile) -> Iterator[Problem]:
    for named in all_points(file):
        quantity = quantity_of(named.key)
        if named.item.unit is not None and quantity is not None and named.item.unit != quantity.unit:
            text = f"{quantity.name} is in {quantity.unit or 'no unit'}: scale the point to it (kW: scale 1000, unit W)"
            yield error("profile.unit", f"{named.path}.unit", text)


def _references(file: ProfileFile) -> Iterator[Problem]:
    """What a point names is there, stands in registers itself, and tells what it is asked for."""
    points = {named.key: named.item for named in all_points(file)}
    for named in all_points(file):
        places = [(name, f"{named.path}.difference[{i}]") for i, name in enumerate(named.item.difference or ())]
        if named.item.signed_by is not None:
            places.append((named.item.signed_by, f"{named.path}.signed_by"))
        bit = named.item.sign_bit
        if bit is not None:
            places.append((bit.point, f"{named.path}.sign_bit.point"))
        for name, path in places:
            other = points.get(name)
            if other is None:
                yield error("profile.reference", path, f"there is no point '{name}'{did_you_mean(name, points)}")
            elif is_derived(other) or other.static:
                what = "is a difference itself" if is_derived(other) else "is read once, and cannot follow the other"
                yield error("profile.reference", path, f"'{name}' {what}")
        other = None if bit is None else points.get(bit.point)
        if bit is not None and other is not None and bit.bit >= 16 * registers_of(other):
            yield error("profile.reference", f"{named.path}.sign_bit.bit", f"'{bit.point}' has {16 * registers_of(other)} bits")


def _instances(file: ProfileFile) -> Iterator[Problem]:
    """Every part has a place of its own."""
    for name, instance in file.instances.items():
        path = f"instances.{name}"
        if name == "port":
            yield error("profile.instance", path, "a port is a place, not a part: write active_power.port1")
        if len(instance.bases) > instance.count:
            yield error("profile.instance", f"{path}.bases", f"{len(instance.bases)} bases for {instance.count} parts")
        if instance.count_register is not None:
            yield from complete(instance.count_register, f"{path}.count_register")
        for key, item in instance.points.items():
            if (
                instance.count > max(1, len(instance.bases))
                and item.stride is None
                and instance.stride is None
                and not is_derived(item)
            ):
                text = "the key 'stride' is missing: the registers from one part to the next"
                yield error("profile.instance", f"{path}.points.{key}", text)


def _ranges(file: ProfileFile) -> Iterator[Problem]:
    places: list[tuple[str, int | None, int, int | None]] = [
        (f"{n.path}.address", n.item.address, registers_of(n.item), n.item.function) for n in _stored(file)
    ]
    for named in _stored(file):
        scale = named.item.scale_register
        if scale is not None:
            places.append((f"{named.path}.scale_register.address", scale.address, 1, wire_function(file, named.item)))
    for path, address, count, function in places:
        if address is not None:
            yield from address_problems(file, path, address, count, function)


def _overlaps(file: ProfileFile) -> Iterator[Problem]:
    """Two values cannot share a register."""
    found = []
    for named in _stored(file):
        if named.item.address is not None:
            start = named.item.address
            found.append((wire_function(file, named.item), start, start + registers_of(named.item), named.path))
    found.sort()
    reach: tuple[int, int, int, str] | None = None
    for entry in found:
        function, start, end, path = entry
        if reach is not None and reach[0] == function and reach[2] > start:
            text = f"registers {start}…{end - 1} overlap those of {reach[3]} ({reach[1]}…{reach[2] - 1})"
            yield error("profile.overlap", f"{path}.address", text)
        if reach is None or reach[0] != function or reach[2] < end:
            reach = entry


def _blocks(file: ProfileFile) -> Iterator[Problem]:
    """Prescribed reads stay inside the device's limit and hold every point whole."""
    for index, block in enumerate(file.blocks):
        if block.count > file.transport.max_registers:
            text = f"{block.count} registers in one read; the device gives {file.transport.max_registers}"
            yield error("profile.block", f"blocks[{index}].count", text)
        yield from address_problems(file, f"blocks[{index}].address", block.address, block.count, block.function)
    if not file.blocks:
        return
    for named in all_points(file):
        item = named.item
        if item.address is None:
            continue
        function = wire_function(file, item)
        scale = item.scale_register.address if item.scale_register is not None else item.address
        inside = any(
            (b.function or wire_address(file, b.address)[1] or file.defaults.function) == function
            and b.address <= min(item.address, scale)
            and max(item.address + registers_of(item), scale + 1) <= b.address + b.count
            for b in file.blocks
        )
        if not inside:
            yield error("profile.block", f"{named.path}.address", "no block holds the point whole (with its scale register)")


def _variants(file: ProfileFile) -> Iterator[Problem]:
    """A variant changes the points of the file itself, and is a good file with them."""
    names: set[str] = set()
    for index, variant in enumerate(file.variants):
        path = f"variants[{index}]"
        if variant.name in names:
            yield error("profile.variant", f"{path}.name", f"there are two variants '{variant.name}'")
        names.add(variant.name)
        for key, item in variant.points.items():
            if item is None and key not in file.points:
                text = f"there is no point '{key}'{did_you_mean(key, file.points)} to leave out"
                yield error("profile.variant", f"{path}.points.{key}", text)
        for problem in file_problems(with_variant(file, index)):
            own = problem.path.removeprefix("points.")
            if any(own == k or own.startswith(f"{k}.") for k in variant.points):
                yield error(problem.code, f"{path}.{problem.path}", problem.message)


def _vectors(file: ProfileFile) -> Iterator[Problem]:
    names = [v.name for v in file.variants]
    for index, vector in enumerate(file.tests):
        path = f"tests[{index}]"
        if vector.variant is not None and vector.variant not in names:
            text = f"there is no variant '{vector.variant}'{did_you_mean(vector.variant, names)}"
            yield error("profile.vector", f"{path}.variant", text)
            continue
        shown = file if vector.variant is None else with_variant(file, names.index(vector.variant))
        yield from _vector(shown, path, vector.image, vector.expect)


def _vector(file: ProfileFile, path: str, image: Iterable[object], expect: Iterable[str]) -> Iterator[Problem]:
    for part, stretch in enumerate(image):
        digits = "".join(str(getattr(stretch, "hex", "")).split())
        if len(digits) % 4:
            yield error(
                "profile.vector", f"{path}.image[{part}].hex", f"{len(digits)} digits are no whole registers (four digits each)"
            )
    known = [named.key for named in all_points(file)]
    known += [f"setpoint_{key}" for key, item in file.setpoints.items() if item.readable and item.direction is None]
    for key in expect:
        # what a chain holds is known when the vector is run
        if key not in known and (file.sunspec is None or quantity_of(key) is None):
            yield error("profile.vector", f"{path}.expect.{key}", f"there is no point '{key}'{did_you_mean(key, known)}")
