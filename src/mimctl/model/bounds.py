"""What the coming plan may do: made before the solve out of ratings, state, rules and leases."""

from __future__ import annotations

from dataclasses import dataclass

from mimctl.model.layout import BoolArray, ComplexArray, FloatArray
from mimctl.model.reason import Reason


@dataclass(frozen=True, slots=True)
class Restriction:
    """One narrowing, so that it can be explained. `where` is a node, MIM or port path."""

    where: str
    reason: Reason


@dataclass(frozen=True, slots=True, eq=False)
class UpstreamPrice:
    """What the site level tells a zone about the grid above one of its heads.

    The zone adds gᵀ(y − y0) + ½(y − y0)ᵀC(y − y0), y being its head's net import as (p1, q1, p2, q2, p3, q3) [W, var].

    Args:
        gradient: (6,) g [1/W]
        curvature: (6, 6) C, positive semidefinite [1/W²]
        at: (6,) y0 [W, var]
        expires_at_s: monotonic [s]
    """

    gradient: FloatArray
    curvature: FloatArray
    at: FloatArray
    expires_at_s: float


@dataclass(frozen=True, slots=True, eq=False)
class HarmonicBounds:
    """What the harmonic filters may do now, and what they are asked for beyond the nodes' own limits.

    Args:
        share_max: (K,) greatest share of the harmonic current that a port compensates
        reserve_max: (K,) greatest part of a port's rating that is kept from the fundamental while a limit is passed
        thd_v_pct, tdd_pct: (N,) limits, NaN = as the node's own; the tighter of the two holds [%]
    """

    share_max: FloatArray
    reserve_max: FloatArray
    thd_v_pct: FloatArray
    tdd_pct: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Limits and targets of one solve.

    Args:
        mim_enabled: (M,) False: the MIM gets no setpoint and its present output counts as given.
        mim_release: (M,) the MIM is to be given back: no rule wants it now, or it does not follow its setpoints; None = nobody.
        port_s_max_va: (K,) |p + jq| ≤ it [VA]
        mim_neutral_max_a: (M,) neutral current of the MIM's own single-phase ports [A]; inf where it has none
        mim_dc_w: (M,) storage discharge less losses that Σp of the MIM must equal [W]
        step_max_va: (K,) largest change from the last accepted setpoint [VA]; inf = free
        node_limit_a: (N, 3) phase current for hours [A]; at a node without a meter: of what is known to pass through it
        node_neutral_limit_a: (N,) likewise [A]; inf where there is none
        head_min_import_w: (H,) least net import per phase of each head, in the order of `layout.heads` [W]; −inf = free
        weights: (N,) control weight of each node, ω × the rules' factors
        deadband_a: smaller moves of a setpoint are not written; while it is moving, half as much is enough [A]
        dwell_s: a setpoint stands at least so long, unless the move is large or a limit is near [s]
        restrictions: why anything is narrower than the ratings
        port_pinned_va: (K,) complex setpoint that somebody wants at a port for now, NaN = left to the solve; None = no port [VA]
        harmonics: for the filters; None = as the site says
        mim_locked: (M,) kept at the safe state by a rule of the site, whoever but an operator wants a setpoint; None = nobody
        upstream: price of the grid above each head, in the order of `layout.heads`; None where nothing stands above
        mim_at_once: (M,) somebody waits for what the MIM does: neither deadband nor dwell keeps it back; None = nobody
    """

    mim_enabled: BoolArray
    port_s_max_va: FloatArray
    mim_neutral_max_a: FloatArray
    mim_dc_w: FloatArray
    step_max_va: FloatArray
    node_limit_a: FloatArray
    node_neutral_limit_a: FloatArray
    head_min_import_w: FloatArray
    weights: FloatArray
    mim_release: BoolArray | None = None
    deadband_a: float = 0.0
    dwell_s: float = 0.0
    restrictions: tuple[Restriction, ...] = ()
    upstream: tuple[UpstreamPrice | None, ...] = ()
    port_pinned_va: ComplexArray | None = None
    harmonics: HarmonicBounds | None = None
    mim_locked: BoolArray | None = None
    mim_at_once: BoolArray | None = None
