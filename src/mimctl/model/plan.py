"""What the solve wants, and what the judge lets through."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mimctl.model.island import FormOrder
from mimctl.model.layout import BoolArray, FloatArray, IntArray
from mimctl.model.reason import Reason

#: in the place of orders: the device has no filter
NO_FILTER = -1


@dataclass(frozen=True, slots=True, eq=False)
class HarmonicShares:
    """How much of the harmonic current of its own node each port compensates.

    Args:
        share: (K,) fraction, 0 to 1; NaN where the port cannot filter
        orders: (K,) bits of the orders it applies to, as `model.harmonics.order_bits` has them; of shares in force −1 where the
            device was found to have no filter, whatever the site file says
    """

    share: FloatArray
    orders: IntArray


class SolveStatus(StrEnum):
    SOLVED = "solved"
    ALMOST = "almost_solved"
    FAILED = "failed"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class ActiveConstraint:
    """A limit that shaped the plan. `price`: gain in objective per unit of relief [1/VA or 1/A]."""

    where: str
    kind: str
    price: float


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Setpoints of every port, as the optimiser wants them; injection positive.

    Args:
        inject_w: (K,) [W]
        inject_var: (K,) [var]
        objective: value of the program at the solution [dimensionless]
        gap: relative duality gap
        active: limits that bind
        deadband_a: smaller moves than this need not be written [A]
        dwell_s: a setpoint stands at least so long, if nothing presses [s]
        harmonics: shares of the harmonic filters; None where no MIM has one
        failed: (M,) MIMs whose latency class could not be solved though others could: their setpoints stand; None = nobody
        mim_at_once: (M,) MIMs that neither deadband nor dwell keeps back; None = nobody
    """

    inject_w: FloatArray
    inject_var: FloatArray
    status: SolveStatus
    objective: float
    gap: float
    iterations: int
    solve_s: float
    active: tuple[ActiveConstraint, ...] = ()
    deadband_a: float = 0.0
    dwell_s: float = 0.0
    harmonics: HarmonicShares | None = None
    failed: BoolArray | None = None
    mim_at_once: BoolArray | None = None


class Verdict(StrEnum):
    ACCEPTED = "accepted"
    SCALED = "scaled"
    REFUSED = "refused"
    EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the judge did to one MIM, and why."""

    mim: str
    verdict: Verdict
    reason: Reason


@dataclass(frozen=True, slots=True, eq=False)
class SafePlan:
    """Setpoints that may be written. Only `safety.judge` makes one.

    Args:
        inject_w, inject_var: (K,) setpoints in force after this plan [W, var]
        send: (M,) the MIM gets these setpoints now
        refresh: (M,) the MIM's setpoints stand; its validity is refreshed
        release: (M,) the MIM is to be brought to its safe state
        judgements: every clamp and refusal, in the order of `site.mims`
        judged_at_s: monotonic [s]
        harmonics: shares in force after this plan, inside the rms rating of every port; None where no MIM has a filter
        forms: MIMs that form a bus from now on, or go on with it; none of the three above holds for them
    """

    inject_w: FloatArray
    inject_var: FloatArray
    send: BoolArray
    refresh: BoolArray
    release: BoolArray
    judgements: tuple[Judgement, ...]
    judged_at_s: float
    harmonics: HarmonicShares | None = None
    forms: tuple[FormOrder, ...] = ()
