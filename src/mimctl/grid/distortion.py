"""Harmonic currents at the nodes, out of what their meters tell beside P and Q."""

from __future__ import annotations

import numpy as np

from mimctl.model.layout import ComplexArray, FloatArray
from mimctl.model.state import NodeState

#: a distortion beyond this is a near-zero fundamental, and counts as this [%]
_HIGHEST_THD_PCT = 1000.0


def tells_of_harmonics(nodes: NodeState) -> bool:
    """Whether any meter tells something that harmonics can be worked out of, or told it before its node was estimated."""
    if nodes.harmonic_a is not None:
        return True
    return not (np.isnan(nodes.thd_i_pct).all() and np.isnan(nodes.neutral_a).all())


def harmonic_squares(nodes: NodeState, fundamental_a: ComplexArray) -> tuple[FloatArray, FloatArray]:
    """Squares of rms harmonic currents: rms² = I1² + Ih² with Ih = THD·I1; the neutral's are what no fundamental explains.

    Estimated nodes keep those that they had when they were last read.

    Args:
        fundamental_a: (N, 3) phase currents by P and Q, as phasors or their conjugates [A].

    Returns:
        (N, 3) of the phases and (N,) of the neutral [A²]; NaN where not known.
    """
    thd = np.minimum(nodes.thd_i_pct, _HIGHEST_THD_PCT) / 100
    rms_a = np.where(np.isnan(nodes.current_a), np.abs(fundamental_a), nodes.current_a)
    phases, neutral = (rms_a * thd) ** 2 / (1 + thd**2), nodes.neutral_a**2 - np.abs(fundamental_a.sum(axis=1)) ** 2
    if nodes.harmonic_a is None:
        return phases, neutral
    return np.fmax(phases, nodes.harmonic_a[:, :3] ** 2), np.fmax(neutral, nodes.harmonic_a[:, 3] ** 2)
