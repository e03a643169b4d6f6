"""Virtual MIMs: the firmware of the fleet behind the registers that the MIM protocol gives it."""

from __future__ import annotations

import math

import numpy as np

from mimctl.model.errors import DeviceRefusal
from mimctl.model.harmonics import HarmonicShare
from mimctl.model.layout import SiteLayout
from mimctl.twin.firmware import Alarm, MimFleet
from mimctl.twin.images import ILLEGAL_VALUE, NO_ANSWER, Display, Image
from mimctl.twin.mim_form_bank import FormBank
from mimctl.twin.mim_instruments import MimInstruments
from mimctl.twin.mim_models import EXPIRY_CODES, STORAGE, mim_models, watchdog_registers
from mimctl.twin.mim_registers import WritableModel
from mimctl.twin.picture import Picture, World
from mimctl.wire.sunspec import BASES, ModelBlock
from mimctl.wire.sunspec_image import build_chain
from mimctl.wire.sunspec_keys import MIM_FORM
from mimctl.wire.sunspec_map import model_map
from mimctl.wire.sunspec_models import vendor_model_id

_EXPIRY_ACTIONS = {code: action for action, code in EXPIRY_CODES.items()}


class MimBank:
    """A MIM as a `wire.modbus_server.RegisterBank`: common model, storage if it has one, control, measurement.

    Setpoint registers hold what was staged since the last commit, otherwise what is in force. A write is taken as a whole or
    refused as a whole; a MIM that is off line is answered for by its gateway.
    """

    def __init__(self, m: int, layout: SiteLayout, world: World, rng: np.random.Generator) -> None:
        self._m = m
        self._mim = layout.mims[m]
        self._layout = layout
        self._world = world
        self._instruments = MimInstruments(m, layout, world, rng)
        self._staged = False
        self._seen: Picture | None = None
        base = BASES[0] if self._mim.address.base is None else self._mim.address.base
        data, chain = build_chain(mim_models(self._mim, layout), base)
        self._image = Image(self._mim.id, base, data)
        self._control = WritableModel(chain.models[-2])
        self._control_display = Display(self._image, self._control.register_map, _shown(self._control))
        forms = [block for block in chain.models if block.id == vendor_model_id(MIM_FORM)]
        self._form = FormBank(m, self._mim, forms[0], self._image) if forms else None
        self._measurement = self._display_of(chain.models[-1])
        self._storage = self._display_of(chain.models[1]) if chain.models[1].id == STORAGE else None
        self.kind = f"MIM, {len(self._mim.ports)} ports" + (", storage" if self._storage else "")

    def read(self, address: int, count: int) -> bytes:
        self._require_online()
        picture = self._world.look()
        if picture is not self._seen:
            self._measurement.show(self._instruments.measured(picture))
            if self._storage is not None:
                self._storage.show(self._instruments.stored())
            self._seen = picture
        self._reflect()
        return self._image.read(address, count)

    def write(self, address: int, data: bytes) -> None:
        self._require_online()
        if self._form is not None and self._form.holds(address):
            self._world.advance()
            self._form.write(self._fleet, address, data)
            self._seen = None
            return
        touched = self._control.points_of(self._mim.id, address, len(data) // 2)
        self._world.advance()
        self._reflect()
        before = self._image.read(address, len(data) // 2)
        self._image.put(address, data)
        values = self._control.values(self._image)
        problem = _objection(values)
        if problem is not None:
            self._image.put(address, before)
            raise DeviceRefusal(self._mim.id, problem, ILLEGAL_VALUE)
        self._act(touched, values)
        self._seen = None  # what became of the command is told at once, not with the next picture

    @property
    def _fleet(self) -> MimFleet:
        return self._instruments.fleet

    def _require_online(self) -> None:
        if not self._fleet.online[self._m]:
            raise DeviceRefusal(self._mim.id, "off line", NO_ANSWER)

    def _act(self, touched: set[str], values: dict[str, float]) -> None:
        """Hand a write to the firmware: settings, then heartbeat and enable, then the commit; switching off comes last."""
        fleet, m = self._fleet, self._m
        if touched & {"WdTms", "WdAct"}:
            fleet.set_watchdog(m, values["WdTms"], _EXPIRY_ACTIONS[int(values["WdAct"])])
        if any(path.startswith("PhRvrt") for path in touched):
            fleet.set_fallback(m, self._ports(values, "PhRvrt", "W"), self._ports(values, "PhRvrt", "Var"))
        self._staged |= any(path.startswith("Ph[") for path in touched)
        if "Cmt.CtlHb" in touched:
            fleet.heartbeat(m, int(values["Cmt.CtlHb"]))
        if "Cmt.Ena" in touched and values["Cmt.Ena"]:
            fleet.enable(m, on=True)
        if "Cmt.SeqCmd" in touched:
            watts, vars_ = self._ports(values, "Ph", "W"), self._ports(values, "Ph", "Var")
            fleet.apply(m, watts, vars_, int(values["Cmt.SeqCmd"]), self._shares(values))
            self._staged = False
        if "Cmt.Ena" in touched and not values["Cmt.Ena"]:
            fleet.enable(m, on=False)

    def _ports(self, values: dict[str, float], group: str, name: str) -> list[float]:
        return [values[f"{group}[{n}].{name}"] for n in range(len(self._mim.ports))]

    def _shares(self, values: dict[str, float]) -> list[HarmonicShare] | None:
        """What the share registers say; None for a MIM without a filter."""
        if self._mim.harmonic_filter is None:
            return None
        percent, orders = self._ports(values, "Ph", "HarmShr"), self._ports(values, "Ph", "HarmOrd")
        known = [0.0 if math.isnan(o) else o for o in orders]
        return [HarmonicShare(p / 100 if p >= 0 else 0.0, int(o)) for p, o in zip(percent, known, strict=True)]

    def _reflect(self) -> None:
        """Bring the control registers to what the firmware has made of them: clipped, expired, rebooted."""
        fleet, m = self._fleet, self._m
        values: dict[str, float] = {"Cmt.Ena": float(fleet.enabled[m])}
        if not self._staged:
            setpoints = fleet.setpoint_va[self._layout.ports_of_mim[m]]
            for n, s in enumerate(setpoints):
                values |= {f"Ph[{n}].W": float(s.real), f"Ph[{n}].Var": float(s.imag)}
            values |= self._shares_in_force()
        if fleet.alarms[m] & Alarm.REBOOTED:
            values |= {"Cmt.SeqCmd": 0, "Cmt.CtlHb": 0, **watchdog_registers(self._mim)}
        self._control_display.show(values)
        if self._form is not None:
            self._form.reflect(fleet)

    def _shares_in_force(self) -> dict[str, float]:
        if self._mim.harmonic_filter is None:
            return {}
        filters, ports = self._fleet.filters, self._layout.ports_of_mim[self._m]
        told = zip(filters.commanded[ports].tolist(), filters.orders[ports].tolist(), strict=True)
        return {
            f"Ph[{n}].{name}": value
            for n, (share, orders) in enumerate(told)
            for name, value in (("HarmShr", 100 * share), ("HarmOrd", float(orders)))
        }

    def _display_of(self, block: ModelBlock) -> Display:
        register_map = model_map(block)
        return Display(self._image, register_map, (p.key for p in register_map.points))


def _shown(control: WritableModel) -> set[str]:
    """What the firmware shows by itself."""
    points = control.register_map.points
    return {p.key for p in points if p.key.startswith(("Ph[", "Cmt.")) or p.key in ("WdAct", "WdTms")}


def _objection(values: dict[str, float]) -> str | None:
    """What makes a control image impossible; None if nothing does."""
    if not values["WdTms"] >= 1:
        return "a validity of 0 would mean for ever"
    if values["WdAct"] not in _EXPIRY_ACTIONS:
        return f"no such expiry action: {values['WdAct']}"
    if values["Cmt.Ena"] not in (0, 1):
        return f"enable is 0 or 1, not {values['Cmt.Ena']}"
    if any(math.isnan(values[path]) for path in ("Cmt.CtlHb", "Cmt.SeqCmd")):
        return "a counter that says 'no value'"
    return None
