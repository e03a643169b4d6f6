"""Whether a device may be written now, and whether it is worth it."""

from __future__ import annotations

from collections.abc import Sequence

from mimctl.drivers.mim_commands import Frame, Wanted
from mimctl.drivers.mim_state import CommandState
from mimctl.drivers.write_budget import BudgetStore
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

    def is_small(self, mim_map: MimMap, state: CommandState, wanted: Wanted) -> bool:
        """Whether a command changes so little that the device keeps what it has."""
        policy = mim_map.policy
        if not (policy.deadband_w or policy.deadband_var) or not state.enabled:
            return False
        return all(
            point is None or (now is not None and (value == now or abs(value - now) < band))
            for points, held, values, band in (
                (mim_map.setpoint_w, state.inject_w, wanted.inject_w, policy.deadband_w),
                (mim_map.setpoint_var, state.inject_var, wanted.inject_var, policy.deadband_var),
            )
            for point, now, value in zip(points, held, values, strict=True)
        )

    def allow(self, mim_map: MimMap, frames: Sequence[Frame]) -> None:
        """Let a command through and count it.

        Raises:
            WriteHeld: it comes too soon, or the day's writes are used up.
        """
        policy = mim_map.policy
        since_s = self._clock.monotonic_s() - self._last_s
        if frames and since_s < policy.min_interval_s:
            raise WriteHeld(self._device, f"written {since_s:.1f} s ago; it takes a command every {policy.min_interval_s:g} s")
        count, day = sum(f.persistent for f in frames), self._clock.utc().date()
        if count and policy.daily_budget is not None:
            spent = self._budget.spent(self._device, day)
            if spent + count > policy.daily_budget:
                text = f"{spent} of the day's {policy.daily_budget} writes to wearing memory are spent; this one takes {count}"
                raise WriteHeld(self._device, text)
        self.note(frames)

    def note(self, frames: Sequence[Frame]) -> None:
        """Count writes that are about to be made."""
        if frames:
            self._last_s = self._clock.monotonic_s()
        count = sum(f.persistent for f in frames)
        if count:
            self._budget.spend(self._device, self._clock.utc().date(), count)
