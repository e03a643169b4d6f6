"""The power electronics of all MIMs of a site: what their ports deliver, beside what their firmware wants of them.

Ratings, ramps and lags, storage, the droop that ports follow by themselves, contactors, losses and heat. |s| ≤ rating at every
port, Σp = storage discharge − losses at every instant.
"""

from __future__ import annotations

import numpy as np

from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout
from mimctl.twin.dclink import DcLink, shorten
from mimctl.twin.defects import Defects
from mimctl.twin.droop import VoltVarDroop
from mimctl.twin.filters import FilterBank, Filtering
from mimctl.twin.response import TIME_CONSTANTS_TO_95_PCT, Response
from mimctl.twin.storage import BatteryBank
from mimctl.twin.thermal import Bodies

#: an expiry or a switch-off walks to its end in this time, unless the ramp limit is slower
RETREAT_S = 0.3
_SILENT = 1e-3


class PowerStage:
    """Of all MIMs of a layout. K ports, M MIMs, B batteries; `m` is the index of a MIM, injection positive.

    Args:
        enabled: (M,) which MIMs are switched on, as the firmware keeps it.
        defects: what faults do to each MIM.
        ambient_degc: air temperature.
        droop: what the ports do about their voltage by themselves; None = nothing.
    """

    def __init__(
        self, layout: SiteLayout, enabled: BoolArray, defects: Defects, *, ambient_degc: float, droop: VoltVarDroop | None
    ) -> None:
        mims, count = layout.mims, len(layout.mims)
        self._layout = layout
        self._enabled = enabled
        self._defects = defects
        self.derating = np.ones(count)
        self.filters = FilterBank(layout)
        self._rating_va = layout.port_rating_va
        self._link = DcLink.of(layout)
        lags = np.array([mim.response_s / TIME_CONSTANTS_TO_95_PCT for mim in mims], dtype=np.float64)
        self._response = Response(self._link, np.array([mim.ramp_w_per_s for mim in mims], dtype=np.float64), lags)
        self._battery = BatteryBank(layout, layout.site.twin.battery_soc_pct)
        self._droop = droop
        self._droop_wanted = np.zeros(len(layout.ports))
        self._droop_share = np.zeros(len(layout.ports))
        full_loss_w = self._link.losses(self._rating_va.astype(np.complex128)) if count else np.zeros(0)
        #: (K,) ratings as they are now [VA]
        self.limit_va = self._rating_va
        self._room_var = self._link.room_var(self.limit_va) if count else np.zeros(0)
        self._bodies = Bodies(full_loss_w, ambient_degc)
        self._live = np.zeros(count, dtype=np.bool_)
        self._power = np.zeros(len(layout.ports), dtype=np.complex128)
        self._loss_w = np.zeros(count)
        self._unsettled = False
        #: by MIM, what a bus that it forms draws out of its ports [VA]
        self._carried: dict[int, ComplexArray] = {}

    # what it does now

    @property
    def inject_va(self) -> ComplexArray:
        """(K,) what the ports deliver [VA]."""
        self._settle()
        return self._power

    @property
    def loss_w(self) -> FloatArray:
        """(M,) conversion losses [W]."""
        self._settle()
        return self._loss_w

    @property
    def soc_pct(self) -> FloatArray:
        """(B,) [%]"""
        return self._battery.soc_pct

    @property
    def temperature_degc(self) -> FloatArray:
        """(M,) [°C]"""
        return self._bodies.temperature_degc

    @property
    def discharge_w(self) -> FloatArray:
        """(M,) what the storage of each MIM gives [W]; zero without one."""
        self._settle()
        return self._link.total(self._power.real) + self._loss_w if len(self._loss_w) else self._loss_w

    @property
    def available_w(self) -> FloatArray:
        """(K,) active power that each port could inject or absorb beside its reactive power, once switched on [W]."""
        room: FloatArray = np.sqrt(np.maximum(self.limit_va**2 - self.inject_va.imag**2, 0.0))
        return np.where(self._defects.dead[self._link.owner] > 0, 0.0, room)

    def storage_w(self, m: int) -> tuple[float, float]:
        """Least and greatest Σp that the storage of one MIM has for its ports [W]."""
        loss_w = float(self.loss_w[m])
        return -float(self._battery.can_take_w()[m]) - loss_w, float(self._battery.can_give_w()[m]) - loss_w

    def filtering(self) -> Filtering | None:
        """What the harmonic filters do; None where none is at work."""
        return self.filters.filtering(self.inject_va, self.limit_va) if self.filters.ports.any else None

    # where it goes

    def aim(self, m: int, target_va: ComplexArray) -> None:
        """Walk to other powers of the ports as an ordinary setpoint [VA]."""
        self._response.aim(self._layout.ports_of_mim[m], target_va, m)

    def retreat(self, m: int, target_va: ComplexArray) -> None:
        """Walk there quickly and without lag, as a device does by itself [VA]."""
        self._response.retreat(self._layout.ports_of_mim[m], target_va, m, RETREAT_S)

    def carry(self, m: int, power_va: ComplexArray | None) -> None:
        """Give what a formed bus draws, whatever was wanted of the ports [VA]; None = it forms no bus any more."""
        before = self._carried.pop(m, None)
        if power_va is not None:
            self._carried[m] = power_va
        self._unsettled |= not np.array_equal(
            np.zeros(0) if before is None else before, np.zeros(0) if power_va is None else power_va
        )

    def close(self, m: int) -> None:
        """Close the contactor, at zero power."""
        self._live[m] = True
        self._unsettled = True

    def open(self, m: int) -> None:
        """Open the contactor: nothing flows from this instant."""
        self._live[m] = False
        self._unsettled = True
        self._response.drop(self._layout.ports_of_mim[m])
        self.filters.drop(self._layout.ports_of_mim[m])

    def observe(self, port_voltage_v: FloatArray) -> None:
        """(K,) what the ports see; only a droop cares."""
        if self._droop is not None:
            share = self._droop.share(port_voltage_v / self._layout.port_voltage_v)
            self._droop_wanted = np.where(self._enabled[self._link.owner], share, 0.0)

    def advance(self, dt_s: float) -> None:
        """Let time pass."""
        before_w = self.discharge_w
        if dt_s <= 0 or not (self._live.any() or self._carried):
            return
        moved = self._response.advance(dt_s)
        self.filters.advance(dt_s)
        self._disconnect_silent()
        if self._droop is not None:
            self._droop_share = self._droop.follow(self._droop_share, self._droop_wanted, dt_s)
        # a storage near its end gives less from one instant to the next
        self._unsettled |= moved or self._droop is not None or self._battery.present
        self._battery.draw((before_w + self.discharge_w) / 2, dt_s)
        self._bodies.heat(self._loss_w, dt_s)

    def _disconnect_silent(self) -> None:
        """Open the contactors of MIMs that are switched off and have come down to nothing."""
        for m in np.flatnonzero(self._live > self._enabled):
            ports = self._layout.ports_of_mim[m]
            if (np.abs(self._response.output[ports]) < _SILENT * self._rating_va[ports]).all():
                self.open(int(m))

    def _settle(self) -> None:
        """Bring the DC links into balance, if anything has moved since they last were."""
        if self._unsettled and len(self._loss_w):
            give, take = self._battery.can_give_w(), self._battery.can_take_w()
            wanted = self._defects.output(self._response.output)
            if self._droop is not None:
                wanted = wanted + 1j * self._droop_share * self.limit_va
            wanted, closed = shorten(wanted, self.limit_va), self._defects.on(self._live)
            self._power, self._loss_w = self._link.settle(wanted, self.limit_va, self._room_var, -take, give, closed)
            for m, power_va in self._carried.items():
                self._power[self._layout.ports_of_mim[m]] = power_va
                self._loss_w[m] = self._link.losses(self._power)[m]
        self._unsettled = False

    # what faults do

    def derate(self, m: int, factor: float) -> None:
        """Cut the ratings of a MIM to a share of themselves."""
        self.derating[m] = factor
        self.limit_va = self._rating_va * self.derating[self._link.owner]
        self._room_var = self._link.room_var(self.limit_va)
        self._unsettled = True

    def deliver(self, m: int, share: float) -> None:
        """Have only a share of every setpoint come out."""
        self._defects.delivers[m] = share
        self._unsettled = True

    def freeze(self, m: int) -> None:
        """Hold the output as it is."""
        ports = self._layout.ports_of_mim[m]
        self._defects.held_va[ports] = self.inject_va[ports]
        self._defects.held[m] = self._live[m]
        self._unsettled = True

    def thaw(self, m: int) -> None:
        """Go on from the held output; say next where to walk to."""
        ports = self._layout.ports_of_mim[m]
        self._response.place(ports, self._defects.held_va[ports])
        self._defects.held[m] = False
        self.close(m)
