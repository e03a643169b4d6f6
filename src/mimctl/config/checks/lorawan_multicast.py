"""Multicast groups of LoRaWAN links: who is in them, and whether a frame has room for several."""

from __future__ import annotations

from collections.abc import Iterator

from mimctl.config.build import build_latency
from mimctl.config.build_links import radio_plan
from mimctl.config.draft import Draft
from mimctl.config.schema_devices import LinkItem, MimItem
from mimctl.config.schema_lorawan import MulticastItem
from mimctl.config.wording import did_you_mean
from mimctl.model.airtime import RULES
from mimctl.model.problem import Problem, error, warning

_CODE = "lorawan.multicast"


def check_multicast(draft: Draft) -> Iterator[Problem]:
    """`lorawan.multicast`: a group that mimctl could not use, or that would take in whom it must not."""
    for path, link in draft.links():
        item = link.lorawan
        if item is None:
            continue
        mims = {mim.id: mim for _, mim in draft.mims() if mim.link == link.id}
        groups: dict[str, str] = {}
        taken: dict[str, str] = {}
        for i, group in enumerate(item.multicast):
            place = f"{path}.lorawan.multicast[{i}]"
            if group.group in groups:
                yield error(_CODE, f"{place}.group", f"{groups[group.group]} is this group already")
            groups.setdefault(group.group, place)
            yield from _members(place, group, mims, taken)
            yield from _frames(draft, place, link, group, mims)
            yield from _pace(place, [mims[name] for name in group.members if name in mims])


def _members(place: str, group: MulticastItem, mims: dict[str, MimItem], taken: dict[str, str]) -> Iterator[Problem]:
    numbers: dict[int, str] = {}
    for name, number in group.members.items():
        path = f"{place}.members.{name}"
        if name not in mims:
            yield error(_CODE, path, f"this link has no MIM '{name}'{did_you_mean(name, mims)}")
        if number in numbers:
            yield error(_CODE, path, f"{number} is the number of '{numbers[number]}': each MIM has its own")
        numbers.setdefault(number, name)
        if name in taken:
            yield error(_CODE, path, f"'{name}' is in {taken[name]} already: a MIM is in one group")
        taken.setdefault(name, place)


def _frames(draft: Draft, place: str, link: LinkItem, group: MulticastItem, mims: dict[str, MimItem]) -> Iterator[Problem]:
    """Whether the profile has frames for several, and at least two setpoints fit into one."""
    item = link.lorawan
    if item is None:
        return
    rates = RULES[item.region].downlinks
    dr = radio_plan(item).downlink_dr if group.dr is None else group.dr
    if group.dr is not None and dr not in rates:
        yield error(_CODE, f"{place}.dr", f"{item.region} has {min(rates)} to {max(rates)}, not {dr}")
    named = sorted({mims[name].profile for name in group.members if name in mims})
    if len(named) > 1:
        text = f"one frame is for all of a group, and these have the profiles {', '.join(named)}: a group for each profile"
        yield error(_CODE, f"{place}.members", text)
        return
    profile = draft.payloads.get(named[0]) if named else None
    if profile is None:
        return
    if profile.group is None:
        yield error(_CODE, place, f"the profile '{profile.id}' has no 'group': it does not say what a frame for several looks like")
    elif dr in rates and (room := profile.group.capacity(rates[dr].most_bytes)) < 2:
        text = f"a frame at DR{dr} has {rates[dr].most_bytes} bytes, room for {room} setpoint{'s' * (room != 1)}: a faster 'dr'"
        yield error(_CODE, place, text)


def _pace(place: str, mims: list[MimItem]) -> Iterator[Problem]:
    for key, values in (
        ("latency.command_every", {build_latency(mim.latency).command_every_s for mim in mims}),
        ("validity", {mim.validity_s for mim in mims}),
    ):
        if len(values) > 1:
            told = ", ".join(f"{value:g} s" for value in sorted(values))
            text = f"its MIMs have '{key}' of {told}: only those of one and the same are told by one frame"
            yield warning(_CODE, f"{place}.members", text)
