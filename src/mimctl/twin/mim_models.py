"""The SunSpec models that a virtual MIM has, as they stand at switch-on."""

from __future__ import annotations

import math

from mimctl.model.layout import SiteLayout
from mimctl.model.site import ExpiryAction, Mim
from mimctl.twin.images import MARGIN, exponent_for
from mimctl.twin.meters import common_model
from mimctl.wire.sunspec_image import ModelContent
from mimctl.wire.sunspec_keys import MIM_CONTROL, MIM_FORM, MIM_MEASUREMENT
from mimctl.wire.sunspec_models import vendor_model_id

#: DER storage capacity
STORAGE = 713
#: the largest value that is not “no value”
UINT16_MAX = 65534
#: values of WdAct in the definition of the control model
EXPIRY_CODES = {ExpiryAction.HOLD: 0, ExpiryAction.ZERO: 1, ExpiryAction.REVERT: 2, ExpiryAction.DISCONNECT: 3}


def mim_models(mim: Mim, layout: SiteLayout) -> list[ModelContent]:
    """The models of one MIM at switch-on."""
    ports = range(len(mim.ports))
    capacity_wh = sum(b.capacity_wh for b in layout.batteries if b.mim == mim.id)
    energy = exponent_for(capacity_wh, UINT16_MAX, 0)
    storage = [ModelContent(STORAGE, {"WH_SF": energy, "Pct_SF": -2, "SoH": 100})] if capacity_wh else []
    zeros = {f"{group}[{n}].{name}": 0.0 for group in ("Ph", "PhRvrt") for n in ports for name in ("W", "Var")}
    if mim.harmonic_filter is not None:
        zeros |= {f"Ph[{n}].{name}": 0.0 for n in ports for name in ("HarmShr", "HarmOrd")}
    zeros |= {"Cmt.Ena": 0, "Cmt.CtlHb": 0, "Cmt.SeqCmd": 0}
    counts = {"NPh": len(mim.ports)}
    control: dict[str, float | str] = {"W_SF": -1, "Pct_SF": -2, **watchdog_registers(mim), **zeros}
    return [
        common_model("virtual MIM", mim.id),
        *storage,
        *_form_models(mim, layout),
        ModelContent(vendor_model_id(MIM_CONTROL), control, counts),
        ModelContent(vendor_model_id(MIM_MEASUREMENT), _measurement_scales(mim, layout), counts),
    ]


def _form_models(mim: Mim, layout: SiteLayout) -> list[ModelContent]:
    """Form mode, of MIMs that may form an island."""
    if all(mim.id not in island.formers for island in layout.site.islands):
        return []
    volts = layout.voltage_ln_v[layout.node_index[mim.ports[0].node]]
    scales = {"V_SF": exponent_for(MARGIN * float(volts), UINT16_MAX, -2), "Hz_SF": -2, "Ang_SF": -2}
    nominal = {"V": float(volts), "Hz": layout.site.frequency_hz, "Ang": 0.0}
    return [ModelContent(vendor_model_id(MIM_FORM), {**scales, **nominal, **form_registers(mim)})]


def form_registers(mim: Mim) -> dict[str, float]:
    """Registers of form mode that a device forgets when it loses its power."""
    return {"FmTms": max(1, math.ceil(mim.validity_s)), "Cmt.Mode": 0, "Cmt.CtlHb": 0, "Cmt.SeqCmd": 0}


def watchdog_registers(mim: Mim) -> dict[str, float]:
    return {"WdAct": EXPIRY_CODES[mim.expiry_action], "WdTms": max(1, math.ceil(mim.validity_s))}


def _measurement_scales(mim: Mim, layout: SiteLayout) -> dict[str, float | str]:
    volts = [p.connection.nominal_voltage_v(layout.nodes[layout.node_index[p.node]].voltage_ln_v) for p in mim.ports]
    largest_va = MARGIN * max(p.rating_va for p in mim.ports)
    return {
        "V_SF": exponent_for(MARGIN * max(volts), UINT16_MAX, -2),
        "A_SF": exponent_for(largest_va / min(volts), UINT16_MAX, -3),
        "W_SF": -1,
        "Avl_SF": exponent_for(largest_va, UINT16_MAX, -1),
        "Hz_SF": -3,
        "Ang_SF": -2,
        "Pct_SF": -2,
        "Tmp_SF": -1,
    }
