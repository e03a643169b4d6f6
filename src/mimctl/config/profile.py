"""Device profiles: find the file, find what is wrong with it, make a register map of it.

Golden vectors are only read here. Running them takes the codec, which stands a floor higher: `wire.golden`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mimctl.config.profile_checks import file_problems
from mimctl.config.profile_checks_identity import with_variant
from mimctl.config.profile_layout import wire_address
from mimctl.config.profile_points import condition, plain_point, register_map
from mimctl.config.profile_schema import ProfileFile, VectorItem
from mimctl.config.profile_schema_commands import CommandStepItem, CommandVectorItem, ImageItem
from mimctl.config.profile_sunspec import chain_rules
from mimctl.config.source import read_document
from mimctl.config.validate import place, validate
from mimctl.model.command_vectors import CommandStep, CommandVector, ExpectedWrite
from mimctl.model.errors import ConfigError
from mimctl.model.problem import Problem, Severity, error, warning
from mimctl.model.profile import DeviceProfile, GoldenVector, IdentityRule, InstanceCount, LinkHints, Provenance, Variant
from mimctl.model.resources import data_root, state_root

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

_ID = re.compile(r"[a-z0-9_\-]+/[a-z0-9_\-]+\Z")


def profile_directories(beside: Path | None = None) -> list[Path]:
    """Where profiles are looked for, first match wins: beside the site file, in the state directory, among mimctl's own."""
    return [root / "device_profiles" for root in (*([beside] if beside is not None else []), state_root(), data_root())]


def find_profile(profile_id: str, beside: Path | None = None) -> Path | None:
    """The file of a profile, None where there is none.

    Args:
        profile_id: `vendor/model`.
        beside: directory of the site file.
    """
    if _ID.match(profile_id) is None:
        return None
    candidates = (root / f"{profile_id}.yaml" for root in profile_directories(beside))
    return next((path for path in candidates if path.is_file()), None)


def known_profiles(beside: Path | None = None) -> list[str]:
    """Ids of every profile that can be found, in order."""
    found = {
        "/".join(path.with_suffix("").parts[-2:])
        for root in profile_directories(beside)
        for path in root.glob("*/*.yaml")
        if _ID.match("/".join(path.with_suffix("").parts[-2:]))
    }
    return sorted(found)


def place_in(path: Path, problems: Iterable[Problem]) -> list[Problem]:
    """Problems that know only their place in the document, with file, line and column."""
    return place(read_document(path), problems)


def check_profile(path: Path) -> list[Problem]:
    """Everything that is wrong with a profile file, each with its line."""
    return _read(path)[1]


def profile_parts(path: Path) -> list[str]:
    """The repeated parts that a profile describes: `circuit1`, `circuit2`, …; none where the file is wrong."""
    file, _ = _read(path)
    return [] if file is None else [f"{name}{n + 1}" for name, item in file.instances.items() for n in range(item.count)]


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
        found += place(document, _place_problems(file, path.resolve()))
    return file, found


def _place_problems(file: ProfileFile, path: Path) -> Iterator[Problem]:
    """A profile is found by its id: by the path of its file. A draft may lie anywhere."""
    if file.id == "/".join(path.with_suffix("").parts[-2:]):
        return
    if path.parent.parent.name == "device_profiles":
        text = f"the id must be the file's path below device_profiles; this file is {'/'.join(path.parts[-2:])}"
        yield error("profile.id", "id", text)
    else:
        yield warning("profile.id", "id", f"a site finds this profile only as device_profiles/{file.id}.yaml")


def build_profile(file: ProfileFile) -> DeviceProfile:
    """The model of a file that has no errors."""
    hints = file.transport
    return DeviceProfile(
        id=file.id,
        vendor=file.vendor,
        models=tuple(file.models),
        provenance=Provenance(file.provenance.source, file.provenance.confidence, file.provenance.verified),
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
