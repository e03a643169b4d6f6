"""What harmonics do in a scenario: distortion of currents and voltages per node, their losses, and the limits of the standards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mimctl.analysis.harmonic_limits import node_limits
from mimctl.analysis.harmonics import current_limits_pct, k_factor
from mimctl.analysis.percentiles import Intervals, percentile
from mimctl.analysis.unbalance import gate_a
from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout
from mimctl.simulation.limit_verdicts import LimitVerdicts
from mimctl.twin.harmonics import HarmonicFlow

_JOULES_PER_KWH = 3.6e6
#: keys of a node, in the order of the result file
METRICS = (
    "thd_i_mean_pct",
    "tdd_mean_pct",
    "tdd_max_pct",
    "tdd_p95_pct",
    "tdd_limit_pct",
    "thd_v_mean_pct",
    "thd_v_max_pct",
    "thd_v_p95_pct",
    "thd_v_limit_pct",
    "neutral_a_mean",
    "k_factor_max",
    "ieee519_worst_pct",
    "loss_kwh",
)


class PowerQuality:
    """Accumulates one scenario. Per node the worst phase counts; a phase below the gate current has no THD, no K-factor."""

    def __init__(self, layout: SiteLayout) -> None:
        self._layout = layout
        count = len(layout.nodes)
        self._limits = node_limits(layout)
        self._gate_a = gate_a(layout.rating_a)[:, None]
        self._sums = {name: np.zeros(count) for name in ("thd_i", "tdd", "thd_v", "neutral")}
        self._known_s = {name: np.zeros(count) for name in self._sums}
        self._worst = {name: np.full(count, np.nan) for name in ("tdd", "thd_v", "k_factor", "ieee519")}
        self._loss_j = np.zeros(count)
        self._filter_j = 0.0
        self._ten = Intervals()
        self._verdicts = LimitVerdicts(layout, self._limits)
        self._over_s = 0.0
        self._order_limits: FloatArray | None = None

    def add(self, flow: HarmonicFlow, current_a: ComplexArray, voltage_v: ComplexArray, filter_loss_w: float, dt_s: float) -> None:
        """One instant; it stands for `dt_s` [s].

        Args:
            flow: harmonic currents and voltages.
            current_a, voltage_v: (N, 3) fundamental phasors of the solved network.
            filter_loss_w: conversion losses that the filters add.
        """
        fundamental_a, fundamental_v = np.abs(current_a), np.abs(voltage_v)
        harmonic_a = np.linalg.norm(flow.current_a, axis=-1)
        live = fundamental_a >= self._gate_a
        thd_i = np.divide(100 * harmonic_a, fundamental_a, out=np.full(live.shape, np.nan), where=live)
        tdd = 100 * harmonic_a / self._limits.demand_a[:, None]
        thd_v = 100 * np.linalg.norm(flow.voltage_v, axis=-1) / np.where(fundamental_v > 0, fundamental_v, np.nan)
        worst = {name: np.fmax.reduce(values, axis=1) for name, values in (("thd_i", thd_i), ("tdd", tdd), ("thd_v", thd_v))}
        for name, values in (*worst.items(), ("neutral", np.hypot(np.abs(current_a.sum(axis=1)), flow.neutral_a))):
            known = ~np.isnan(values)
            self._sums[name] += np.where(known, values, 0.0) * dt_s
            self._known_s[name] += known * dt_s
        k = np.where(live, k_factor(flow.orders.astype(np.int64), np.abs(flow.current_a), fundamental_a), np.nan)
        peaks = {
            "tdd": worst["tdd"],
            "thd_v": worst["thd_v"],
            "k_factor": np.fmax.reduce(k, axis=1),
            "ieee519": self._ieee519(flow),
        }
        for name, values in peaks.items():
            self._worst[name] = np.fmax(self._worst[name], values)
        self._ten.add(np.stack([tdd, thd_v]), dt_s)
        self._verdicts.add(worst["tdd"], worst["thd_v"], dt_s)
        self._over_s += dt_s * bool((worst["tdd"] > self._limits.tdd_pct).any() or (worst["thd_v"] > self._limits.thd_v_pct).any())
        self._loss_j += flow.loss_w * dt_s
        self._filter_j += filter_loss_w * dt_s

    def _ieee519(self, flow: HarmonicFlow) -> FloatArray:
        """(N,) the order nearest to its own limit of the table of IEEE 519, in % of it; NaN at nodes without Isc/IL."""
        if self._order_limits is None:
            orders = flow.orders.astype(np.int64)
            given = [None if n.harmonic_limits is None else n.harmonic_limits.isc_il for n in self._layout.nodes]
            rows = [np.full(len(orders), np.nan) if ratio is None else current_limits_pct(orders, ratio) for ratio in given]
            self._order_limits = np.array(rows, dtype=np.float64).reshape(len(given), len(orders))
        share = np.abs(flow.current_a) / self._limits.demand_a[:, None, None] / self._order_limits[:, None, :]
        result: FloatArray = 1e4 * np.fmax.reduce(np.fmax.reduce(share, axis=2, initial=np.nan), axis=1)
        return result

    def summary(self) -> dict[str, Any]:
        """`nodes` by id and `site`; p95 figures are of whole 10-minute intervals, None in a run without one.

        `verdicts` has the limits of the standards as they are meant: percentiles of the worst day and week, by node.
        """
        columns = self._columns()
        nodes = {node.id: {name: _number(columns[name][i]) for name in METRICS} for i, node in enumerate(self._layout.nodes)}
        site = {
            "tdd_max_pct": _number(np.fmax.reduce(columns["tdd_max_pct"], initial=np.nan)),
            "thd_v_max_pct": _number(np.fmax.reduce(columns["thd_v_max_pct"], initial=np.nan)),
            "over_limit_min": self._over_s / 60,
            "loss_kwh": float(self._loss_j.sum()) / _JOULES_PER_KWH,
            "filter_loss_kwh": self._filter_j / _JOULES_PER_KWH,
        }
        return {"site": site, "nodes": nodes, "verdicts": self._verdicts.summary()}

    def _columns(self) -> Mapping[str, FloatArray]:
        mean = {name: self._sums[name] / np.where(self._known_s[name] > 0, self._known_s[name], np.nan) for name in self._sums}
        ten = self._ten.values()
        p95 = percentile(ten, 0.95) if len(ten) else np.full((2, len(self._layout.nodes), 3), np.nan)
        return {
            "thd_i_mean_pct": mean["thd_i"],
            "tdd_mean_pct": mean["tdd"],
            "tdd_max_pct": self._worst["tdd"],
            "tdd_p95_pct": np.fmax.reduce(p95[0], axis=1),
            "tdd_limit_pct": self._limits.tdd_pct,
            "thd_v_mean_pct": mean["thd_v"],
            "thd_v_max_pct": self._worst["thd_v"],
            "thd_v_p95_pct": np.fmax.reduce(p95[1], axis=1),
            "thd_v_limit_pct": self._limits.thd_v_pct,
            "neutral_a_mean": mean["neutral"],
            "k_factor_max": self._worst["k_factor"],
            "ieee519_worst_pct": self._worst["ieee519"],
            "loss_kwh": self._loss_j / _JOULES_PER_KWH,
        }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
