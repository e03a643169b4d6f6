"""A file of faults to faults of one site, or to everything that is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np

from mimctl.config.fault_words import Targets
from mimctl.config.schema_faults import CtSwappedItem, FaultItem, FaultsFile, OfDevice
from mimctl.config.source import Document, read_document
from mimctl.config.validate import place, validate
from mimctl.config.wording import did_you_mean
from mimctl.model.errors import ConfigError
from mimctl.model.fault import Fault, FaultKind, FaultValue
from mimctl.model.link import LinkType
from mimctl.model.phases import PHASES
from mimctl.model.problem import Problem, error
from mimctl.model.site import Site

_TIMES = frozenset({"kind", "at", "until", "for_s"})
_BOOT_S = 5.0


def load_faults(path: Path, site: Site, *, start: datetime, seed: int) -> tuple[Fault, ...]:
    """The faults of a file, in its order.

    Args:
        site: what they befall.
        start: wall-clock instant at which the run begins, for times in UTC.
        seed: draws the targets of entries that name a share.

    Raises:
        ConfigError: with every problem.
    """
    faults, problems = check_faults(read_document(path), site, start=start, seed=seed)
    if problems:
        raise ConfigError(problems)
    return faults


def check_faults(document: Document, site: Site, *, start: datetime, seed: int) -> tuple[tuple[Fault, ...], list[Problem]]:
    """The same for a document at hand: the faults that could be read, and every problem."""
    file, problems = validate(document, FaultsFile)
    problems = [*document.problems, *problems]
    if file is None:
        return (), problems
    reader = _Reader(site, start, seed)
    found = [reader.fault(i, item) for i, item in enumerate(file.faults)]
    problems += place(document, [*reader.problems, *_overlaps(found)])
    return tuple(fault for fault in found if fault is not None), problems


class _Reader:
    """Entries of one file against one site; collects what is wrong with them."""

    def __init__(self, site: Site, start: datetime, seed: int) -> None:
        self._start, self._seed = start, seed
        self.problems: list[Problem] = []
        self._known = {
            "mim": [m.id for m in site.mims],
            "meter": [m.id for m in site.meters],
            "transfer": [t.id for t in site.transfers if t.address is not None],
            "link": [link.id for link in site.links],
            "coordinator": [link.id for link in site.links if link.type is LinkType.ZIGBEE],
            "node": [n.id for n in site.nodes],
            "feed": [f.id for f in site.feeds],
            "zone": [z.id for z in site.zones],
        }

    def fault(self, i: int, item: FaultItem) -> Fault | None:
        """One entry as a fault; None where it is wrong."""
        before, path = len(self.problems), f"faults[{i}]"
        kind = FaultKind(item.kind)  # type: ignore[attr-defined]  # every entry of a file has one
        at_s, until_s = self._times(item, kind, path)
        targets = self._targets(item, i)
        if isinstance(item, CtSwappedItem) and len(set(item.order or PHASES)) < len(PHASES):
            self._wrong("fault.order", f"{path}.order", "must name each of L1, L2 and L3 once")
        if len(self.problems) > before:
            return None
        return Fault(kind, targets, at_s, until_s, tuple(self._values(item)))

    def _times(self, item: FaultItem, kind: FaultKind, path: str) -> tuple[float, float]:
        at_s = item.at.after(self._start)
        if at_s < 0:
            self._wrong("fault.time", f"{path}.at", f"is before the start of the run, {self._start:%Y-%m-%dT%H:%M:%S} UTC")
        if item.until is not None and item.for_s is not None:
            self._wrong("fault.time", f"{path}.for", "keep 'until' or 'for', not both")
        lasts_s = _BOOT_S if kind is FaultKind.REBOOTED and item.until is None and item.for_s is None else item.for_s
        until_s = math.inf if lasts_s is None else at_s + lasts_s
        if item.until is not None:
            until_s = item.until.after(self._start)
            if until_s <= at_s:
                self._wrong("fault.time", f"{path}.until", "must be after the beginning")
        return at_s, until_s

    def _targets(self, item: FaultItem, i: int) -> tuple[str, ...]:
        given = {key: targets for key in self._known if isinstance(targets := getattr(item, key, None), Targets)}
        if isinstance(item, OfDevice) and not given:
            self._wrong("key.missing", f"faults[{i}]", "name a 'meter' or a 'mim'")
        elif isinstance(item, OfDevice) and len(given) > 1:
            self._wrong("fault.target", f"faults[{i}]", "name meters or MIMs, not both")
        return tuple(name for key, targets in given.items() for name in self._chosen(key, targets, i))

    def _chosen(self, key: str, targets: Targets, i: int) -> list[str]:
        """Ids in the order of the site; those that do not exist are problems."""
        known = self._known[key]
        if targets.share is not None:
            count = min(len(known), max(1, round(targets.share * len(known))))
            drawn = np.random.default_rng([self._seed, i, 0x6661756C74]).permutation(len(known))[:count]
            return [known[n] for n in sorted(drawn)]
        for name in targets.ids:
            if name not in known:
                self._wrong("fault.unknown", f"faults[{i}].{key}", f"the site has no {key} '{name}'{did_you_mean(name, known)}")
        return list(targets.ids)

    def _values(self, item: FaultItem) -> Iterator[tuple[str, FaultValue]]:
        """The figures of its kind that were given or have a default."""
        for name in type(item).model_fields:
            value = getattr(item, name)
            if name in _TIMES or name in self._known or value is None:
                continue
            yield name, tuple(str(phase) for phase in value) if isinstance(value, list) else value

    def _wrong(self, code: str, path: str, message: str) -> None:
        self.problems.append(error(code, path, message))


def _overlaps(faults: list[Fault | None]) -> Iterator[Problem]:
    """Two faults of one kind on one target at one time: the end of the first would end both."""
    seen: list[tuple[int, Fault]] = []
    for i, fault in enumerate(faults):
        if fault is None:
            continue
        for j, other in seen:
            at_once = fault.kind is other.kind and fault.at_s < other.until_s and other.at_s < fault.until_s
            shared = sorted(set(fault.targets) & set(other.targets)) if at_once else []
            if shared or (at_once and not fault.targets):
                name = f" on {shared[0]}" if shared else ""
                yield error("fault.overlap", f"faults[{i}]", f"{fault.kind}{name} overlaps with entry {j + 1}: let one end first")
                break
        seen.append((i, fault))
