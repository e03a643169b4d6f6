"""From forecast and bounds to the values of one solve: what is unknown, given or contradictory is settled here."""

from __future__ import annotations

import numpy as np

from mimctl.balance.frame import Frame
from mimctl.balance.pins import OFF_BALANCE, PinnedMim, neutrals_of, reach
from mimctl.balance.values import Values, what_is_above
from mimctl.model.bounds import Bounds
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, joined

#: a port or step below this share of the port's rating has no inside for the solver to work in: less than a register step
_LEAST = 1e-4
#: how much of what the ports can do the power balance may ask for; leaves the feasible set an inside
_MOST = 0.999


def usable_nodes(frame: Frame, known: BoolArray, covered: BoolArray, load: ComplexArray) -> BoolArray:
    """(N,) nodes whose flow means something.

    A node counts where it is measured. A load without any usable meter above it hides the flow of everything above it too.
    """
    finite = np.isfinite(load)
    usable: BoolArray = known if finite.all() else known & finite.all(axis=1)
    if covered.all():
        return usable
    hidden = ~covered
    parent = frame.layout.parent
    for n in np.flatnonzero(hidden):
        above = parent[n]
        while above >= 0 and not hidden[above]:
            hidden[above] = True
            above = parent[above]
    return usable & ~hidden


def without_nan(array: ComplexArray) -> ComplexArray:
    """The array with NaN as zero; the same object where there is none."""
    return array if np.isfinite(array).all() else np.where(np.isfinite(array), array, 0)


def port_radius(frame: Frame, bounds: Bounds) -> FloatArray:
    """(K,) the port's own bound [VA]; a port alone on its MIM's neutral is bound by that too."""
    radius = np.minimum(bounds.port_s_max_va, frame.layout.port_rating_va)
    lone = frame.groups.lone
    if len(lone):
        layout = frame.layout
        neutral_va = bounds.mim_neutral_max_a[layout.port_mim[lone]] * layout.voltage_ln_v[layout.port_node[lone]]
        radius[lone] = np.minimum(radius[lone], neutral_va)
    return np.fmax(radius, 0.0)  # NaN becomes zero as well


def pinned_output(frame: Frame, bounds: Bounds, accepted: ComplexArray) -> ComplexArray:
    """(K,) complex output of the pinned ports after this step, NaN where a port is not pinned [VA].

    A pin further away than the port may move is gone to in steps, small enough that the other ports of the MIM can keep up.
    """
    layout, wanted = frame.layout, bounds.port_pinned_va
    if wanted is None:
        return frame.no_pin
    wanted = np.where(bounds.mim_enabled[layout.port_mim], wanted, np.nan)
    # nobody's wish is larger than what the port may do now
    wanted = wanted * np.fmin(1.0, port_radius(frame, bounds) / np.maximum(np.abs(wanted), _LEAST))
    pins = np.bincount(layout.port_mim, np.isfinite(wanted), len(layout.mims))[layout.port_mim]
    step = _MOST * _MOST * bounds.step_max_va / np.maximum(pins, 1)
    away = np.maximum(np.abs(wanted - accepted), _LEAST)
    return np.asarray(accepted + (wanted - accepted) * np.fmin(1.0, step / away))


def balanced_pins(frame: Frame, bounds: Bounds, accepted: ComplexArray, pinned: ComplexArray) -> ComplexArray:
    """`pinned` again, each MIM's only as far as its other ports can balance it now; where that is nowhere, it is left to the solve.

    Args:
        accepted: (K,) in force, no NaN [VA].
        pinned: (K,) as `pinned_output` gives it [VA].
    """
    layout, found = frame.layout, pinned.copy()
    radius = port_radius(frame, bounds)
    for m in np.unique(layout.port_mim[np.isfinite(pinned)]):
        run = layout.ports_of_mim[m]
        neutral = neutrals_of(layout, int(m))
        dc_w, spread_w = float(bounds.mim_dc_w[m]), OFF_BALANCE * float(layout.port_rating_va[run].sum())
        share = reach(
            PinnedMim(
                start_va=accepted[run],
                wanted_va=pinned[run],
                radius_va=radius[run],
                step_va=bounds.step_max_va[run],
                neutral_per_va=neutral,
                neutral_a=np.full(len(neutral), bounds.mim_neutral_max_a[m]),
                sum_w=(dc_w, dc_w) if np.isnan(pinned[run]).any() else (dc_w - spread_w, dc_w + spread_w),
            )
        )
        found[run] = accepted[run] + share * (pinned[run] - accepted[run]) if share < 1 or np.isnan(share) else pinned[run]
    return found


def wholly_pinned_off(frame: Frame, bounds: Bounds, pinned: ComplexArray) -> bool:
    """Whether a MIM has no port left to balance what is wanted of it, and that is out of balance."""
    layout = frame.layout
    count, rating_w = len(layout.mims), np.bincount(layout.port_mim, layout.port_rating_va, len(layout.mims))
    whole = np.bincount(layout.port_mim, np.isnan(pinned), count) == 0
    off_w = np.bincount(layout.port_mim, without_nan(pinned).real, count) - bounds.mim_dc_w
    return bool((whole & (np.abs(off_w) > OFF_BALANCE * rating_w)).any())


