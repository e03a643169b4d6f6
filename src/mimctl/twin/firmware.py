"""The firmware of all MIMs of a site, as one vectorised model in virtual time.

What a controller may rely on:
- Setpoints are applied only when the sequence number changes (compared modulo 2³²). A MIM that is switched off or whose watchdog
  does not run takes zeros alone; any other command is rejected and its number not echoed.
- The watchdog is fed by a *change* of the heartbeat counter alone. When it runs out, the expiry action starts after a delay of
  its own per MIM (so that a site never steps as one), walks to its end without lag, and `command_status` says so until the next
  setpoint is accepted. A later heartbeat does not bring old setpoints back.

What the ports then deliver is `twin.power_stage`. Everything between two instants is exact: the model is cut at each expiry,
delayed command and fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from mimctl.model.harmonics import HarmonicShare
from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout
from mimctl.model.site import ExpiryAction
from mimctl.twin.agenda import Agenda
from mimctl.twin.dclink import shorten
from mimctl.twin.defects import Defects, Obedience
from mimctl.twin.droop import VoltVarDroop
from mimctl.twin.filters import Filtering
from mimctl.twin.formers import Formers
from mimctl.twin.power_stage import PowerStage
from mimctl.twin.status import Alarm, CommandStatus
from mimctl.twin.watchdog import Watchdogs

__all__ = ["SEQUENCE_MODULO", "Alarm", "CommandStatus", "MimFleet"]

SEQUENCE_MODULO = 2**32


class MimFleet:
    """All MIMs of a layout. K ports, M MIMs, B batteries; `m` is the index of a MIM, injection positive.

    Args:
        stagger_s: the delays after which expiry actions start are spread over it.
        ambient_degc: air temperature.
        droop: what the ports do about their voltage by themselves; None = nothing.
    """

    def __init__(
        self, layout: SiteLayout, *, stagger_s: float = 0.5, ambient_degc: float = 25.0, droop: VoltVarDroop | None = None
    ) -> None:
        count = len(layout.mims)
        self.layout = layout
        self.now_s = 0.0
        self.online = np.ones(count, dtype=np.bool_)
        self.enabled = np.zeros(count, dtype=np.bool_)
        self.sequence_ack = np.zeros(count, dtype=np.int64)
        self.command_status = np.zeros(count, dtype=np.int64)
        self.alarms = np.zeros(count, dtype=np.int64)
        #: what faults do to each MIM; see `twin.faults`
        self.defects = Defects(layout.port_mim, count)
        self._stage = PowerStage(layout, self.enabled, self.defects, ambient_degc=ambient_degc, droop=droop)
        self.filters = self._stage.filters
        self._setpoint = np.zeros(len(layout.ports), dtype=np.complex128)
        self._fallback = np.zeros(len(layout.ports), dtype=np.complex128)
        self._watchdogs = Watchdogs(layout.mims, stagger_s)
        self._agenda = Agenda()
        #: what those do that form a bus
        self.formers = Formers(layout, self.at, lambda: self.now_s)

    # what a controller can read

    @property
    def inject_va(self) -> ComplexArray:
        """(K,) what the ports deliver now [VA]."""
        return self._stage.inject_va

    @property
    def mim_loss_w(self) -> FloatArray:
        """(M,) conversion losses now [W]."""
        return self._stage.loss_w

    @property
    def setpoint_va(self) -> ComplexArray:
        """(K,) setpoints in force [VA]."""
        return self._setpoint

    @property
    def watchdog_remaining_s(self) -> FloatArray:
        """(M,) until the expiry action; 0 when it does not run [s]."""
        return self._watchdogs.remaining_s(self.now_s)

    @property
    def soc_pct(self) -> FloatArray:
        """(B,) [%]"""
        return self._stage.soc_pct

    @property
    def temperature_degc(self) -> FloatArray:
        """(M,) [°C]"""
        return self._stage.temperature_degc

    @property
    def discharge_w(self) -> FloatArray:
        """(M,) what the storage of each MIM gives [W]; zero without one."""
        return self._stage.discharge_w

    @property
    def limit_va(self) -> FloatArray:
        """(K,) ratings as they are now [VA]."""
        return self._stage.limit_va

    def storage_w(self, m: int) -> tuple[float, float]:
        """Least and greatest Σp that the storage of one MIM has for its ports now [W]."""
        return self._stage.storage_w(m)

    @property
    def available_w(self) -> FloatArray:
        """(K,) active power that each port could inject or absorb beside its reactive power, once switched on [W]."""
        return self._stage.available_w

    @property
    def derating(self) -> FloatArray:
        """(M,) share of its rating that each MIM has now."""
        return self._stage.derating

    def filtering(self) -> Filtering | None:
        """What the harmonic filters do now; None where none is at work."""
        return self._stage.filtering()

    # what a controller can write

    def apply(
        self, m: int, w: Sequence[float], var: Sequence[float], sequence: int, harmonics: Sequence[HarmonicShare] | None = None
    ) -> None:
        """Stage and commit setpoints of all ports [W], [var]; the outcome stands in `command_status` and `sequence_ack`.

        Enable the MIM and feed its watchdog first.

        Args:
            harmonics: shares of the ports' filters; None leaves those in force.
        """
        if not self._hears(m):
            return
        wait_s = float(self.defects.latency_s[m])
        if wait_s > 0:
            self.at(self.now_s + wait_s, partial(self._take, m, w, var, sequence % SEQUENCE_MODULO, harmonics))
        else:
            self._take(m, w, var, sequence % SEQUENCE_MODULO, harmonics)

    def heartbeat(self, m: int, counter: int) -> None:
        """A changed counter starts the validity anew."""
        if self._hears(m):
            self._watchdogs.beat(m, counter, self.now_s)

    def form(self, m: int, voltage_v: float, frequency_hz: float, validity_s: float, sequence: int) -> None:
        """Form the bus at its terminals, line to neutral [V], [Hz]: from the safe state, where there is no voltage."""
        if self._hears(m):
            self.formers.command(m, voltage_v, frequency_hz, validity_s, sequence, enabled=bool(self.enabled[m]))

    def keep_forming(self, m: int, counter: int) -> None:
        """A changed counter keeps a former going."""
        if self._hears(m):
            self.formers.beat(m, counter)

    def carry(self, m: int, power_va: ComplexArray | None) -> None:
        """What the bus that a MIM forms draws out of its ports now [VA]; None = it forms none."""
        self._stage.carry(m, power_va)

    def stop_forming(self, m: int) -> None:
        """End form mode, whatever it was at."""
        if self._hears(m):
            self.formers.end(m)

    def enable(self, m: int, on: bool) -> None:
        """Switch on at zero power, or walk to zero and open the contactor; switching off forgets the setpoints."""
        if not self._hears(m) or on == self.enabled[m] or self.formers.forming[m]:
            return
        if on and self.defects.dead[m]:
            self.defects.dead_bus_commands[m] += 1  # it will not close on to a bus without voltage
            return
        self._switch(m, on)

    def set_watchdog(self, m: int, seconds: float, action: ExpiryAction | None = None) -> None:
        """How long a heartbeat is good for, and what follows. A running countdown is only ever shortened.

        Raises:
            ValueError: the time is not positive: a watchdog cannot be switched off.
        """
        if not (seconds > 0 and math.isfinite(seconds)):
            raise ValueError(f"a watchdog needs a time above zero, not {seconds} s")
        if self._hears(m):
            self._watchdogs.set(m, seconds, self.now_s)
            self._watchdogs.action[m] = action or self._watchdogs.action[m]

    def set_fallback(self, m: int, w: Sequence[float], var: Sequence[float]) -> None:
        """Where the expiry action `revert` goes: one value per port [W], [var]."""
        if self._hears(m):
            values = np.asarray(w, dtype=np.float64) + 1j * np.asarray(var, dtype=np.float64)
            self._fallback[self.layout.ports_of_mim[m]] = values

    def observe(self, port_voltage_v: FloatArray) -> None:
        """(K,) what the ports see; only a droop cares."""
        self._stage.observe(port_voltage_v)

    # time

    def advance_to(self, t_s: float) -> None:
        """Let time pass until `t_s`; expiries, delayed commands and faults happen at their own instants."""
        if t_s < self.now_s:
            raise ValueError(f"time cannot go back from {self.now_s} to {t_s}")
        while (due := min(self._agenda.next_s, self._watchdogs.next_due_s)) <= t_s:
            self._pass(due)
            self._fire()
        self._pass(t_s)

    def at(self, t_s: float, action: Callable[[], None]) -> None:
        """Have something happen to the fleet at an instant; at once if it has passed."""
        self._agenda.note(t_s, action)
        if t_s <= self.now_s:
            self._fire()

    def _fire(self) -> None:
        self._agenda.run(self.now_s)
        for m in self._watchdogs.due(self.now_s):
            self._expire(m)

    def _pass(self, t_s: float) -> None:
        dt_s, self.now_s = t_s - self.now_s, max(self.now_s, t_s)
        self._stage.advance(dt_s)

    # the firmware's own doing

    def _hears(self, m: int) -> bool:
        return bool(self.online[m]) and self.defects.hears(m)

    def _take(
        self, m: int, w: Sequence[float], var: Sequence[float], sequence: int, harmonics: Sequence[HarmonicShare] | None = None
    ) -> None:
        if sequence == self.sequence_ack[m]:
            return
        # a handful of ports: plain numbers are quicker than arrays
        sizes = list(map(math.hypot, w, var))
        whole, ports = sum(sizes), self.layout.ports_of_mim[m]
        able = self.enabled[m] and self._watchdogs.runs(m)
        active = whole > 0 or any(part.share > 0 for part in harmonics or ())
        refused = self.defects.obedience[m] == Obedience.REJECTS or (active and not able)
        self.defects.dead_bus_commands[m] += bool(whole > 0 and self.defects.dead[m])
        if not len(w) == len(var) == ports.stop - ports.start or not math.isfinite(whole) or refused:
            self.command_status[m] = CommandStatus.REJECTED
            return
        if self.defects.obedience[m] == Obedience.PRETENDS:
            self.sequence_ack[m], self.command_status[m] = sequence, CommandStatus.OK
            return
        limits = self._stage.limit_va[ports].tolist()
        clipped = any(size > limit * (1 + 1e-9) for size, limit in zip(sizes, limits, strict=True))
        self.sequence_ack[m] = sequence
        self.command_status[m] = CommandStatus.CLIPPED if clipped else CommandStatus.OK
        self.alarms[m] &= ~(Alarm.WATCHDOG_EXPIRED | Alarm.REBOOTED)
        inside = shorten(np.array(list(map(complex, w, var))), self._stage.limit_va[ports])
        self._setpoint[ports] = inside
        if self.enabled[m]:
            self._stage.aim(m, inside)
        self.filters.command(ports, harmonics)

    def _expire(self, m: int) -> None:
        self._watchdogs.stop(m)
        if not self.enabled[m]:
            return
        ports, action = self.layout.ports_of_mim[m], self._watchdogs.action[m]
        self.command_status[m] = CommandStatus.REVERTED
        self.alarms[m] |= Alarm.WATCHDOG_EXPIRED
        if action is ExpiryAction.HOLD:
            return
        if action is ExpiryAction.DISCONNECT:
            self._switch(m, on=False)
            return
        target = self._fallback[ports] if action is ExpiryAction.REVERT else np.zeros(ports.stop - ports.start)
        self._setpoint[ports] = shorten(target.astype(np.complex128), self._stage.limit_va[ports])
        self._stage.retreat(m, self._setpoint[ports])
        self.filters.stop(ports)

    def _switch(self, m: int, on: bool) -> None:
        ports = self.layout.ports_of_mim[m]
        self.enabled[m] = on
        self._setpoint[ports] = 0.0
        if on:
            self._stage.close(m)
            self._stage.aim(m, self._setpoint[ports])
        else:
            self._watchdogs.stop(m)
            self._stage.retreat(m, self._setpoint[ports])
            self.filters.stop(ports)

    # what faults do

    def derate(self, m: int, factor: float) -> None:
        """Cut the ratings of a MIM to a share of themselves, at once and for the setpoint in force."""
        self._stage.derate(m, factor)
        self.alarms[m] = self.alarms[m] | Alarm.DERATED if factor < 1 else self.alarms[m] & ~Alarm.DERATED
        ports = self.layout.ports_of_mim[m]
        self._setpoint[ports] = shorten(self._setpoint[ports], self._stage.limit_va[ports])
        self._stage.aim(m, self._setpoint[ports])

    def deliver(self, m: int, share: float) -> None:
        """Have only a share of every setpoint come out."""
        self._stage.deliver(m, share)

    def freeze(self, m: int) -> None:
        """Hold the output as it is: neither setpoints nor the watchdog nor switching off change it any more."""
        self._stage.freeze(m)

    def thaw(self, m: int) -> None:
        """Go on from the held output to where it should be."""
        if not self.defects.held[m]:
            return
        self._stage.thaw(m)
        walk = self._stage.aim if self.enabled[m] else self._stage.retreat
        walk(m, self._setpoint[self.layout.ports_of_mim[m]])

    def lose_supply(self, m: int) -> None:
        """A port's bus is dead: the whole MIM opens its contactor, drops its setpoints and stays off until switched on again."""
        self.defects.dead[m] += 1
        self.defects.held[m] = False
        self._stage.open(m)
        self.enabled[m] = False
        self._setpoint[self.layout.ports_of_mim[m]] = 0.0
        self._watchdogs.stop(m)
        self.command_status[m] = CommandStatus.REVERTED

    def regain_supply(self, m: int) -> None:
        self.defects.dead[m] -= 1

    def reboot(self, m: int) -> None:
        """Power was lost: output drops, sequence, setpoints, heartbeat and enable are forgotten."""
        self.formers.reset(m)
        self._stage.open(m)
        self.enabled[m] = False
        self._setpoint[self.layout.ports_of_mim[m]] = 0.0
        self.sequence_ack[m] = self.command_status[m] = 0
        self._watchdogs.reset(m)
        self.alarms[m] = Alarm.REBOOTED
