"""The device profiles that a site names, and whether they can do what the site asks of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from mimctl.config.draft import Draft
from mimctl.config.quoting import count, cut
from mimctl.config.wording import did_you_mean, one_of
from mimctl.model.address import SUNSPEC
from mimctl.model.chain import SETPOINT_MODELS, ChainRules
from mimctl.model.instances import instance_names
from mimctl.model.problem import Problem, error, warning
from mimctl.model.setpoints import Failsafe

if TYPE_CHECKING:
    from mimctl.config.schema_devices import MeterItem, MimItem
    from mimctl.model.profile import DeviceProfile


def check_profiles(draft: Draft) -> Iterator[Problem]:
    """`profile.unknown`, every problem inside the profiles that are named, and devices that cannot do what the site asks."""
    every = ((path, device) for path, device in chain(draft.meters(), draft.mims()) if device.link not in draft.radio_links)
    devices = [(path, device) for path, device in every if device.profile != SUNSPEC]
    if not devices:
        return  # reading profiles takes imports that a site without them need not wait for
    usable: dict[str, DeviceProfile | None] = {}
    missing: set[str] = set()
    for profile in dict.fromkeys(device.profile for _, device in devices):
        usable[profile] = yield from _judged(draft, profile, missing)
    for path, device in devices:
        if device.profile in missing:
            yield error("profile.unknown", f"{path}.profile", _unknown_text(draft, device.profile))
    for path, meter in draft.meters():
        if (found := usable.get(meter.profile)) is not None:
            yield from _parts(path, meter, found)
            yield from _direction(path, meter, found)
    for path, mim in draft.mims():
        if (found := usable.get(mim.profile)) is not None:
            yield from _commandable(path, mim, found)


def _judged(draft: Draft, profile: str, missing: set[str]) -> Generator[Problem, None, DeviceProfile | None]:
    """The problems of a profile; returns it where it has no error."""
    from mimctl.config.profiles.registers_profile import DEVICE_PROFILES

    file = DEVICE_PROFILES.find(profile, draft.folder)
    if file is None:
        missing.add(profile)
        return None
    found, problems = DEVICE_PROFILES.judge(file)
    yield from problems
    return found


def _unknown_text(draft: Draft, profile: str) -> str:
    from mimctl.config.profiles.registers_profile import DEVICE_PROFILES

    hint = did_you_mean(profile, DEVICE_PROFILES.known(draft.folder))
    return f"there is no device profile '{profile}'{hint}: put {profile}.yaml into device_profiles/ beside the site file"


def _commandable(path: str, mim: MimItem, profile: DeviceProfile) -> Iterator[Problem]:
    """`mim.no_setpoints`, `mim.profile_ports`, `mim.no_failsafe`: what a profile lacks to command this MIM."""
    if profile.chain is not None:
        yield from _commandable_chain(path, mim, profile.id, profile.chain)
        return
    maps = [m.mim for m in (profile.register_map, *(v.register_map for v in profile.variants)) if m.mim is not None]
    if not maps:
        kind = profile.register_map.device_class.value.replace("_", " ")
        text = (
            f"the profile '{profile.id}' describes a {kind} without setpoints, so nothing can be commanded: name a profile "
            f"that has 'setpoints:', or move this entry to 'meters:'"
        )
        yield error("mim.no_setpoints", f"{path}.profile", text)
        return
    if all(m.ports != len(mim.ports) for m in maps):
        has = count(maps[0].ports, "port")
        text = f"the profile '{profile.id}' commands {has}, not {len(mim.ports)}: list the ports in the order of the device"
        yield error("mim.profile_ports", f"{path}.ports", text)
    accepted = mim.accept_hold or "authority_pct" in mim.model_fields_set
    if not accepted and any(m.failsafe is Failsafe.NONE for m in maps):
        text = (
            f"a device of the profile '{profile.id}' never notices that mimctl is gone and keeps its last setpoint for ever, so "
            f"only a part of its rating is used: name the share that is acceptable ('authority: 50 %')"
        )
        yield warning("mim.no_failsafe", f"{path}.profile", text)


def _commandable_chain(path: str, mim: MimItem, profile: str, rules: ChainRules) -> Iterator[Problem]:
    """The same of a SunSpec device, whose failsafe is known when it is connected."""
    if not any(rules.allows(model) for model in SETPOINT_MODELS):
        text = (
            f"the profile '{profile}' has no model with setpoints in 'sunspec.commands', so nothing can be commanded: move this "
            f"entry to 'meters:', or name a model that the device takes commands by"
        )
        yield error("mim.no_setpoints", f"{path}.profile", text)
    elif len(mim.ports) != 1:
        text = f"a device of the profile '{profile}' is commanded as a whole: it has one port, not {len(mim.ports)}"
        yield error("mim.profile_ports", f"{path}.ports", text)


def _parts(path: str, meter: MeterItem, profile: DeviceProfile) -> Iterator[Problem]:
    """`meter.instance`: parts of a device that its profile does not have."""
    maps = (profile.register_map, *(v.register_map for v in profile.variants))
    known = list(dict.fromkeys(name for each in maps for name in instance_names(each)))
    for i, name in enumerate(meter.instances):
        if name not in known:
            has = f"it has {cut(one_of(known), 60)}" if known else "it has none"
            text = f"the profile '{profile.id}' has no part '{name}'{did_you_mean(name, known)}; {has}"
            yield error("meter.instance", f"{path}.instances[{i}]", text)


def _direction(path: str, meter: MeterItem, profile: DeviceProfile) -> Iterator[Problem]:
    """`meter.injects`, `meter.sign_twice`: a power that would be taken the wrong way round."""
    kind = profile.register_map.device_class
    if kind.injects and meter.sign > 0:
        text = (
            f"the profile '{profile.id}' describes an {kind}, which counts what it gives as positive, and a meter counts what "
            f"flows into '{meter.node}': give it 'sign: -1'"
        )
        yield warning("meter.injects", f"{path}.profile", text)
    elif not kind.injects and meter.sign < 0 and _turns(profile):
        text = (
            f"the profile '{profile.id}' turns the sign of this make already, and 'sign: -1' turns it back: drop it, unless the "
            f"current transformers look the wrong way"
        )
        yield warning("meter.sign_twice", f"{path}.sign", text)


def _turns(profile: DeviceProfile) -> bool:
    return profile.chain is not None and "active_power" in profile.chain.turned


def check_instances(draft: Draft) -> Iterator[Problem]:
    """`meter.instance`: parts of a device that says itself what it has, or one part named twice."""
    for path, meter in draft.meters():
        if meter.instances and meter.profile == SUNSPEC:
            text = "only a device with a profile has parts: name its 'profile:', or drop the instances"
            yield error("meter.instance", f"{path}.instances[0]", text)
        for i, name in enumerate(meter.instances):
            if name in meter.instances[:i]:
                yield error("meter.instance", f"{path}.instances[{i}]", f"'{name}' is named already; each part counts once")


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (check_profiles, check_instances)
