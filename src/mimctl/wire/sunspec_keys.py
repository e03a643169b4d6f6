"""Which SunSpec point is which quantity of mimctl. Power factor is left out on purpose: devices encode it in five ways.

Meters: import positive, as SunSpec has it; a site turns a meter that was built in the other way round. Inverters and MIMs:
injection positive, vars supplied positive.
"""

from __future__ import annotations

from collections.abc import Mapping

#: groups of the MIM's own models; their ids stand in the definition files alone
MIM_CONTROL = "MIMPhaseCtl"
MIM_MEASUREMENT = "MIMPQMeas"
MIM_FORM = "MIMFormCtl"

_PHASES = {"A": "L1", "B": "L2", "C": "L3"}
_PAIRS = {"AB": "L1L2", "BC": "L2L3", "CA": "L3L1"}


def _per_phase(pattern: str, quantity: str) -> dict[str, str]:
    return {pattern.format(letter): f"{quantity}.{place}" for letter, place in _PHASES.items()}


def _meter() -> dict[str, str]:
    keys = _per_phase("Aph{}", "current") | _per_phase("PhVph{}", "voltage")
    keys |= {f"PhVph{pair}": f"voltage.{place}" for pair, place in _PAIRS.items()}
    keys |= {f"PPVph{pair}": f"voltage.{place}" for pair, place in _PAIRS.items()}
    keys |= {"Hz": "frequency", "W": "active_power.total", "VA": "apparent_power.total", "VAR": "reactive_power.total"}
    keys |= _per_phase("Wph{}", "active_power") | _per_phase("VAph{}", "apparent_power") | _per_phase("VARph{}", "reactive_power")
    keys |= {"TotWhImp": "energy_import.total", "TotWhExp": "energy_export.total"}
    return keys | _per_phase("TotWhImpPh{}", "energy_import") | _per_phase("TotWhExpPh{}", "energy_export")


def _single_phase_meter() -> dict[str, str]:
    """Only the totals are mandatory in a single-phase meter, and they are its one phase."""
    keys = {"Hz": "frequency", "AphA": "current.L1", "PhVphA": "voltage.L1"}
    keys |= {"W": "active_power.L1", "VA": "apparent_power.L1", "VAR": "reactive_power.L1"}
    return keys | {"TotWhImp": "energy_import.total", "TotWhExp": "energy_export.total"}


def _inverter(place: str) -> dict[str, str]:
    keys = _per_phase("Aph{}", "current") | _per_phase("PhVph{}", "voltage")
    keys |= {f"PPVph{pair}": f"voltage.{name}" for pair, name in _PAIRS.items()}
    keys |= {"W": f"active_power.{place}", "VA": f"apparent_power.{place}", "VAr": f"reactive_power.{place}"}
    keys |= {"Hz": "frequency", "WH": "energy_export.total", "TmpCab": "temperature", "St": "status", "Evt1": "alarms"}
    return keys | {"DCW": "dc_power"}


def _der_measurement() -> dict[str, str]:
    keys = {"W": "active_power.total", "VA": "apparent_power.total", "Var": "reactive_power.total", "Hz": "frequency"}
    keys |= {"TotWhInj": "energy_export.total", "TotWhAbs": "energy_import.total"}
    keys |= {"TmpCab": "temperature", "InvSt": "status", "Alrm": "alarms"}
    for n, pair in zip("123", _PAIRS.values(), strict=True):
        keys |= {f"WL{n}": f"active_power.L{n}", f"VAL{n}": f"apparent_power.L{n}", f"VarL{n}": f"reactive_power.L{n}"}
        keys |= {f"AL{n}": f"current.L{n}", f"VL{n}": f"voltage.L{n}", f"V{pair}": f"voltage.{pair}"}
        keys |= {f"TotWhInjL{n}": f"energy_export.L{n}", f"TotWhAbsL{n}": f"energy_import.L{n}"}
    return keys


#: the most ports that the MIM models carry
MAX_PORTS = 9
_PORT_POINTS = {
    "V": "voltage",
    "A": "current",
    "W": "active_power",
    "Var": "reactive_power",
    "VAng": "voltage_angle",
    "AAng": "current_angle",
    "ThdV": "thd_v",
    "ThdA": "thd_i",
    "WAvl": "available_inject",
    "WAvlAbs": "available_absorb",
    "VarAvl": "available_reactive",
    "HarmShrAct": "harmonic_share",
}


def _mim_measurement() -> dict[str, str]:
    keys = {
        "Seq": "sequence",
        "MimHb": "heartbeat",
        "WdRem": "watchdog_remaining",
        "SeqAck": "sequence_ack",
        "CmdSta": "command_status",
        "Alrm": "alarms",
        "St": "operating_state",
        "Hz": "frequency",
        "Tmp": "temperature",
    }
    ports = range(MAX_PORTS)
    return keys | {f"Ph[{n}].{name}": f"{quantity}.port{n + 1}" for n in ports for name, quantity in _PORT_POINTS.items()}


_METER = _meter()
_BY_ID: dict[int, Mapping[str, str]] = {
    101: _inverter("L1"),
    102: _inverter("total"),
    103: _inverter("total"),
    111: _inverter("L1"),
    112: _inverter("total"),
    113: _inverter("total"),
    201: _single_phase_meter(),
    202: _METER,
    203: _METER,
    204: _METER,
    211: _single_phase_meter(),
    212: _METER,
    213: _METER,
    214: _METER,
    701: _der_measurement(),
    121: {"WMax": "rating_active_power", "VAMax": "rating_apparent_power"},
    124: {"ChaState": "soc"},
    702: {
        "WMaxRtg": "rating_active_power",
        "VAMaxRtg": "rating_apparent_power",
        "WChaRteMaxRtg": "rating_charge_power",
        "WDisChaRteMaxRtg": "rating_discharge_power",
    },
    713: {"SoC": "soc", "WHRtg": "rating_energy"},
    802: {"SoC": "soc", "Hb": "heartbeat"},
}
_BY_NAME: dict[str, Mapping[str, str]] = {MIM_MEASUREMENT: _mim_measurement()}
_IDENTITY = {"Mn": "manufacturer", "Md": "model", "Opt": "options", "Vr": "version", "SN": "serial"}

METER_MODELS = frozenset({201, 202, 203, 204, 211, 212, 213, 214})
INVERTER_MODELS = frozenset({101, 102, 103, 111, 112, 113, 701})


def keys_of(model_id: int, name: str) -> Mapping[str, str]:
    """Point path → point key of one model; empty for a model that tells nothing mimctl uses."""
    return _BY_ID.get(model_id) or _BY_NAME.get(name, {})


def identity_names() -> Mapping[str, str]:
    """Points of the common model that say what the device is."""
    return _IDENTITY
