"""The process image: everything known about a site at one decision instant. Read all, decide, write all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from mimctl.model.layout import BoolArray, FloatArray, IntArray, SiteLayout
from mimctl.model.sample import Quality


@dataclass(frozen=True, slots=True, eq=False)
class NodeState:
    """Measured at nodes; load positive. Shapes (N, 3) unless said. NaN = unknown.

    Args:
        quality: (N,) Quality values; BAD where there is no usable meter.
        taken_at_s: (N,) monotonic instants [s], NaN where never measured.
        neutral_a: (N,) [A]
        voltage_ll_v: columns U12, U23, U31 [V]; None where no meter of the site gives line-to-line voltages.
        estimated: (N,) no reading of the node's own: the values follow from its neighbours. None = nothing was estimated.
        doubted: (N,) the reading contradicts others, and nobody can tell which is wrong.
        frequency_hz: (N,) [Hz]; None = not collected.
        sigma_w, sigma_var, sigma_v: (N, 3) standard deviations of P, Q and V [W, var, V]; of a doubted node twice as much covers
            what it would draw if its meter were the wrong one. NaN where the value is unknown.
        harmonic_a: (N, 4) rms harmonic current of the phases and the neutral that estimated nodes had when they were last read [A];
            NaN elsewhere and where never told. None = nothing was estimated.
        vague_var: (N, 3) how far vars may be off that a meter tells as a total alone [var]; 0 where it tells them per phase, None
            where every one does.
    """

    import_w: FloatArray
    import_var: FloatArray
    voltage_ln_v: FloatArray
    current_a: FloatArray
    neutral_a: FloatArray
    thd_v_pct: FloatArray
    thd_i_pct: FloatArray
    quality: IntArray
    taken_at_s: FloatArray
    voltage_ll_v: FloatArray | None = None
    estimated: BoolArray | None = None
    doubted: BoolArray | None = None
    sigma_w: FloatArray | None = None
    sigma_var: FloatArray | None = None
    sigma_v: FloatArray | None = None
    frequency_hz: FloatArray | None = None
    harmonic_a: FloatArray | None = None
    vague_var: FloatArray | None = None

    def source(self, node: int) -> str:
        """Where the flow of one node comes from: `measured`, `estimated`, `doubted` or `unknown`."""
        if self.quality[node] == Quality.BAD:
            return "unknown"
        if self.estimated is not None and self.estimated[node]:
            return "estimated"
        return "doubted" if self.doubted is not None and self.doubted[node] else "measured"

    def margin_va(self) -> FloatArray | None:
        """(N, 3) how far estimated and doubted flows may be from the truth: two standard deviations; 0 elsewhere [VA].

        NaN where even that is not known; None where there is no such node.
        """
        if self.estimated is None or self.doubted is None or self.sigma_w is None or self.sigma_var is None:
            return None
        unsure = self.estimated | self.doubted
        if not unsure.any():
            return None
        return np.where(unsure[:, None], 2 * np.hypot(self.sigma_w, self.sigma_var), 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class PortState:
    """Measured at MIM ports; injection positive. Shapes (K,). NaN = unknown.

    Args:
        current_a: rms, harmonics included [A]; None = not collected.
        harmonic_share: fraction of its node's harmonic current that the port compensates now; likewise.
    """

    inject_w: FloatArray
    inject_var: FloatArray
    voltage_v: FloatArray
    available_inject_w: FloatArray
    available_absorb_w: FloatArray
    current_a: FloatArray | None = None
    harmonic_share: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MimState:
    """Shapes (M,). NaN = unknown.

    Args:
        operating_state: of MIMs with a form mode, as 64901 St has it; None = not collected.
    """

    quality: IntArray
    taken_at_s: FloatArray
    sequence_ack: FloatArray
    command_status: FloatArray
    watchdog_remaining_s: FloatArray
    temperature_degc: FloatArray
    alarms: FloatArray
    operating_state: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BatteryState:
    """Shapes (B,)."""

    soc_pct: FloatArray
    quality: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class TransferImage:
    """What the transfer devices said, in the order of `site.transfers`. Shapes (T,). NaN = unknown.

    Args:
        state: `TransferState` values.
        available_va: what the source that is on can give, as the device says [VA].
    """

    state: IntArray
    quality: IntArray
    taken_at_s: FloatArray
    available_va: FloatArray
    frequency_hz: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class SiteState:
    """One immutable image. Ages are `now_s − taken_at_s`."""

    layout: SiteLayout
    now_s: float
    utc: datetime
    nodes: NodeState
    ports: PortState
    mims: MimState
    batteries: BatteryState
    transfers: TransferImage | None = None

    def node_age_s(self) -> FloatArray:
        return self.now_s - self.nodes.taken_at_s

    def mim_age_s(self) -> FloatArray:
        return self.now_s - self.mims.taken_at_s

    def bad_nodes(self) -> list[str]:
        """Metered nodes without a usable reading now, whether their values could be estimated or not."""
        unread = self.nodes.quality == Quality.BAD
        if self.nodes.estimated is not None:
            unread |= self.nodes.estimated
        pairs = zip(self.layout.nodes, self.layout.meter_of_node, unread, strict=True)
        return [node.id for node, meter, missing in pairs if meter is not None and missing]
