"""What one cycle leaves behind: seen, wanted, limited, sent, and (with the next cycle) what came back."""

from __future__ import annotations

from dataclasses import dataclass

from mimctl.model.bounds import Bounds
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import ComplexArray, FloatArray
from mimctl.model.plan import Plan, SafePlan
from mimctl.model.reason import Reason
from mimctl.model.report import SiteReport
from mimctl.model.state import SiteState


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """One attempt to write to one MIM.

    Args:
        kind: `setpoint`, `refresh` or `release`.
        error: None when the device took it.
        held: the device's write policy kept the command back, not a fault: `soon` lets it through by itself, `budget` not today.
        skipped: a dry run: nothing was attempted.
    """

    mim: str
    kind: str
    reason: Reason
    error: str | None = None
    skipped: bool = False
    held: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DecisionRecord:
    """One whole walk of the data.

    Args:
        report: what decisions need; ratios, headroom and distortion are worked out when somebody looks.
        durations_s: seconds spent by stage: collect, estimate, analysis, forecast, bounds, balance, judge, dispatch.
        anchor_va: (K,) the plan that this one moved on from [VA]; None = not kept.
        setpoint_va: (K,) setpoints in force before, NaN = not known [VA]; None = not kept.
        gain: (M,) share of each move that was made at once; None = all of every move.
    """

    number: int
    zone: str
    state: SiteState
    report: SiteReport
    forecast: LoadForecast
    bounds: Bounds
    plan: Plan
    safe_plan: SafePlan
    outcomes: tuple[WriteOutcome, ...]
    durations_s: tuple[tuple[str, float], ...]
    anchor_va: ComplexArray | None = None
    setpoint_va: ComplexArray | None = None
    gain: FloatArray | None = None
