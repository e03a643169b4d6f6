"""What the analysis says about a site image."""

from __future__ import annotations

from dataclasses import dataclass

from mimctl.model.layout import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class SiteReport:
    """Per node; NaN = unknown or gated (too little current for a ratio to mean anything). Shapes (N,) unless said.

    Args:
        known: (N,) the node's P and Q are measured and usable
        current_a: (N, 3) rms phase currents [A]
        i1_a, i2_a, i0_a: sequence currents [A]
        i2_i1, i0_i1: ratios, NaN below the gate current
        neutral_a: neutral current, triplen harmonics included where known [A]
        vuf2_pct, vuf0_pct: |U2|/|U1|, |U0|/|U1| [%]
        unbalance_nema_pct: largest deviation of a phase current from the mean / mean [%]
        headroom_firm_a, headroom_n1_a, headroom_assisted_a: (N, 3) limit less current with all MIMs at their expiry
            action, with the most helpful MIM lost, and as it is now [A]; NaN on phases that the node lacks
        loading_pct: largest phase current / limit for hours [%]
        concentration_pct: share of the node's load on its fullest phase [%]
        failover_headroom_a: (N, 3) limit less the current when the other feed is lost: where the site names redundant nodes, at
            those and all above them; else heads only, with every other head's load on this one; NaN elsewhere [A]
        thd_v_pct, thd_i_pct, tdd_pct: (N, 3)
        node_objective: (N,) 3(|I0|² + |I2|²)/I_rated²
        objective: reported J of the site, Σ ω·node_objective / Σ ω over the known nodes; NaN if none is known
        lvur_nema_pct: line voltage unbalance rate of NEMA MG-1, from line-to-line voltages [%]
        pvur_ieee112_pct, pvur_ieee936_pct: phase voltage unbalance by either definition of IEEE, from line-to-neutral voltages [%]
        thd_v_limit_pct, tdd_limit_pct: limits of the site file and the standards, NaN = not limited [%]
    """

    known: BoolArray
    current_a: FloatArray
    i1_a: FloatArray
    i2_a: FloatArray
    i0_a: FloatArray
    i2_i1: FloatArray
    i0_i1: FloatArray
    neutral_a: FloatArray
    vuf2_pct: FloatArray
    vuf0_pct: FloatArray
    unbalance_nema_pct: FloatArray
    headroom_firm_a: FloatArray
    headroom_n1_a: FloatArray
    headroom_assisted_a: FloatArray
    failover_headroom_a: FloatArray
    loading_pct: FloatArray
    concentration_pct: FloatArray
    thd_v_pct: FloatArray
    thd_i_pct: FloatArray
    tdd_pct: FloatArray
    node_objective: FloatArray
    objective: float
    lvur_nema_pct: FloatArray | None = None
    pvur_ieee112_pct: FloatArray | None = None
    pvur_ieee936_pct: FloatArray | None = None
    thd_v_limit_pct: FloatArray | None = None
    tdd_limit_pct: FloatArray | None = None
