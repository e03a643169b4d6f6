"""The device profiles that a site names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from mimctl.config.draft import Draft
from mimctl.model.problem import Problem, error
from mimctl.model.site import SUNSPEC


def check_profiles(draft: Draft) -> Iterator[Problem]:
    """`profile.unknown`, and every problem inside the profiles that the devices name."""
    from mimctl.config.profile import check_profile, find_profile

    judged: set[str] = set()
    missing: set[str] = set()
    for path, device in chain(draft.meters(), draft.mims()):
        profile = device.profile
        if profile == SUNSPEC:
            continue
        if profile not in judged:
            judged.add(profile)
            file = find_profile(profile, beside=draft.folder)
            if file is None:
                missing.add(profile)
            else:
                yield from check_profile(file)
        if profile in missing:
            text = f"there is no device profile '{profile}': put {profile}.yaml into device_profiles/ beside the site file"
            yield error("profile.unknown", f"{path}.profile", text)


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (check_profiles,)
