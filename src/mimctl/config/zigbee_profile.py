"""Profiles of Zigbee devices: find the file, find what is wrong with it, make its map."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mimctl.config.profile import profile_directories
from mimctl.config.source import read_document
from mimctl.config.validate import did_you_mean, place, validate
from mimctl.config.zigbee_profile_schema import ZigbeeAttributeItem, ZigbeeProfileFile
from mimctl.model.errors import ConfigError
from mimctl.model.problem import Problem, Severity, error
from mimctl.model.profile import DeviceClass, Provenance
from mimctl.model.quantity import QUANTITIES
from mimctl.model.zigbee import ZigbeeMap, ZigbeePoint
from mimctl.model.zigbee_profile import ZigbeeProfile

#: below a directory of device profiles
FOLDER = "zigbee"
_ID = re.compile(r"[a-z0-9_\-]+/[a-z0-9_\-]+\Z")
_PLACES = re.compile(r"(L[123]|L1L2|L2L3|L3L1|N|total)?\Z")


def find_zigbee_profile(profile_id: str, beside: Path | None = None) -> Path | None:
    """The file of a profile, None where there is none.

    Args:
        profile_id: `vendor/model`.
        beside: directory of the site file.
    """
    if _ID.match(profile_id) is None:
        return None
    candidates = (root / FOLDER / f"{profile_id}.yaml" for root in profile_directories(beside))
    return next((path for path in candidates if path.is_file()), None)


def known_zigbee_profiles(beside: Path | None = None) -> list[str]:
    """Ids of every profile that can be found, in order."""
    files = (path for root in profile_directories(beside) for path in (root / FOLDER).glob("*/*.yaml"))
    return sorted({"/".join(path.with_suffix("").parts[-2:]) for path in files})


def check_zigbee_profile(path: Path) -> list[Problem]:
    """Everything that is wrong with a profile file, each with its line."""
    return _read(path)[1]


def load_zigbee_profile(path: Path) -> ZigbeeProfile:
    """A profile, ready to be used.

    Raises:
        ConfigError: the file is wrong; it holds every problem.
    """
    file, problems = _read(path)
    if file is None or any(p.severity is Severity.ERROR for p in problems):
        raise ConfigError(problems)
    return ZigbeeProfile(
        id=file.id,
        vendor=file.vendor,
        models=tuple(file.models),
        device_class=file.class_,
        provenance=Provenance(file.provenance.source, file.provenance.confidence, file.provenance.verified),
        map=ZigbeeMap(tuple(_point(key, item) for key, item in file.attributes.items()), commands=file.mim_cluster),
    )


def _read(path: Path) -> tuple[ZigbeeProfileFile | None, list[Problem]]:
    document = read_document(path)
    file, problems = validate(document, ZigbeeProfileFile)
    found = [*document.problems, *problems]
    if file is not None and not found:
        found = place(document, [*_file_problems(file), *_place_problems(file, path)])
    return file, found


def _place_problems(file: ZigbeeProfileFile, path: Path) -> Iterator[Problem]:
    if file.id != "/".join(path.resolve().with_suffix("").parts[-2:]):
        yield error("profile.id", "id", f"a site finds this profile only as device_profiles/{FOLDER}/{file.id}.yaml")


def _file_problems(file: ZigbeeProfileFile) -> Iterator[Problem]:
    if file.mim_cluster and file.attributes:
        yield error("zigbee.attributes", "attributes", "the MIM cluster says what a MIM reports: leave it out")
    if file.mim_cluster and file.class_ is not DeviceClass.MIM:
        yield error("zigbee.attributes", "class", f"a {file.class_.value} has no MIM cluster")
    if not file.mim_cluster and not file.attributes:
        yield error("zigbee.attributes", "attributes", "the device reports nothing: name an attribute")
    taken: dict[tuple[int, int, int | None, int], str] = {}
    for key, item in file.attributes.items():
        yield from _quantity_problems(f"attributes.{key}", key)
        spot = (item.endpoint, item.cluster, item.manufacturer, item.attribute)
        if spot in taken:
            yield error("zigbee.attributes", f"attributes.{key}", f"this attribute is '{taken[spot]}' already")
        taken.setdefault(spot, key)
        if item.least_s > item.most_s:
            yield error("zigbee.attributes", f"attributes.{key}.least_s", f"it is longer than most_s, {item.most_s:g} s")


def _quantity_problems(path: str, key: str) -> Iterator[Problem]:
    quantity, _, at = key.partition(".")
    if quantity not in QUANTITIES:
        yield error("profile.quantity", path, f"there is no quantity '{quantity}'{did_you_mean(quantity, QUANTITIES)}")
    elif _PLACES.match(at) is None:
        yield error("profile.place", path, f"'{at}' is no place: L1, L2, L3, L1L2, L2L3, L3L1, N or total")


def _point(key: str, item: ZigbeeAttributeItem) -> ZigbeePoint:
    return ZigbeePoint(
        key=key,
        cluster=item.cluster,
        attribute=item.attribute,
        endpoint=item.endpoint,
        manufacturer=item.manufacturer,
        scale=item.scale,
        multiplier=item.multiplier,
        divisor=item.divisor,
        sign=item.sign,
        absent=tuple(item.nan),
        least_s=item.least_s,
        most_s=item.most_s,
        change=item.change,
    )
