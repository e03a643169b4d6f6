"""Checks of a site file: one function per problem code; each message says how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimctl.config.checks import (
    conditions,
    contradictions,
    control,
    devices,
    harmonics,
    islands,
    links,
    lorawan,
    lorawan_multicast,
    plausible,
    plausible_devices,
    profiles,
    ratings,
    redundancy,
    references,
    rules,
    timing,
    transfers,
    tree,
    twin,
    zigbee,
)
from mimctl.config.draft import Draft
from mimctl.model.problem import Problem

CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    *references.CHECKS,
    *tree.CHECKS,
    *ratings.CHECKS,
    *links.CHECKS,
    *lorawan.CHECKS,
    lorawan_multicast.check_multicast,
    *devices.CHECKS,
    *control.CHECKS,
    *rules.CHECKS,
    *contradictions.CHECKS,
    *conditions.CHECKS,
    *timing.CHECKS,
    *harmonics.CHECKS,
    *twin.CHECKS,
    *plausible.CHECKS,
    *plausible_devices.CHECKS,
    *profiles.CHECKS,
    *transfers.CHECKS,
    *islands.CHECKS,
    *zigbee.CHECKS,
    *redundancy.CHECKS,
)


def run_checks(draft: Draft) -> Iterator[Problem]:
    """Every problem of a draft, without its place in the file."""
    for check in CHECKS:
        yield from check(draft)
