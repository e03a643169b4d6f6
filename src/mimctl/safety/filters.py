"""The harmonic filters before the judge: no share takes a port, or the neutral of its MIM, over its rms rating.

The fundamental comes first: a filter gets what the setpoint leaves, at the worst point of the way from the accepted setpoint to the
new one. What the ports would have to cancel is bounded by sums of measured magnitudes; where that is not known nothing is filtered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimctl.grid.harmonic_picture import harmonic_picture
from mimctl.grid.harmonics import rms_room_a
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, frozen
from mimctl.model.plan import NO_FILTER, HarmonicShares
from mimctl.safety.case import Case
from mimctl.safety.findings import Findings
from mimctl.safety.leave import Leave
from mimctl.safety.segment import narrower

#: shares are whole hundredths: noise of a measurement is no reason to write
_STEPS = 100
#: a share grows by so much at least, or stays: a limit that trembles is no reason to write either
_GROWTH = 0.02
#: two shares nearer than this are the same
_SAME = 1e-6
#: less than this to see is nothing to fill a rating with [A]
_LEAST_A = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class JudgedShares:
    """What the filters may do.

    Args:
        shares: in force after this plan; None where no MIM has a filter.
        changed: (M,) MIMs that have to be told.
    """

    shares: HarmonicShares | None
    changed: BoolArray


def judge_shares(case: Case, leave: IntArray, power_va: ComplexArray, released: BoolArray, findings: Findings) -> JudgedShares:
    """Shares inside every rating, and why they are less than wanted.

    Args:
        leave: (M,) what each MIM may do.
        power_va: (K,) setpoints as they will stand [VA].
        released: (M,) MIMs that go to their safe state.
    """
    ratings = case.ratings
    ports, layout = ratings.filters, ratings.layout
    nobody = np.zeros(len(layout.mims), dtype=np.bool_)
    if not ports.any:
        return JudgedShares(None, nobody)
    in_force, orders_in_force = _in_force(case)
    able = ports.able & (orders_in_force != NO_FILTER)
    known = able & np.isfinite(in_force)
    most, cause = _most(case, power_va, np.where(ports.able, in_force, 0.0))
    wanted, orders = _wanted(case)
    free = (leave <= Leave.FREE)[layout.port_mim]
    wanted = np.where(free, wanted, np.minimum(wanted, np.nan_to_num(in_force)))
    share = _calm(_whole(np.minimum(wanted, most)), in_force)
    share = np.where(able, share, np.nan)
    share = np.where((leave == Leave.SILENT)[layout.port_mim], in_force, share)
    share = np.where(able & released[layout.port_mim], 0.0, share)
    orders = np.where(free & able, orders, orders_in_force)
    _tell(case, findings, leave, wanted, share, cause)
    differs = able & (~known | ~(np.abs(share - in_force) <= _SAME) | ((share > 0) & (orders != orders_in_force)))
    return JudgedShares(HarmonicShares(frozen(share), frozen(orders)), ratings.any_of(differs))


def _in_force(case: Case) -> tuple[FloatArray, IntArray]:
    """(K,) shares and orders at the devices by our knowledge, NaN = not known."""
    given, count = case.accepted.harmonics, len(case.ratings.layout.ports)
    if given is None:
        return np.where(case.ratings.filters.able, 0.0, np.nan), np.zeros(count, dtype=np.int64)
    return given.share, given.orders


def _wanted(case: Case) -> tuple[FloatArray, IntArray]:
    """(K,) what the plan wants, between nothing and everything; a plan of another shape wants nothing."""
    plan, ports = case.plan.harmonics, case.ratings.filters
    count = len(case.ratings.layout.ports)
    if plan is None or plan.share.shape != (count,) or plan.orders.shape != (count,):
        return np.zeros(count), np.zeros(count, dtype=np.int64)
    orders = plan.orders & ports.orders
    bound = case.bounds.harmonics
    share = np.clip(np.nan_to_num(plan.share, nan=0.0, posinf=0.0, neginf=0.0), 0.0, 1.0)
    if bound is not None:
        share = narrower(share, bound.share_max)
    return np.where(ports.able & (orders != 0), share, 0.0), orders


def _most(case: Case, power_va: ComplexArray, in_force: FloatArray) -> tuple[FloatArray, IntArray]:
    """(K,) greatest share that the ratings permit, and what sets it: 0 nothing, 1 the port, 2 the neutral, 3 no data."""
    ports, ratings = case.ratings.filters, case.ratings
    volts = np.where(case.evidence.mim_usable[ratings.layout.port_mim], case.state.ports.voltage_v, np.nan)
    local_a = harmonic_picture(ports, case.state, case.evidence.node_usable, in_force).local_a
    unknown = ports.able & ~np.isfinite(local_a)
    local_a = np.where(unknown, 0.0, local_a)
    largest_va = np.maximum(np.abs(power_va), np.abs(case.accepted_va))
    room_a = rms_room_a(ports.rating_a, ports.fundamental_a(largest_va, volts))
    at_port = np.where(local_a > _LEAST_A, room_a / np.maximum(local_a, _LEAST_A), 1.0)
    at_port = np.minimum(at_port, 1.0)
    in_neutral = _neutral(case, power_va, at_port * local_a)[ratings.layout.port_mim]
    most = np.where(unknown, 0.0, at_port * in_neutral)
    cause = np.where(unknown, 3, np.where(in_neutral < 1.0, 2, np.where(at_port < 1.0, 1, 0)))
    return most, cause


def _neutral(case: Case, power_va: ComplexArray, harmonic_a: FloatArray) -> FloatArray:
    """(M,) factor for the filters of a MIM: triplens of its ports add in its neutral, so their sum must fit beside the rest."""
    ratings = case.ratings
    through = ratings.layout.port_neutral_per_va
    fundamental_a = np.maximum(np.abs(ratings.sums(power_va * through)), np.abs(ratings.sums(case.accepted_va * through)))
    room_a = rms_room_a(np.minimum(ratings.layout.mim_neutral_rating_a, _MOST_A), fundamental_a)
    needed_a = ratings.sums(np.where(through != 0, harmonic_a, 0.0))
    return np.where(needed_a > room_a, room_a / np.maximum(needed_a, _LEAST_A), 1.0)


#: stands for no limit [A]; finite, so that its square is
_MOST_A = 1e9


def _whole(share: FloatArray) -> FloatArray:
    """Towards zero to whole hundredths; a share that is whole but for the last bits of its float stays."""
    return np.asarray(np.floor(share * _STEPS * (1 + 1e-12) + 1e-9) / _STEPS)


def _calm(share: FloatArray, in_force: FloatArray) -> FloatArray:
    """What is in force, where a share would grow by less than is worth a write; less goes out at once."""
    return np.where((share > in_force) & (share < in_force + _GROWTH - _SAME), in_force, share)


def _tell(case: Case, findings: Findings, leave: IntArray, wanted: FloatArray, share: FloatArray, cause: IntArray) -> None:
    ratings = case.ratings
    less = ratings.filters.able & (share < _whole(wanted)) & (leave <= Leave.HOLD)[ratings.layout.port_mim]
    for m in map(int, np.flatnonzero(ratings.any_of(less))):
        own = ratings.layout.ports_of_mim[m]
        port = own.start + int(np.argmax(np.where(less[own], wanted[own] - share[own], -1.0)))
        findings.filtered(m, port - own.start + 1, float(wanted[port]), float(share[port]), int(cause[port]))
