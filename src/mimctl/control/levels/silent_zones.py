"""What zones that are silent may do to the flows above them: with MIMs that hold on, that let go, and of which nobody knows."""

from __future__ import annotations

import numpy as np

from mimctl.model.layout import ComplexArray, FloatArray


def unsure_va(gross: ComplexArray, response: ComplexArray, held_va: ComplexArray, rating_va: FloatArray) -> FloatArray:
    """(3,) how much larger than its load the flow of one node may be for what the K ports of one silent zone do [VA].

    What they hold is in the flow until it expires, and out of it then. A port of which nobody knows what it holds, nor what it does
    when its time is over, may do as much as it can, either way.

    Args:
        gross: (3,) load of the node, what the ports are known to hold taken out [VA].
        response: (3, K) what the ports take from the flow there.
        held_va: (K,) NaN = not known [VA].
        rating_va: (K,) [VA]
    """
    known = np.isfinite(held_va)
    size = np.abs(response)
    holding_va = gross - response @ np.where(known, held_va, 0.0)
    return np.asarray(np.maximum(np.abs(holding_va) - np.abs(gross), 0.0) + size @ np.where(known, 0.0, rating_va))
