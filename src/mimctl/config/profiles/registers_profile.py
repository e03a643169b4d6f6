"""Device profiles: find the file, find what is wrong with it, make a register map of it.

Golden vectors are only read here. Running them takes the codec, which stands a floor higher: `wire.golden`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mimctl.config.profiles.checks import file_problems
from mimctl.config.profiles.checks_identity import with_variant
from mimctl.config.profiles.layout import wire_address
from mimctl.config.profiles.points import condition, plain_point, register_map
from mimctl.config.profiles.schema import ProfileFile, VectorItem
from mimctl.config.profiles.schema_commands import CommandStepItem, CommandVectorItem, ImageItem
from mimctl.config.profiles.shelf import ProfileShelf, profile_directories, provenance
from mimctl.config.profiles.sunspec import chain_rules
from mimctl.config.source import read_document
from mimctl.config.validate import place
from mimctl.model.command_vectors import CommandStep, CommandVector, ExpectedWrite
from mimctl.model.problem import Problem
from mimctl.model.profile import DeviceProfile, GoldenVector, IdentityRule, InstanceCount, LinkHints, Variant

__all__ = [
    "ProfileFile",
    "check_profile",
    "find_profile",
    "known_profiles",
    "load_profile",
    "place_in",
    "profile_directories",
    "profile_parts",
]


def place_in(path: Path, problems: Iterable[Problem]) -> list[Problem]:
    """Problems that know only their place in the document, with file, line and column."""
    return place(read_document(path), problems)


def profile_parts(path: Path) -> list[str]:
    """The repeated parts that a profile describes: `circuit1`, `circuit2`, …; none where the file is wrong."""
    file, _ = DEVICE_PROFILES.read(path)
    return [] if file is None else [f"{name}{n + 1}" for name, item in file.instances.items() for n in range(item.count)]


def build_profile(file: ProfileFile) -> DeviceProfile:
    """The model of a file that has no errors."""
    hints = file.transport
    return DeviceProfile(
        id=file.id,
        vendor=file.vendor,
        models=tuple(file.models),
        provenance=provenance(file.provenance),
        register_map=register_map(file),
        vectors=tuple(_vector(file, item) for item in file.tests),
        command_vectors=tuple(_command_vector(file, item) for item in file.command_tests),
        gaps=tuple(file.gaps),
        use=file.use,
        identify=tuple(IdentityRule(condition(file, rule), rule.weak) for rule in file.identify),
        variants=tuple(
            Variant(v.name, condition(file, v.when), register_map(with_variant(file, n))) for n, v in enumerate(file.variants)
        ),
        counts=tuple(
            InstanceCount(name, plain_point(file, f"count.{name}", item.count_register))
            for name, item in file.instances.items()
            if item.count_register is not None
        ),
        hints=LinkHints(
            tuple(hints.types),
            hints.port,
            tuple(hints.units),
            hints.timeout_s,
            hints.connect_delay_s,
            hints.request_gap_s,
            hints.max_connections,
        ),
        chain=chain_rules(file),
    )


def _vector(file: ProfileFile, item: VectorItem) -> GoldenVector:
    expect: Mapping[str, float | None] = item.expect
    return GoldenVector(item.name, _image(file, item.image), tuple(expect.items()), item.variant)


def _image(file: ProfileFile, parts: Iterable[ImageItem]) -> tuple[tuple[int, bytes], ...]:
    return tuple((wire_address(file, part.address)[0], bytes.fromhex(part.hex)) for part in parts)


def _command_vector(file: ProfileFile, item: CommandVectorItem) -> CommandVector:
    like = next((test.image for test in file.tests if test.name == item.like), [])
    return CommandVector(item.name, _image(file, [*like, *item.image]), tuple(_step(file, step) for step in item.steps))


def _step(file: ProfileFile, item: CommandStepItem) -> CommandStep:
    writes = (ExpectedWrite(wire_address(file, w.address)[0], bytes.fromhex(w.hex), w.function) for w in item.writes)
    setpoints = tuple(item.setpoints.items())
    return CommandStep(item.do, setpoints, item.validity_s, item.expiry_action, tuple(writes), item.refused)


#: device_profiles itself
DEVICE_PROFILES = ProfileShelf(ProfileFile, file_problems, build_profile, "device profile")
find_profile = DEVICE_PROFILES.find
known_profiles = DEVICE_PROFILES.known
check_profile = DEVICE_PROFILES.check
load_profile = DEVICE_PROFILES.load
