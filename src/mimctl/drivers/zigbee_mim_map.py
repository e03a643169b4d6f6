"""Everything that a MIM over Zigbee tells, and how often: known without a radio, so simulations ask for it too."""

from __future__ import annotations

from mimctl.model.zigbee import ZigbeeMap, ZigbeePoint
from mimctl.wire.zigbee import mim_layout as layout

#: ElectricalMeasurement: attribute of phase A, distance of phases B and C, multiplier, divisor; the sign makes injection positive
_METER = 0x0B04
_PHASES = (0x000, 0x400, 0x500)
_MEASURED = {
    "voltage": (0x0505, 0x0600, 0x0601, 1, 1.0),
    "current": (0x0508, 0x0602, 0x0603, 1, 0.1),
    "active_power": (0x050B, 0x0604, 0x0605, -1, 20.0),
    "reactive_power": (0x050E, 0x0604, 0x0605, -1, 20.0),
}
#: what is told when it changes by so much, in the unit of its quantity; the others at every regular report
_CHANGES = {"soc": 1.0, "temperature": 2.0, "thd_v": 0.5, "thd_i": 2.0, "voltage_angle": 5.0, "harmonic_share": 5.0}
_SELDOM_S = 60.0
_STEADY = ("sequence_ack", "command_status", "status", "alarms")


def mim_map(ports: int, report_every_s: float) -> ZigbeeMap:
    """Everything that a MIM with so many ports tells.

    Args:
        report_every_s: longest age of what control decides on [s].
    """
    most_s = max(1.0, report_every_s)
    points = [
        ZigbeePoint("frequency", _METER, 0x0300, multiplier=0x0400, divisor=0x0401, change=0.05, most_s=_SELDOM_S, least_s=most_s)
    ]
    for port in range(ports):
        points += _port_points(port, most_s)
    points += [_own(key, number, scale, most_s) for number, (key, _, scale) in layout.DEVICE_ATTRIBUTES.items() if key != "ports"]
    return ZigbeeMap(tuple(points), commands=True)


def _port_points(port: int, most_s: float) -> list[ZigbeePoint]:
    place, endpoint, phase = f"port{port + 1}", 1 + port // 3, _PHASES[port % 3]
    measured = [
        ZigbeePoint(
            f"{quantity}.{place}",
            _METER,
            attribute + phase,
            endpoint,
            multiplier=multiplier,
            divisor=divisor,
            sign=sign,
            most_s=most_s,
            change=change,
        )
        for quantity, (attribute, multiplier, divisor, sign, change) in _MEASURED.items()
    ]
    own = [
        _own(f"{key}.{place}", layout.port_attribute(port, which), scale, most_s)
        for which, (key, _, scale) in layout.PORT_ATTRIBUTES.items()
        if key != "harmonic_orders"
    ]
    return measured + own


def _own(key: str, attribute: int, scale: float, most_s: float) -> ZigbeePoint:
    """Of the MIM's own cluster: states at once, slow quantities seldom."""
    quantity = key.partition(".")[0]
    seldom = quantity in _CHANGES or quantity.startswith(("available", "setpoint"))
    return ZigbeePoint(
        key,
        layout.CLUSTER,
        attribute,
        manufacturer=layout.MANUFACTURER,
        scale=scale,
        least_s=0.0 if quantity in _STEADY else most_s if quantity == "watchdog_remaining" else 1.0,
        most_s=max(_SELDOM_S, most_s) if seldom else most_s,
        change=50.0 if quantity.startswith("available") else _CHANGES.get(quantity, 0.0),
    )
