"""Loads of the digital twin."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimctl.config.checks.repeats import repeats
from mimctl.config.draft import Draft
from mimctl.config.wording import did_you_mean
from mimctl.model.problem import Problem, error


def check_load_phases(draft: Draft) -> Iterator[Problem]:
    """`load.phase_missing`: a load on a phase that its node lacks."""
    for path, load in draft.loads():
        supply = draft.tree.supply.get(load.node)
        lacking = supply.missing(load.connection) if supply is not None else ()
        if supply is not None and lacking:
            text = f"'{load.node}' has {' '.join(supply.phases)} only, the load needs {' '.join(lacking)}"
            yield error("load.phase_missing", f"{path}.connection", text)


def check_load_neutrals(draft: Draft) -> Iterator[Problem]:
    """`load.no_neutral`: a single-phase load where there is no neutral."""
    for path, load in draft.loads():
        supply = draft.tree.supply.get(load.node)
        if supply is not None and not supply.neutral and load.connection.uses_neutral:
            text = f"'{load.node}' has no neutral: connect the load line to line (L1L2, L2L3, L3L1) or 3ph"
            yield error("load.no_neutral", f"{path}.connection", text)


def check_columns(draft: Draft) -> Iterator[Problem]:
    """`load.column_twice`: one trace column for two loads would count its power twice."""
    for path, column, first in repeats((path, load.column, load.node) for path, load in draft.loads()):
        yield error("load.column_twice", f"{path}.column", f"the column '{column}' already drives the load at '{first}'")


def check_power_factors(draft: Draft) -> Iterator[Problem]:
    """`load.power_factor`: so low that the load is all reactive power."""
    for path, load in draft.loads():
        if abs(load.power_factor) < 0.1:
            text = f"{load.power_factor:g} makes almost all of it reactive power; give 0.1 to 1, negative where capacitive"
            yield error("load.power_factor", f"{path}.power_factor", text)


def check_spectra(draft: Draft) -> Iterator[Problem]:
    """`load.spectrum`: a harmonic spectrum that nobody described."""
    twin = draft.data.get("twin")
    raw = twin.get("spectra") if isinstance(twin, dict) else None
    known = set(raw) if isinstance(raw, dict) else set()
    for path, load in draft.loads():
        if load.spectrum is not None and load.spectrum not in known:
            text = f"unknown spectrum '{load.spectrum}'{did_you_mean(load.spectrum, known)}; describe it under twin.spectra"
            yield error("load.spectrum", f"{path}.spectrum", text)


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    check_load_phases,
    check_load_neutrals,
    check_columns,
    check_power_factors,
    check_spectra,
)
