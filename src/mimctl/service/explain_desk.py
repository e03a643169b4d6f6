"""Explanations on request: finds the decision that is asked about, and has it explained in another process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import structlog

from mimctl.control.explain.case import AboveCase, Case, Question
from mimctl.control.light import SiteSolve
from mimctl.control.site_controller import SiteController
from mimctl.control.zone import ZoneController
from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.service.instants import instant_of

#: an explanation that takes longer is given up [s]
WITHIN_S = 60.0
_WORKER = "mimctl.service.explain_worker"
_LISTED = 12


class ExplainDesk:
    """Speaks for the memory of one running site. Explains one thing at a time: the cycles have the machine first."""

    def __init__(self, controller: SiteController, clock: Clock, *, dry_run: bool = False) -> None:
        self._controller, self._clock, self._dry_run = controller, clock, dry_run
        self._busy = asyncio.Lock()
        self._log = structlog.get_logger("mimctl.explain")

    async def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A request that came through the door: `mim`, `node` or `zone` by id, `at` as text; each may be missing.

        Raises:
            UserError: something in it is wrong, or there is nothing to explain.
        """
        now = self._clock.utc()
        at = _word(request, "at")
        asked = now if at is None else instant_of(at, now, self._controller.site.timezone)
        question = Question(_word(request, "mim"), _word(request, "node"), asked)
        if question.mim is not None and question.node is not None:
            raise UserError("ask about a MIM or about a node, not both at once")
        cases = self._cases(question, _word(request, "zone"), latest=at is None)
        if self._busy.locked():
            raise UserError("another explanation is being worked out; ask again in a moment")
        async with self._busy:
            return {"site": self._controller.site.id, "answers": await self._explained(cases, question)}

    def _cases(self, question: Question, zone: str | None, *, latest: bool) -> list[Case | AboveCase]:
        named = self._zones(question, zone)
        if not named:
            return [self._above_case(question, latest=latest)]
        found: list[Case | AboveCase] = [self._case(z, question, latest=latest) for z in named if len(z.memory)]
        if not found:
            raise UserError(f"{', '.join(z.id for z in named)}: no decision has been made yet")
        return found

    def _zones(self, question: Question, zone: str | None) -> list[ZoneController]:
        """Whose decisions are asked about; none = those of the site level."""
        zones = {z.id: z for z in self._controller.zones}
        if zone is not None and zone not in zones:
            raise UserError(_unknown("zone", zone, list(zones)))
        chosen = list(zones.values()) if zone is None else [zones[zone]]
        if question.mim is not None:
            return [_one(chosen, "MIM", question.mim, [m.id for m in self._controller.site.mims], zone)]
        if question.node is None:
            return chosen
        every = [n.id for n in self._controller.site.nodes]
        if question.node in every and not any(question.node in z.layout.node_index for z in zones.values()):
            return []
        return [_one(chosen, "node", question.node, every, zone)]

    def _case(self, zone: ZoneController, question: Question, *, latest: bool) -> Case:
        records = zone.memory.records
        i = len(records) - 1 if latest or question.asked is None else zone.memory.at(question.asked)
        if latest and i and records[i - 1].number == records[i].number - 1:
            i -= 1  # the devices' answers to this one are in
        record = records[i]
        following = records[i + 1] if i + 1 < len(records) and records[i + 1].number == record.number + 1 else None
        before = [s for s in self._controller.memory.records if s.now_s <= record.now_s]
        remembered = (records[0].utc, records[-1].utc, len(records))
        return Case(zone.layout.site, record, following, before[-1] if before else None, self._dry_run, remembered)

    def _above_case(self, question: Question, *, latest: bool) -> AboveCase:
        memory = self._controller.memory
        if not len(memory):
            raise UserError(f"'{question.node}' stands above the zones, and the site level has solved nothing yet")
        solves = memory.records
        solve: SiteSolve = solves[-1 if latest or question.asked is None else memory.at(question.asked)]
        return AboveCase(self._controller.site, solve, (solves[0].utc, solves[-1].utc, len(solves)))

    async def _explained(self, cases: list[Case | AboveCase], question: Question) -> list[dict[str, Any]]:
        """Have it worked out beside the service.

        Raises:
            UserError: it could not be, in time or at all.
        """
        given = await asyncio.to_thread(pickle.dumps, (cases, question))
        pipe = asyncio.subprocess.PIPE
        worker = await asyncio.create_subprocess_exec(sys.executable, "-m", _WORKER, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            async with asyncio.timeout(WITHIN_S):
                told, errors = await worker.communicate(given)
        except TimeoutError:
            raise UserError(f"the explanation was not ready within {WITHIN_S:g} s") from None
        finally:
            if worker.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    worker.kill()
                await worker.wait()
        if worker.returncode != 0:
            last = errors.decode(errors="replace").strip().splitlines()[-1:]
            self._log.error("an explanation failed", code=worker.returncode, error=errors.decode(errors="replace")[-2000:])
            raise UserError(f"the explanation failed: {' '.join(last) or f'exit code {worker.returncode}'}")
        found: list[dict[str, Any]] = json.loads(told)
        return found


def _one(zones: list[ZoneController], what: str, name: str, every: list[str], zone: str | None) -> ZoneController:
    """The zone that has a MIM or node of this name."""
    for z in zones:
        if name in (z.layout.mim_index if what == "MIM" else z.layout.node_index):
            return z
    if name in every:
        where = f"is not in zone '{zone}'" if zone is not None else "has ports in more than one zone: nobody commands it"
        raise UserError(f"{what} '{name}' {where}")
    raise UserError(_unknown(what, name, every))


def _unknown(what: str, name: str, every: list[str]) -> str:
    close = get_close_matches(name, every, n=1)
    listed = ", ".join(every[:_LISTED]) + (" …" if len(every) > _LISTED else "")
    return f"no {what} '{name}' here" + (f" (did you mean '{close[0]}'?)" if close else f"; there are: {listed}")


def _word(request: Mapping[str, Any], key: str) -> str | None:
    value = request.get(key)
    if value is not None and not isinstance(value, str):
        raise UserError(f"{key} is a word")
    return value
