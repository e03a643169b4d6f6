"""Explanations on request: finds the decision that is asked about, and has it explained in another process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import sys
from collections.abc import Mapping
from typing import Any

import structlog

from mimctl.control.explain.case import AboveCase, Case, Question
from mimctl.control.explain.find import cases_of, within_memory
from mimctl.control.site_controller import SiteController
from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.service.instants import instant_of

#: an explanation that takes longer is given up [s]
WITHIN_S = 60.0
_WORKER = "mimctl.service.explain_worker"


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
        cases = cases_of(self._controller, question, _word(request, "zone"), latest=at is None, dry_run=self._dry_run)
        cases = within_memory(cases, question, now)
        if self._busy.locked():
            raise UserError("another explanation is being worked out; ask again in a moment")
        async with self._busy:
            return {"site": self._controller.site.id, "answers": await self._explained(cases, question)}

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


def _word(request: Mapping[str, Any], key: str) -> str | None:
    value = request.get(key)
    if value is not None and not isinstance(value, str):
        raise UserError(f"{key} is a word")
    return value
