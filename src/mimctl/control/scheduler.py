"""The site's schedule on the wall clock: the only file that knows APScheduler.

The zone cycle is not here: it runs on the monotonic deadline loop. What is here may be late or lost without harm, and a
misfire is counted, never made up for in a burst.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, timedelta

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from mimctl.control.events import EventLog
from mimctl.model.clock import Clock
from mimctl.model.problem import Severity

#: a larger jump between the wall clock and the monotonic one is a step
_STEP_S = 2.0


class Schedule:
    """Periodic jobs of one service.

    Args:
        clock: its wall clock is watched for steps: after one, every job is re-armed on its period from now.
        events: are told of a job that fails, until it runs well again.
    """

    def __init__(self, clock: Clock, events: EventLog) -> None:
        self._clock = clock
        self._events = events
        self._offset_s = self._wall_less_monotonic_s()
        self._periods: dict[str, timedelta] = {}
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_listener(self._told, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_ERROR)
        self._scheduler.add_listener(self._ran, EVENT_JOB_EXECUTED)
        self._log = structlog.get_logger("mimctl.schedule")
        self.runs: dict[str, int] = {}
        self.misses = 0
        self.errors = 0
        self.clock_steps = 0

    def every(self, period_s: float, name: str, job: Callable[[], Awaitable[None]], *, first_in_s: float | None = None) -> None:
        """Run `job` each period; one at a time, a backlog shrinks to one run.

        Args:
            first_in_s: when it runs first, from now; None = after one period [s].
        """
        self._periods[name] = timedelta(seconds=period_s)
        self.runs[name] = 0
        self._scheduler.add_job(
            job,
            IntervalTrigger(seconds=period_s, timezone=UTC),
            id=name,
            next_run_time=self._clock.utc() + timedelta(seconds=period_s if first_in_s is None else min(first_in_s, period_s)),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=max(1, round(period_s)),
        )

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def watch_clock(self) -> None:
        """Call at least each few seconds: notices a step of the wall clock and re-arms every job."""
        offset_s = self._wall_less_monotonic_s()
        step_s, self._offset_s = offset_s - self._offset_s, offset_s
        if abs(step_s) < _STEP_S:
            return
        self.clock_steps += 1
        self._log.warning("the wall clock stepped; the schedule is re-armed", step_s=round(step_s, 1))
        now = self._clock.utc()
        for name, period in self._periods.items():
            trigger = IntervalTrigger(seconds=period.total_seconds(), start_date=now + period, timezone=UTC)
            self._scheduler.modify_job(name, trigger=trigger, next_run_time=now + period)

    def _wall_less_monotonic_s(self) -> float:
        return self._clock.utc().timestamp() - self._clock.monotonic_s()

    def _ran(self, event: JobEvent) -> None:
        self.runs[event.job_id] += 1
        self._events.clear("schedule.failed", event.job_id)

    def _told(self, event: JobEvent) -> None:
        if event.code == EVENT_JOB_ERROR:
            self.errors += 1
            error = getattr(event, "exception", None)
            self._log.error("scheduled job failed", job=event.job_id, error=repr(error), exc_info=error)
            text = f"the job {event.job_id} failed, and is tried again in its time: {error!r}"
            self._events.raise_("schedule.failed", Severity.ERROR, event.job_id, text)
        else:
            self.misses += 1
            self._log.warning("scheduled job missed its time", job=event.job_id)
