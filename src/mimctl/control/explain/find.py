"""Which remembered decision a question is about."""

from __future__ import annotations

from datetime import datetime, timedelta
from difflib import get_close_matches

from mimctl.control.explain.case import AboveCase, Case, Question, near
from mimctl.control.explain.words import clock, counted, seconds
from mimctl.control.past.light import SiteSolve
from mimctl.control.site_controller import SiteController
from mimctl.control.zone import ZoneController
from mimctl.model.errors import UserError

_LISTED = 12
#: the clocks of who asks and who answers may differ by this
_AHEAD = timedelta(seconds=2)


def cases_of(
    controller: SiteController, question: Question, zone: str | None = None, *, latest: bool = False, dry_run: bool = False
) -> list[Case | AboveCase]:
    """The decisions that a question is about, one for each zone.

    Args:
        zone: only this one.
        latest: the last decision of which the answers are in, whatever instant is asked for.
        dry_run: nothing is written to devices.

    Raises:
        UserError: what is asked about is not here, or nothing has been decided yet.
    """
    named = _zones(controller, question, zone)
    if not named:
        return [_above_case(controller, question, latest=latest)]
    found: list[Case | AboveCase] = [_case(controller, z, question, latest=latest, dry_run=dry_run) for z in named if len(z.memory)]
    if not found:
        raise UserError(f"{', '.join(z.id for z in named)}: no decision has been made yet")
    return found


def within_memory(cases: list[Case | AboveCase], question: Question, now: datetime) -> list[Case | AboveCase]:
    """The cases that are about the instant asked for, not about another that happens to be remembered.

    Args:
        now: no decision has been made after it.

    Raises:
        UserError: there are none: the instant is to come, or before everything that is remembered.
    """
    asked, zone = question.asked, cases[0].site.timezone
    if asked is None:
        return cases
    if asked > now + _AHEAD:
        is_now = f"it is {clock(now, zone)} now"
        raise UserError(f"{clock(asked, zone)} is to come: {is_now}; without --at the last decision is explained")
    found = [case for case in cases if asked >= case.remembered[0] - near(case)]
    if not found:
        oldest, _, count = min((case.remembered for case in cases), key=lambda remembered: remembered[0])
        begins = f"{clock(oldest, zone)}, {seconds((now - oldest).total_seconds())} ago"
        raise UserError(
            f"nothing of {clock(asked, zone)} is remembered: the memory begins at {begins} ({counted(count, 'decision')}); "
            "a restart of the service forgets"
        )
    return found


def _zones(controller: SiteController, question: Question, zone: str | None) -> list[ZoneController]:
    """Whose decisions are asked about; none = those of the site level."""
    zones = {z.id: z for z in controller.zones}
    if zone is not None and zone not in zones:
        raise UserError(unknown("zone", zone, list(zones)))
    chosen = list(zones.values()) if zone is None else [zones[zone]]
    if question.mim is not None:
        return [_one(chosen, "MIM", question.mim, [m.id for m in controller.site.mims], zone)]
    if question.node is None:
        return chosen
    every = [n.id for n in controller.site.nodes]
    if question.node in every and not any(question.node in z.layout.node_index for z in zones.values()):
        return []
    return [_one(chosen, "node", question.node, every, zone)]


def _case(controller: SiteController, zone: ZoneController, question: Question, *, latest: bool, dry_run: bool) -> Case:
    records = zone.memory.records
    i = len(records) - 1 if latest or question.asked is None else zone.memory.at(question.asked)
    if latest and i and records[i - 1].number == records[i].number - 1:
        i -= 1  # the devices' answers to this one are in
    record = records[i]
    following = records[i + 1] if i + 1 < len(records) and records[i + 1].number == record.number + 1 else None
    before = [s for s in controller.memory.records if s.now_s <= record.now_s]
    remembered = (records[0].utc, records[-1].utc, len(records))
    return Case(zone.layout.site, record, following, before[-1] if before else None, dry_run, remembered)


def _above_case(controller: SiteController, question: Question, *, latest: bool) -> AboveCase:
    memory = controller.memory
    if not len(memory):
        raise UserError(f"'{question.node}' stands above the zones, and the site level has solved nothing yet")
    solves = memory.records
    solve: SiteSolve = solves[-1 if latest or question.asked is None else memory.at(question.asked)]
    return AboveCase(controller.site, solve, (solves[0].utc, solves[-1].utc, len(solves)))


def _one(zones: list[ZoneController], what: str, name: str, every: list[str], zone: str | None) -> ZoneController:
    """The zone that has a MIM or node of this name."""
    for z in zones:
        if name in (z.layout.mim_index if what == "MIM" else z.layout.node_index):
            return z
    if name in every:
        where = f"is not in zone '{zone}'" if zone is not None else "has ports in more than one zone: nobody commands it"
        raise UserError(f"{what} '{name}' {where}")
    raise UserError(unknown(what, name, every))


def unknown(what: str, name: str, every: list[str]) -> str:
    """A name that nothing here has, and what may have been meant."""
    close = get_close_matches(name, every, n=1)
    listed = ", ".join(every[:_LISTED]) + (" …" if len(every) > _LISTED else "")
    return f"no {what} '{name}' here" + (f" (did you mean '{close[0]}'?)" if close else f"; there are: {listed}")
