"""A site file to a site, or to everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from mimctl.config.build import build_site
from mimctl.config.checks import run_checks
from mimctl.config.draft import Draft, whole
from mimctl.config.salvage import salvage
from mimctl.config.schema import SiteFile
from mimctl.config.source import Document, read_document
from mimctl.config.units import DIMENSIONS
from mimctl.config.validate import place, validate
from mimctl.model.errors import ConfigError
from mimctl.model.problem import Problem, Severity
from mimctl.model.site import Site

#: warnings that something reaches nothing, and the parts of the file by which it would
_REACH_NOTHING = ("rule.no_mim", "rule.no_effect", "mim.no_zone", "redundant.zone_split")
_REACHED = ("feeds", "nodes", "mims", "batteries", "zones")
_SUFFIXES = tuple({dimension.suffix for dimension in DIMENSIONS})


def load_site(path: Path) -> Site:
    """The site of a file.

    Raises:
        ConfigError: with every problem of severity error.
    """
    site, problems = check_site(path)
    if site is None:
        raise ConfigError([p for p in problems if p.severity is Severity.ERROR])
    return site


def check_site(path: Path) -> tuple[Site | None, list[Problem]]:
    """Judge a site file.

    Returns:
        The site, None where there is an error; and every problem, those of the site file first, in the order of its lines.
    """
    return check_document(read_document(path))


def check_document(document: Document) -> tuple[Site | None, list[Problem]]:
    """The same for a document at hand; what it refers to is looked for beside its path."""
    path = document.path
    file, shape = validate(document, SiteFile)
    if file is not None:
        draft: Draft | None = whole(file, document.data, path.parent)
    else:
        draft = salvage(document.data, path.parent)
    found = [*document.problems, *shape]
    if draft is not None:
        wrong = {problem.path for problem in shape}
        # a key whose shape is wrong already has its problem
        found += [p for p in placed(document, run_checks(draft)) if p.path not in wrong or p.file != str(path)]
    found = without_consequences(found)
    found.sort(key=order_in(path))
    usable = draft is not None and file is not None and not any(p.severity is Severity.ERROR for p in found)
    return (build_site(draft, path) if draft is not None and usable else None), found


def without_consequences(problems: Sequence[Problem]) -> list[Problem]:
    """Without warnings that something reaches nothing, as long as an error elsewhere may be all the reason.

    "It acts on no battery: drop it" would be bad advice where the MIM of the battery has a misspelt port.
    """
    errors = [p.path for p in problems if p.severity is Severity.ERROR]
    wrong = any(path.partition("[")[0] in _REACHED for path in errors)
    return [
        p
        for p in problems
        if p.severity is Severity.ERROR
        or p.code not in _REACH_NOTHING
        or not (wrong or any(path.startswith(f"{p.path}.") for path in errors))
    ]


def order_in(path: Path) -> Callable[[Problem], tuple[bool, str, int, int]]:
    """Sorting key: the problems of the site file first, each file in the order of its lines."""
    return lambda p: (p.file != str(path), p.file, p.line, p.column)


def placed(document: Document, problems: Iterable[Problem]) -> list[Problem]:
    """Problems of a site with their places in its file, and with quantities spelt as the file spells them."""
    return place(document, [p if p.line else replace(p, path=_as_spelt(document, p.path)) for p in problems])


def _as_spelt(document: Document, path: str) -> str:
    if document.has(path):
        return path
    for suffix in _SUFFIXES:
        short = path.removesuffix(suffix)
        if short != path and document.has(short):
            return short
        if document.has(path + suffix):
            return path + suffix
    return path
