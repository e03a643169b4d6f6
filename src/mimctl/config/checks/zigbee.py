"""Zigbee links: what belongs to them, and whether their devices have profiles."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain

from mimctl.config.build import build_latency
from mimctl.config.draft import Draft
from mimctl.config.wording import did_you_mean
from mimctl.model.latency import LatencyClass
from mimctl.model.link import LinkType
from mimctl.model.problem import Problem, error, warning
from mimctl.model.zigbee import RadioKind

_SOCKET = re.compile(r"socket://[^\s/:]+:\d{1,5}\Z")
#: what the command of a MIM has room for
_MOST_PORTS = 6


def check_links(draft: Draft) -> Iterator[Problem]:
    """`zigbee.link`: a Zigbee link without its coordinator, or a coordinator on another link."""
    for path, link in draft.links():
        if link.type is not LinkType.ZIGBEE:
            for key in ("radio", "flow_control"):
                if getattr(link, key) is not None:
                    yield error("zigbee.link", f"{path}.{key}", f"a link of the type {link.type.value} has no coordinator")
            continue
        if link.radio is None:
            yield error("zigbee.link", path, "a Zigbee link needs the kind of its coordinator: 'radio: znp' or 'radio: ezsp'")
        if link.device is None:
            text = "a Zigbee link needs its coordinator: 'device: /dev/serial/by-id/…' or 'device: socket://host:port'"
            yield error("zigbee.link", path, text)
        elif "://" in link.device and _SOCKET.match(link.device) is None:
            yield error("zigbee.link", f"{path}.device", f"'{link.device}' is neither a path nor socket://host:port")
        if (
            link.device is not None
            and link.device.startswith("socket://")
            and not link.isolated
            and link.radio is not RadioKind.TWIN
        ):
            text = "whoever reaches this address has the whole network: say 'isolated: true' where nobody else can"
            yield warning("zigbee.plain", f"{path}.device", text)


def check_devices(draft: Draft) -> Iterator[Problem]:
    """`zigbee.profile`, `zigbee.mim`: devices without a profile, and what a MIM without a wire cannot do."""
    links = {link.id for _, link in draft.links() if link.type is LinkType.ZIGBEE}
    if not links:
        return
    from mimctl.config.profiles.zigbee_profile import ZIGBEE_PROFILES

    seen: dict[str, bool | None] = {}
    for path, device in chain(draft.meters(), draft.mims()):
        if device.link not in links:
            continue
        if device.profile not in seen:
            file = ZIGBEE_PROFILES.find(device.profile, draft.folder)
            if file is None:
                known = ZIGBEE_PROFILES.known(draft.folder)
                near = did_you_mean(device.profile, known)
                text = f"there is no Zigbee profile '{device.profile}'{near}; there are: {', '.join(known)}"
                yield error("zigbee.profile", f"{path}.profile", text)
                seen[device.profile] = None
                continue
            profile, problems = ZIGBEE_PROFILES.judge(file)
            yield from problems
            seen[device.profile] = None if profile is None else profile.map.commands
        commands, is_mim = seen[device.profile], path.startswith("mims")
        if commands is not None and commands is not is_mim:
            text = "has no setpoints" if is_mim else "is a MIM's: a meter needs one that names its attributes"
            yield error("zigbee.profile", f"{path}.profile", f"the profile '{device.profile}' {text}")


def check_mims(draft: Draft) -> Iterator[Problem]:
    """`zigbee.mim`: what the MIM cluster cannot carry."""
    links = {link.id for _, link in draft.links() if link.type is LinkType.ZIGBEE}
    for path, mim in draft.mims():
        if mim.link not in links:
            continue
        latency = build_latency(mim.latency)
        if latency.kind is LatencyClass.FAST:
            text = "a mesh radio takes seconds: say 'latency: {class: medium}'"
            yield error("zigbee.mim", f"{path}.latency", text)
        if len(mim.ports) > _MOST_PORTS:
            yield error("zigbee.mim", f"{path}.ports", f"a command has room for {_MOST_PORTS} ports, not {len(mim.ports)}")
        if latency.command_every_s and mim.validity_s < 3 * latency.command_every_s:
            least_s = 3 * latency.command_every_s
            text = f"with a command every {latency.command_every_s:g} s it runs out when two are lost: make it {least_s:g} s"
            yield warning("zigbee.mim", f"{path}.validity_s", text)


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (check_links, check_devices, check_mims)
