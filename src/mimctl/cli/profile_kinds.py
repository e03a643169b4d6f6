"""What a profile file describes - registers, payloads, attributes - and what is wrong with it, golden vectors included."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimctl.model.problem import Problem

if TYPE_CHECKING:
    from mimctl.config.profiles.shelf import ProfileShelf
    from mimctl.model.chain import ChainRules
    from mimctl.model.link import Link
    from mimctl.model.payload import PayloadProfile
    from mimctl.model.profile import DeviceProfile
    from mimctl.model.site import Site
    from mimctl.model.zigbee_profile import ZigbeeProfile

#: keys that only a file of that kind has
_PAYLOAD_KEYS, _ZIGBEE_KEYS = {"uplinks"}, {"attributes", "mim_cluster"}
_DEVICE_KEYS = {"points", "instances", "sunspec"}


@dataclass(frozen=True, slots=True)
class ProfileKind:
    """One kind of profiles.

    Args:
        vectors: runs the golden vectors of a sound profile.
        summary: what a sound profile holds, in a few words.
        wanted: the links whose devices have such profiles.
    """

    shelf: ProfileShelf[Any, Any]
    vectors: Callable[[Any], Sequence[Problem]]
    summary: Callable[[Any], str]
    wanted: Callable[[Link], bool]

    def judge(self, path: Path) -> tuple[list[Problem], list[Problem], str | None]:
        """Every problem of a file; what its golden vectors find wrong; what it holds, None where it has an error."""
        profile, problems = self.shelf.judge(path)
        if profile is None:
            return problems, [], None
        return problems, self.wrong_vectors(path, profile), self.summary(profile)

    def wrong_vectors(self, path: Path, profile: object) -> list[Problem]:
        """One problem with its line for each golden value or frame that a sound profile does not give."""
        from mimctl.config.profiles.registers_profile import place_in

        wrong = self.vectors(profile)
        return place_in(path, wrong) if wrong else []


def kind_of(data: object) -> ProfileKind:
    """The kind of a profile file by what stands in it; registers where that does not tell."""
    keys = data.keys() if isinstance(data, dict) else set()
    if _PAYLOAD_KEYS & keys and not _DEVICE_KEYS & keys:
        return payloads()
    return zigbee() if _ZIGBEE_KEYS & keys and not _DEVICE_KEYS & keys else registers()


def is_profile(data: object) -> bool:
    """Whether a file is a profile and no site."""
    every = _DEVICE_KEYS | _PAYLOAD_KEYS | _ZIGBEE_KEYS
    return isinstance(data, dict) and bool(every & data.keys()) and not {"site", "nodes"} & data.keys()


def site_vectors(site: Site) -> list[Problem]:
    """What is wrong with the golden vectors of every profile that a sound site names."""
    from mimctl.config.profiles.shelf import named_profiles

    found: list[Problem] = []
    beside = site.file.parent if site.file is not None else None
    for kind in _kinds(site.links):
        for name in named_profiles(site, kind.wanted):
            path = kind.shelf.find(name, beside)
            if path is not None:
                found += kind.wrong_vectors(path, kind.shelf.load(path))
    return found


def _kinds(links: Iterable[Link]) -> list[ProfileKind]:
    """Those that devices on these links may have: each takes imports that others need not wait for."""
    from mimctl.model.link import LinkType

    types = {link.type for link in links}
    kinds = [registers()] if any(not kind.is_radio for kind in types) else []
    kinds += [payloads()] if LinkType.LORAWAN in types else []
    return kinds + ([zigbee()] if LinkType.ZIGBEE in types else [])


def registers() -> ProfileKind:
    from mimctl.config.profiles.registers_profile import DEVICE_PROFILES
    from mimctl.drivers.golden_commands import check_all_vectors

    return ProfileKind(DEVICE_PROFILES, check_all_vectors, _registers_told, lambda link: not link.type.is_radio)


def payloads() -> ProfileKind:
    from mimctl.config.profiles.payload_profile import PAYLOAD_PROFILES
    from mimctl.model.link import LinkType
    from mimctl.wire.payload_golden import payload_problems

    return ProfileKind(PAYLOAD_PROFILES, payload_problems, _payloads_told, lambda link: link.type is LinkType.LORAWAN)


def zigbee() -> ProfileKind:
    from mimctl.config.profiles.zigbee_profile import ZIGBEE_PROFILES
    from mimctl.drivers.zigbee_values import zigbee_vector_problems
    from mimctl.model.link import LinkType

    return ProfileKind(ZIGBEE_PROFILES, zigbee_vector_problems, _attributes_told, lambda link: link.type is LinkType.ZIGBEE)


def _registers_told(profile: DeviceProfile) -> str:
    values = sum(len(v.expect) for v in profile.vectors)
    read = f"{len(profile.register_map.points)} points" if profile.chain is None else f"models {_models(profile.chain)}"
    frames = sum(len(step.writes) for vector in profile.command_vectors for step in vector.steps)
    commands = f"; {len(profile.command_vectors)} of commands with {frames} frames" if profile.command_vectors else ""
    return f"{read}; {len(profile.vectors)} golden vectors with {values} values{commands}"


def _models(rules: ChainRules) -> str:
    return ", ".join(map(str, rules.models))


def _payloads_told(profile: PayloadProfile) -> str:
    values = sum(len(vector.expect) for vector in profile.vectors)
    commands = f"; {len(profile.command_vectors)} of commands" if profile.command_vectors else ""
    return f"{len(profile.uplinks)} uplinks; {len(profile.vectors)} golden vectors with {values} values{commands}"


def _attributes_told(profile: ZigbeeProfile) -> str:
    if profile.map.commands:
        return "the MIM cluster"
    values = sum(len(vector.expect) for vector in profile.vectors)
    return f"{len(profile.map.points)} attributes; {len(profile.vectors)} golden vectors with {values} values"
