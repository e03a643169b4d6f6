"""The quantities a device can have, each with its unit: the vocabulary of register maps, samples and profiles.

A point key is `quantity` or `quantity.place`; places are L1 L2 L3 (line to neutral), L1L2 L2L3 L3L1, N, total, or a port number
`port1`, `port2`, … where a device counts ports. Values are in the unit of this table and in mimctl's signs: load (import)
positive at meters, injection (discharge) positive at MIMs and batteries.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quantity:
    name: str
    unit: str
    meaning: str


def _table(*rows: tuple[str, str, str]) -> dict[str, Quantity]:
    return {name: Quantity(name, unit, meaning) for name, unit, meaning in rows}


QUANTITIES: dict[str, Quantity] = _table(
    ("voltage", "V", "rms voltage, line to neutral or line to line by its place"),
    ("current", "A", "rms current"),
    ("active_power", "W", "active power"),
    ("reactive_power", "var", "reactive power of the fundamental; inductive load or supplied vars positive"),
    ("apparent_power", "VA", "apparent power"),
    ("voltage_angle", "deg", "angle of the voltage against L1 of the site"),
    ("current_angle", "deg", "angle of the current against L1 of the site"),
    ("thd_v", "%", "total harmonic distortion of the voltage, relative to the fundamental"),
    ("thd_i", "%", "total harmonic distortion of the current, relative to the fundamental"),
    ("frequency", "Hz", "mains frequency"),
    ("energy_import", "Wh", "energy counter, import"),
    ("energy_export", "Wh", "energy counter, export"),
    ("available_inject", "W", "what the port could inject now"),
    ("available_absorb", "W", "what the port could absorb now"),
    ("available_reactive", "var", "vars the port could supply or absorb now"),
    ("harmonic_share", "%", "share of the local harmonic current that is being compensated"),
    ("soc", "%", "state of charge"),
    ("battery_power", "W", "power of the storage on its DC side; discharge positive"),
    ("battery_voltage", "V", "voltage of the storage"),
    ("battery_current", "A", "current of the storage; discharge positive"),
    ("dc_power", "W", "power that the DC side (panels, storage) gives to the device"),
    ("temperature", "degC", "temperature"),
    ("status", "", "status word or enumeration"),
    ("alarms", "", "alarm bits"),
    ("operating_state", "", "of a MIM: 0 off, 1 standby, 2 follows setpoints, 3 forms a bus, 4 fault"),
    ("sequence", "", "freshness counter of the measurement"),
    ("sequence_ack", "", "sequence number of the setpoint in force"),
    ("command_status", "", "0 accepted, 1 clipped, 2 rejected, 3 reverted"),
    ("heartbeat", "", "the device's own heartbeat"),
    ("watchdog_remaining", "s", "seconds left until the expiry action"),
    ("setpoint_active_power", "W", "active power setpoint in force"),
    ("setpoint_reactive_power", "var", "reactive power setpoint in force"),
    ("rating_active_power", "W", "rated active power"),
    ("rating_current", "A", "rating of the breaker"),
    ("rating_apparent_power", "VA", "rated apparent power"),
    ("rating_charge_power", "W", "greatest power that the storage can be charged with"),
    ("rating_discharge_power", "W", "greatest power that the storage can give"),
    ("rating_energy", "Wh", "energy of the storage from empty to full"),
)


#: what control does not decide on: read now and then where it takes a read of its own
SLOW_QUANTITIES = frozenset(
    {
        "energy_import",
        "energy_export",
        "temperature",
        "thd_v",
        "thd_i",
        "apparent_power",
        "soc",
        "harmonic_share",
        "battery_voltage",
        "battery_current",
        "dc_power",
        "rating_active_power",
        "rating_current",
        "rating_apparent_power",
        "rating_charge_power",
        "rating_discharge_power",
        "rating_energy",
    }
)


def quantity_of(key: str) -> Quantity | None:
    """The quantity that a point key names, None if there is none of that name."""
    return QUANTITIES.get(key.partition(".")[0])
