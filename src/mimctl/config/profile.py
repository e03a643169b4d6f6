"""Device profiles: find the file, find what is wrong with it, make a register map of it.

Golden vectors are only read here. Running them takes the codec, which stands a floor higher: `wire.golden`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mimctl.config.profile_checks import file_problems
from mimctl.config.profile_schema import BlockItem, ConventionsItem, PointItem, ProfileFile, VectorItem
from mimctl.config.source import read_document
from mimctl.config.validate import place, validate
from mimctl.model.errors import ConfigError
from mimctl.model.problem import Problem, Severity, error
from mimctl.model.profile import (
    DeviceProfile,
    Difference,
    GoldenVector,
    PointSpec,
    Provenance,
    ReadBlock,
    RegisterMap,
)
from mimctl.model.quantity import quantity_of
from mimctl.model.resources import data_root

__all__ = ["ProfileFile", "check_profile", "find_profile", "load_profile", "profile_directories"]

_ID = re.compile(r"[a-z0-9_\-]+/[a-z0-9_\-]+\Z")


def profile_directories(beside: Path | None = None, state: Path | None = None) -> list[Path]:
    """Where profiles are looked for, first match wins: beside the site file, in the state directory, among mimctl's own."""
    roots = [folder / "device_profiles" for folder in (beside, state) if folder is not None]
    return [*roots, data_root() / "device_profiles"]


def find_profile(profile_id: str, beside: Path | None = None, state: Path | None = None) -> Path | None:
    """The file of a profile, None where there is none.

    Args:
        profile_id: `vendor/model`.
        beside: directory of the site file.
        state: state directory of the service.
    """
    if _ID.match(profile_id) is None:
        return None
    candidates = (root / f"{profile_id}.yaml" for root in profile_directories(beside, state))
    return next((path for path in candidates if path.is_file()), None)


def check_profile(path: Path) -> list[Problem]:
    """Everything that is wrong with a profile file, each with its line."""
    return _read(path)[1]


def load_profile(path: Path) -> DeviceProfile:
    """A profile, ready to be compiled.

    Raises:
        ConfigError: the file is wrong; it holds every problem.
    """
    file, problems = _read(path)
    if file is None or any(p.severity is Severity.ERROR for p in problems):
        raise ConfigError(problems)
    return build_profile(file)


def _read(path: Path) -> tuple[ProfileFile | None, list[Problem]]:
    document = read_document(path)
    file, problems = validate(document, ProfileFile)
    found = [*document.problems, *problems]
    if file is not None and not found:
        found = place(document, file_problems(file))
        if file.id != "/".join(path.with_suffix("").resolve().parts[-2:]):
            text = f"the id must be the file's path below device_profiles; this file is {'/'.join(path.parts[-2:])}"
            found += place(document, [error("profile.id", "id", text)])
    return file, found


def build_profile(file: ProfileFile) -> DeviceProfile:
    """The model of a file that has no errors."""
    return DeviceProfile(
        id=file.id,
        vendor=file.vendor,
        models=tuple(file.models),
        provenance=Provenance(file.provenance.source, file.provenance.confidence, file.provenance.verified),
        register_map=_register_map(file),
        vectors=tuple(_vector(item, _shift(file)) for item in file.tests),
        gaps=tuple(file.gaps),
    )


def _register_map(file: ProfileFile) -> RegisterMap:
    differences = {k: p.difference for k, p in file.points.items() if p.difference is not None}
    stored = {k: p for k, p in file.points.items() if p.difference is None}
    return RegisterMap(
        device_class=file.device_class,
        points=tuple(_point(file, key, item) for key, item in stored.items()),
        differences=tuple(Difference(key, *_signed_pair(file, key, pair)) for key, pair in differences.items()),
        identity=tuple((name, _point(file, f"identity.{name}", item)) for name, item in file.identity.items()),
        blocks=tuple(_block(file, b) for b in file.blocks),
        max_gap=file.max_gap,
        max_registers=file.transport.max_registers,
    )


def _signed_pair(file: ProfileFile, key: str, pair: list[str]) -> tuple[str, str]:
    """The two halves in the order that gives mimctl's sign."""
    plus, minus = pair
    return (plus, minus) if convention_sign(file.conventions, key) * file.points[key].sign > 0 else (minus, plus)


def _point(file: ProfileFile, key: str, item: PointItem) -> PointSpec:
    assert item.address is not None and item.type is not None  # noqa: PT018 - file_problems() has refused the rest
    quantity = quantity_of(key)
    shift = _shift(file)
    return PointSpec(
        key=key,
        address=item.address - shift,
        type=item.type,
        function=item.function or file.defaults.function,
        count=item.count or 0,
        scale=item.scale,
        scale_address=None if item.scale_register is None else item.scale_register.address - shift,
        word_order=item.word_order or file.defaults.word_order,
        byte_order=item.byte_order or file.defaults.byte_order,
        sentinels=tuple(_raw(item, n) for n in item.nan),
        sign=item.sign * convention_sign(file.conventions, key),
        unit=quantity.unit if quantity is not None else "",
    )


def convention_sign(conventions: ConventionsItem, key: str) -> int:
    """+1 or −1 from the device's direction to mimctl's: at a meter, load and inductive load are positive."""
    quantity = key.partition(".")[0]
    if quantity == "active_power":
        return 1 if conventions.active_power == "load_positive" else -1
    if quantity == "reactive_power":
        return 1 if conventions.reactive_power == "inductive_load_positive" else -1
    return 1


def _raw(item: PointItem, value: float) -> float:
    """A pattern as the number that the type reads: 0x8000 of a signed 16-bit register is −32768."""
    if item.type is None or not item.type.is_signed or not isinstance(value, int):
        return value
    return value - (1 << 16 * item.type.registers) if value > item.type.bounds[1] else value


def _block(file: ProfileFile, item: BlockItem) -> ReadBlock:
    return ReadBlock(item.address - _shift(file), item.count, item.function or file.defaults.function)


def _vector(item: VectorItem, shift: int) -> GoldenVector:
    image = tuple((part.address - shift, bytes.fromhex(part.hex)) for part in item.image)
    expect: Mapping[str, float | None] = item.expect
    return GoldenVector(item.name, image, tuple(expect.items()))


def _shift(file: ProfileFile) -> int:
    return 1 if file.transport.addressing == "one_based" else 0
