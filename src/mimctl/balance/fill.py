"""Where the numbers of an instance go in the matrices. No loop over nodes or ports: it runs every cycle."""

from __future__ import annotations

import numpy as np

from mimctl.balance.frame import Frame
from mimctl.balance.structure import Structure
from mimctl.balance.values import Values
from mimctl.model.layout import ComplexArray, FloatArray, IntArray

#: stands for "no limit" in a cone's radius, p.u.
_FAR = 1e3
#: price of a watt that the power balance is missed by, as multiple of the dearest breaker price
_ELASTIC = 10.0


def flow_curvature(frame: Frame, structure: Structure, values: Values) -> FloatArray:
    """Stored entries of P that weights, given ports and upstream prices make: they change seldom."""
    scale = frame.objective_scale
    curvature = None
    if structure.shape.upstream:
        zero = np.zeros((6, 6))
        curvature = scale * np.concatenate([(zero if p is None else p.curvature).ravel() for p in values.upstream])
    return structure.quadratic.flow_entries(values.weights * scale, values.free, curvature)


def matrix_values(frame: Frame, structure: Structure, values: Values, flows: FloatArray) -> FloatArray:
    """Stored entries of P. `flows`: what `flow_curvature` gave."""
    scale = frame.objective_scale
    own = values.quadratic * frame.own_scale
    if not values.free.all():
        own = np.where(values.free, own, 1.0)
    soft = frame.settings.overload_quadratic * values.price_scale * scale * 2
    return structure.quadratic.entries(flows, own, soft)


def constraint_matrix(frame: Frame, structure: Structure, values: Values) -> FloatArray:
    """Stored entries of A: given ports are cut off. The balance row of a wholly given MIM stays, it would be empty."""
    if values.free.all():
        untouched: FloatArray = structure.A.data
        return untouched
    layout = frame.layout
    any_free = np.zeros(len(layout.mims), dtype=np.bool_)
    np.logical_or.at(any_free, layout.port_mim, values.free)
    cut = np.append(np.repeat(~values.free, 2), False)[structure.masked]
    balance = structure.at["balance"]
    if len(balance):
        mim = structure.A.indices - balance[0]
        inside = (mim >= 0) & (mim < len(balance))
        cut &= ~(inside & ~any_free[np.clip(mim, 0, len(balance) - 1)])
    data: FloatArray = np.where(cut, 0.0, structure.A.data)
    return data


def linear_values(frame: Frame, structure: Structure, values: Values) -> FloatArray:
    """(variables,) q."""
    scale, settings = frame.objective_scale, frame.settings
    gradient = values.gradient
    if values.above is not None:
        gradient = gradient.copy()
        gradient[frame.layout.heads] += values.above.gradient
    q = np.zeros(structure.variables)
    n = len(frame.scale_va)
    q[:n] = frame.response_transposed @ gradient.reshape(-1).view(np.float64)
    ports = 2 * frame.ports
    q[:ports] += frame.scale_va[:ports] * values.linear.view(np.float64)
    if not values.free.all():
        q[:ports] *= np.repeat(values.free, 2)
    if structure.shape.limits is not None:
        overload = settings.overload_linear * values.price_scale
        q[n:] = overload
        q[structure.columns["head"]] = overload * settings.head_import_factor
    if structure.shape.elastic:
        q[structure.columns["elastic"]] = frame.elastic_price * _ELASTIC * settings.overload_linear * values.price_scale
    q *= scale
    return q


def constraint_values(frame: Frame, structure: Structure, values: Values) -> FloatArray:
    """(rows,) b."""
    at, rating = structure.at, frame.layout.port_rating_va
    b = np.zeros(structure.rows)
    b[at["balance"]] = values.dc_w / frame.mim_rating_va
    first = at["port"]
    b[first] = np.where(values.free, values.radius_va / rating, 1.0)
    if "group" in at:
        limit = np.minimum(values.group_limit_a / frame.groups.base_a, _FAR)
        if values.group_given_a is None:
            b[at["group"]] = limit
        else:  # a group without a free port is what it is
            free = abs(frame.groups.current) @ values.free > 0
            _place(b, at["group"], np.where(free, limit, _FAR), values.group_given_a * free / frame.groups.base_a)
    if "step" in at:
        _place(b, at["step"], np.where(values.free, values.step_va / rating, _FAR), -(values.centre * values.free) / rating)
    if structure.shape.limits is not None:
        _limit_values(frame, structure, values, b)
    return b


def _place(b: FloatArray, first: IntArray, radius: FloatArray, plane: ComplexArray) -> None:
    """Fill cones (radius, re, im); `first` is each cone's first row."""
    b[first] = np.minimum(radius, _FAR)
    b[first + 1] = plane.real
    b[first + 2] = plane.imag


def _limit_values(frame: Frame, structure: Structure, values: Values, b: FloatArray) -> None:
    at, layout = structure.at, frame.layout
    heads = values.flow[layout.guarded].real - values.head_min_w[:, None]
    b[at["head"]] = np.minimum(heads / frame.head_base_va[:, None], _FAR * 10).ravel()
    node, phase = structure.phase_rows.T
    base = frame.limit_va[node]
    _place(b, at["phase"], values.limit_va[node, phase] / base, values.flow[node, phase] / base)
    if "neutral" in at:
        node = structure.neutral_nodes
        base = frame.neutral_base_va[node]
        flow = values.flow[node] @ frame.neutral_turn
        _place(b, at["neutral"], values.neutral_limit_va[node] / base, flow / base)
