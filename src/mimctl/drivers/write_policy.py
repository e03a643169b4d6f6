"""Whether a device may be written now, and whether it is worth it."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from mimctl.drivers.mim_commands import Frame, Wanted
from mimctl.drivers.mim_state import CommandState
from mimctl.drivers.write_budget import ALL_SPENT, BudgetStore
from mimctl.model.clock import Clock
from mimctl.model.errors import WriteHeld
from mimctl.model.setpoints import MimMap


class PolicyKeeper:
    """Remembers the writes of one device. The policy itself stands in its map."""

    def __init__(self, device: str, clock: Clock, budget: BudgetStore) -> None:
        self._device = device
        self._clock = clock
        self._budget = budget
        self._last_s = -float("inf")
        self._log = structlog.get_logger("mimctl.write_policy")

    def is_small(self, mim_map: MimMap, state: CommandState, wanted: Wanted) -> bool:
        """Whether a command changes so little that the device keeps what it has."""
        policy = mim_map.policy
        if not (policy.deadband_w or policy.deadband_var) or not state.enabled or wanted.harmonics is not None:
            return False
        return all(
            point is None or (now is not None and (value == now or abs(value - now) < band))
            for points, held, values, band in (
                (mim_map.setpoint_w, state.inject_w, wanted.inject_w, policy.deadband_w),
                (mim_map.setpoint_var, state.inject_var, wanted.inject_var, policy.deadband_var),
            )
            for point, now, value in zip(points, held, values, strict=True)
        )

    def allow(self, mim_map: MimMap, state: CommandState, frames: Sequence[Frame]) -> None:
        """Let a command through and count it. One that asks less of every port is let through whatever the policy says: to be
        kept from driving less is never safe.

        Raises:
            WriteHeld: it comes too soon, or the day's writes are used up.
        """
        if _shrinks(state, frames):
            self.note(frames)
            return
        policy = mim_map.policy
        since_s = self._clock.monotonic_s() - self._last_s
        if frames and since_s < policy.min_interval_s:
            text = f"written {since_s:.1f} s ago; it takes a command every {policy.min_interval_s:g} s"
            raise WriteHeld(self._device, text, passing=True)
        count = sum(f.persistent for f in frames)
        if count and policy.daily_budget is not None:
            self._check_budget(count, policy.daily_budget, _reserve(mim_map, policy.daily_budget))
        try:
            self._count(frames)
        except OSError as error:
            raise WriteHeld(self._device, f"a write to wearing memory cannot be recorded: {error}") from error

    def _check_budget(self, count: int, budget: int, reserve: int) -> None:
        spent = self._budget.spent(self._device, self._clock.utc().date())
        if spent >= ALL_SPENT:
            text = "the record of writes to wearing memory was unreadable: the day's writes count as spent"
            raise WriteHeld(self._device, text)
        if spent + count > budget - reserve:
            kept = f", {reserve} are kept for bringing it to zero" if reserve else ""
            text = f"{spent} of the day's {budget} writes to wearing memory are spent{kept}; this one takes {count}"
            raise WriteHeld(self._device, text)

    def note(self, frames: Sequence[Frame]) -> None:
        """Count writes that are made whatever the policy says; a record that cannot be kept does not stop them."""
        try:
            self._count(frames)
        except OSError as error:
            self._log.error("a write to wearing memory could not be recorded", device=self._device, error=str(error))

    def _count(self, frames: Sequence[Frame]) -> None:
        count = sum(f.persistent for f in frames)
        if count:
            self._budget.spend(self._device, self._clock.utc().date(), count)
        if frames:
            self._last_s = self._clock.monotonic_s()


def _reserve(mim_map: MimMap, budget: int) -> int:
    """Writes that are kept for giving the device back; of a small budget a quarter at most [registers]."""
    return min(sum(c.persistent for c in mim_map.commands), budget // 4)


def _shrinks(state: CommandState, frames: Sequence[Frame]) -> bool:
    """Whether every port that is in force is left between zero and where it stands, and one of them nearer to zero."""
    after = state
    for frame in frames:
        after = frame.after(after)
    pairs = [*zip(state.inject_w, after.inject_w, strict=True), *zip(state.inject_var, after.inject_var, strict=True)]
    pairs = [(was, will) for was, will in pairs if was is not None or will is not None]
    known = [(was, will) for was, will in pairs if was is not None and will is not None]
    smaller = all(min(was, 0.0) <= will <= max(was, 0.0) for was, will in known)
    return state.enabled and len(known) == len(pairs) and smaller and any(was != will for was, will in known)
