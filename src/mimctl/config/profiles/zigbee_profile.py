"""Profiles of Zigbee devices: find the file, find what is wrong with it, make its map."""

from __future__ import annotations

from collections.abc import Iterator

from mimctl.config.profiles.keys import key_problems
from mimctl.config.profiles.shelf import ProfileShelf, provenance
from mimctl.config.profiles.zigbee_schema import ToldAttributeItem, ZigbeeAttributeItem, ZigbeeProfileFile
from mimctl.config.validate import did_you_mean
from mimctl.model.link import LinkType
from mimctl.model.problem import Problem, error, warning
from mimctl.model.profile import DeviceClass
from mimctl.model.site import Site
from mimctl.model.zigbee import ZCL_TYPES, ZigbeeMap, ZigbeePoint
from mimctl.model.zigbee_profile import ToldAttribute, ZigbeeProfile, ZigbeeVector


def _file_problems(file: ZigbeeProfileFile) -> Iterator[Problem]:
    if file.mim_cluster and file.attributes:
        yield error("zigbee.attributes", "attributes", "the MIM cluster says what a MIM reports: leave it out")
    if file.mim_cluster and file.class_ is not DeviceClass.MIM:
        yield error("zigbee.attributes", "class", f"a {file.class_.value} has no MIM cluster")
    if not file.mim_cluster and not file.attributes:
        yield error("zigbee.attributes", "attributes", "the device reports nothing: name an attribute")
    taken: dict[tuple[int, int, int | None, int], str] = {}
    for key, item in file.attributes.items():
        yield from key_problems(f"attributes.{key}", key, ports=False)
        spot = (item.endpoint, item.cluster, item.manufacturer, item.attribute)
        if spot in taken:
            yield error("zigbee.attributes", f"attributes.{key}", f"this attribute is '{taken[spot]}' already")
        taken.setdefault(spot, key)
        if item.least_s > item.most_s:
            yield error("zigbee.attributes", f"attributes.{key}.least_s", f"it is longer than most_s, {item.most_s:g} s")
    yield from _test_problems(file)


def _test_problems(file: ZigbeeProfileFile) -> Iterator[Problem]:
    for n, vector in enumerate(file.tests):
        for k, told in enumerate(vector.told):
            if told.type not in ZCL_TYPES:
                text = f"there is no data type '{told.type}'{did_you_mean(told.type, ZCL_TYPES)}"
                yield error("profile.vector", f"tests[{n}].told[{k}].type", text)
        for key in vector.expect:
            if key not in file.attributes:
                text = f"there is no attribute '{key}'{did_you_mean(key, file.attributes)}"
                yield error("profile.vector", f"tests[{n}].expect.{key}", text)
    if file.attributes and not file.tests:
        text = "nothing proves what these attributes stand for: work some values out by hand and give them as 'tests'"
        yield warning("profile.test", "attributes", text)


def _profile(file: ZigbeeProfileFile) -> ZigbeeProfile:
    return ZigbeeProfile(
        id=file.id,
        vendor=file.vendor,
        models=tuple(file.models),
        device_class=file.class_,
        provenance=provenance(file.provenance),
        map=ZigbeeMap(tuple(_point(key, item) for key, item in file.attributes.items()), commands=file.mim_cluster),
        vectors=tuple(ZigbeeVector(test.name, tuple(map(_told, test.told)), tuple(test.expect.items())) for test in file.tests),
    )


def _told(item: ToldAttributeItem) -> ToldAttribute:
    return ToldAttribute(item.endpoint, item.cluster, item.manufacturer, item.attribute, ZCL_TYPES[item.type], item.raw)


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


#: device_profiles/zigbee
ZIGBEE_PROFILES = ProfileShelf(ZigbeeProfileFile, _file_problems, _profile, "Zigbee profile", "zigbee")
find_zigbee_profile = ZIGBEE_PROFILES.find
known_zigbee_profiles = ZIGBEE_PROFILES.known
check_zigbee_profile = ZIGBEE_PROFILES.check
load_zigbee_profile = ZIGBEE_PROFILES.load


def site_zigbee_profiles(site: Site) -> dict[str, ZigbeeProfile]:
    """Every Zigbee profile that a site names, by id.

    Raises:
        UserError: one is nowhere to be found.
        ConfigError: one is wrong.
    """
    return ZIGBEE_PROFILES.of_site(site, lambda link: link.type is LinkType.ZIGBEE)
