"""What the judge may be told, beyond the site itself, and what it knows of the devices."""

from __future__ import annotations

from dataclasses import dataclass

from mimctl.model.layout import BoolArray, ComplexArray, FloatArray
from mimctl.model.plan import HarmonicShares


@dataclass(frozen=True, slots=True)
class SafetySettings:
    """Figures of the judge.

    Args:
        resolution: one register unit of a setpoint [W, var]; setpoints are rounded towards zero to whole units.
        max_data_age_s: no new setpoint on older data [s]; None = as the site file says. A controller that runs slower than
            the site file's limit gives its own.
        release_age_factor: data older than this many times `max_data_age_s` releases the MIM.
        future_s: a sample dated further ahead than this is not believed [s].
        answer_s: what a MIM reported sooner than this after a new setpoint says nothing about it [s].
        dead_bus_pu: below this share of nominal voltage a bus counts as dead.
        proven_dead_pu: above this share a bus counts as alive where it must be proven dead.
        meter_tolerance: share of a limit that the measured picture may be off before it clamps; the forecast one has none.
        backwards_share: a load that feeds back more than this share of its node's limit is none: its meter is wrong.
        margin_share: an estimated flow is good enough to command on where it is known within this share of its node's limit.
        moving_cycles: a setpoint that changed within so many cycles is moving.
        large_move: a change of this share of a port's rating does not wait for the dwell.
        passes: rounds of scaling single overloads before all MIMs are scaled together.
    """

    resolution: float = 1.0
    max_data_age_s: float | None = None
    release_age_factor: float = 3.0
    future_s: float = 1.0
    answer_s: float = 0.1
    dead_bus_pu: float = 0.5
    proven_dead_pu: float = 0.1
    meter_tolerance: float = 0.005
    backwards_share: float = 0.05
    margin_share: float = 0.2
    moving_cycles: float = 3.0
    large_move: float = 0.2
    passes: int = 6

    def __post_init__(self) -> None:
        if not (self.resolution > 0 and self.release_age_factor >= 1 and 0 < self.proven_dead_pu < self.dead_bus_pu < 1):
            raise ValueError(f"safety settings out of range: {self}")


@dataclass(frozen=True, slots=True, eq=False)
class Forming:
    """What is known of form mode at the devices; shapes (M,).

    Args:
        since_s: monotonic instant when it was told to form a bus, inf = it was not, or has ended [s]
        ended_s: monotonic instant when it last ended, −inf = never in our time [s]
        able: it has told that it has a form mode
    """

    since_s: FloatArray
    ended_s: FloatArray
    able: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class Accepted:
    """What is in force at the devices by our knowledge: the last safe plan, as far as it was written.

    Args:
        setpoint_va: (K,) last accepted and written, zero where released or never told; NaN = not known [VA]
        written_at_s: (M,) monotonic instant of the last write, −inf = never [s]
        changed_at_s: (M,) monotonic instant of the last write of another setpoint, −inf = before our time [s]; None = as
            `written_at_s`. Heartbeats renew the one, not the other.
        harmonics: shares in force, NaN = not known; None = every filter is silent.
        forming: who forms a bus; None = nobody can.
    """

    setpoint_va: ComplexArray
    written_at_s: FloatArray
    changed_at_s: FloatArray | None = None
    harmonics: HarmonicShares | None = None
    forming: Forming | None = None
