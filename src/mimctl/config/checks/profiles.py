"""The device profiles that a site names, and whether they can do what the site asks of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from mimctl.config.draft import Draft
from mimctl.config.quoting import count
from mimctl.config.wording import did_you_mean
from mimctl.model.problem import Problem, Severity, error
from mimctl.model.setpoints import Failsafe, MimMap
from mimctl.model.site import SUNSPEC

if TYPE_CHECKING:
    from mimctl.config.schema_devices import MimItem
    from mimctl.model.profile import DeviceProfile


def check_profiles(draft: Draft) -> Iterator[Problem]:
    """`profile.unknown`, every problem inside the profiles that are named, and MIMs that their profile cannot command."""
    devices = [(path, device) for path, device in chain(draft.meters(), draft.mims()) if device.profile != SUNSPEC]
    if not devices:
        return  # reading profiles takes imports that a site without them need not wait for
    usable: dict[str, DeviceProfile | None] = {}
    missing: set[str] = set()
    for profile in dict.fromkeys(device.profile for _, device in devices):
        usable[profile] = yield from _judged(draft, profile, missing)
    for path, device in devices:
        if device.profile in missing:
            yield error("profile.unknown", f"{path}.profile", _unknown_text(draft, device.profile))
    for path, mim in draft.mims():
        if (found := usable.get(mim.profile)) is not None:
            yield from _commandable(path, mim, found)


def _judged(draft: Draft, profile: str, missing: set[str]) -> Generator[Problem, None, DeviceProfile | None]:
    """The problems of a profile; returns it where it has no error."""
    from mimctl.config.profile import check_profile, find_profile, load_profile

    file = find_profile(profile, beside=draft.folder)
    if file is None:
        missing.add(profile)
        return None
    problems = check_profile(file)
    yield from problems
    return None if any(p.severity is Severity.ERROR for p in problems) else load_profile(file)


def _unknown_text(draft: Draft, profile: str) -> str:
    from mimctl.config.profile import known_profiles

    hint = did_you_mean(profile, known_profiles(draft.folder))
    return f"there is no device profile '{profile}'{hint}: put {profile}.yaml into device_profiles/ beside the site file"


def _commandable(path: str, mim: MimItem, profile: DeviceProfile) -> Iterator[Problem]:
    """`mim.no_setpoints`, `mim.profile_ports`, `mim.no_failsafe`: what a profile lacks to command this MIM."""
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
    if not mim.accept_hold and any(_never_notices(m) for m in maps):
        text = (
            f"a device of the profile '{profile.id}' never notices that mimctl is gone and keeps its last setpoint for ever: "
            f"add 'accept_hold: true' where that is acceptable"
        )
        yield error("mim.no_failsafe", f"{path}.profile", text)


def _never_notices(commands: MimMap) -> bool:
    return commands.failsafe is Failsafe.NONE


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (check_profiles,)