def reachable_dc(
    frame: Frame, wanted_w: FloatArray, *, free: BoolArray, radius: FloatArray, step: FloatArray, centre: ComplexArray
) -> FloatArray:
    """(M,) the wanted power balance, drawn inside what the free ports can do [W]."""
    layout, mims = frame.layout, len(frame.layout.mims)
    usable = radius * free
    most = _MOST * np.bincount(layout.port_mim, weights=usable, minlength=mims)
    dc: FloatArray = np.maximum(np.minimum(np.where(np.isnan(wanted_w), 0.0, wanted_w), most), -most)
    if (step < 2 * radius).any():
        side = np.sqrt(np.maximum(radius**2 - centre.imag**2, 0.0))
        up = np.minimum(step, np.maximum(side - centre.real, 0.0)) * free
        down = np.minimum(step, np.maximum(side + centre.real, 0.0)) * free
        now = np.bincount(layout.port_mim, weights=centre.real * free, minlength=mims)
        highest = now + _MOST * np.bincount(layout.port_mim, weights=up, minlength=mims)
        lowest = now - _MOST * np.bincount(layout.port_mim, weights=down, minlength=mims)
        dc = np.maximum(np.minimum(dc, highest), lowest)
    return dc


def movement_price(frame: Frame, flow: ComplexArray, weights: FloatArray) -> FloatArray:
    """(K,) curvature of the movement term [1/VA²]: less where J wants a large step.

    Args:
        flow: (N, 3) with the anchor applied [VA].
    """
    settings = frame.settings
    if settings.movement == 0:
        return np.zeros(frame.ports)
    gradient = np.abs(frame.port_gradient @ frame.flow_gradient(flow, weights).reshape(-1))
    wanted = gradient / (frame.port_curvature * frame.layout.port_rating_va)
    price: FloatArray = settings.movement * frame.port_curvature / (1 + (wanted / settings.movement_fade) ** 2)
    return price


def _left_by_pins(frame: Frame, bounds: Bounds, pinned: ComplexArray) -> tuple[FloatArray, ComplexArray | None]:
    """(M,) what pinned ports leave the others of their MIM's balance [W], and the current on the neutrals that they share [A]."""
    if bounds.port_pinned_va is None:
        return bounds.mim_dc_w, None
    output = without_nan(pinned)
    return bounds.mim_dc_w - np.bincount(frame.layout.port_mim, output.real, len(frame.layout.mims)), frame.groups.current_a(output)


def control_values(
    frame: Frame,
    forecast: LoadForecast,
    bounds: Bounds,
    anchor: ComplexArray,
    accepted: ComplexArray,
    pinned: ComplexArray | None = None,
) -> tuple[Values, ComplexArray, ComplexArray]:
    """Values of one control solve, the output of the given ports (K,) and the flow with the anchor applied (N, 3).

    Args:
        pinned: (K,) output of the pinned ports, NaN where a port is not [VA]; None = as `pinned_output` has it.
    """
    layout, settings = frame.layout, frame.settings
    load = joined(forecast.load_w, forecast.load_var)
    usable = usable_nodes(frame, forecast.known, forecast.covered, load)
    load = without_nan(load)
    weights = bounds.weights if usable.all() else bounds.weights * usable
    enabled = bounds.mim_enabled[layout.port_mim]
    radius = port_radius(frame, bounds)
    if pinned is None:
        pinned = pinned_output(frame, bounds, accepted)
    free = enabled & (radius > _LEAST * layout.port_rating_va)
    if pinned is not frame.no_pin:
        free &= np.isnan(pinned)
    flow = (frame.accumulate @ load.reshape(-1)).reshape(-1, 3)
    given = frame.no_power
    if not free.all():
        given = np.where(enabled, without_nan(pinned), accepted)
        flow = flow + (frame.port_response @ given).reshape(-1, 3)
        anchor = np.where(free, anchor, 0)
    anchor_flow = flow + (frame.port_response @ anchor).reshape(-1, 3)
    movement = movement_price(frame, anchor_flow, weights)
    size = np.abs(accepted)
    centre = np.where(size > _MOST * radius, accepted * (_MOST * radius / np.maximum(size, 1e-9)), accepted)
    step = np.maximum(bounds.step_max_va, _LEAST * layout.port_rating_va)
    dc_w, group_given_a = _left_by_pins(frame, bounds, pinned)
    neutral_limit_va = (1 - settings.margin) * layout.voltage_ln_v * bounds.node_neutral_limit_a
    values = Values(
        flow=flow,
        weights=weights,
        gradient=frame.flow_gradient(flow, weights),
        quadratic=movement + settings.effort * frame.port_curvature,
        linear=-movement * anchor,
        free=free,
        radius_va=radius,
        dc_w=reachable_dc(frame, dc_w, free=free, radius=radius, step=step, centre=centre),
        group_limit_a=bounds.mim_neutral_max_a[frame.groups.mim],
        group_given_a=group_given_a,
        step_va=step,
        centre=centre,
        steps_matter=bool((step < radius + np.abs(centre)).any()),
        limit_va=((1 - settings.margin) * layout.voltage_ln_v)[:, None] * bounds.node_limit_a,
        neutral_limit_va=neutral_limit_va,
        neutrals_matter=bool(np.isfinite(neutral_limit_va).any()),
        head_min_w=bounds.head_min_import_w,
        price_scale=max(1.0, float(bounds.weights.sum())),
        upstream=bounds.upstream,
        above=what_is_above(frame, flow, bounds.upstream),
    )
    return values, given, anchor_flow
