"""Builds site files of any size for tests: plain data that a test may bend before writing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

PHASES = ("L1", "L2", "L3")


def site_dict(
    racks: int = 3,
    *,
    racks_per_pdu: int = 12,
    feeds: int = 1,
    port: int = 15020,
    rating_va: float = 2000.0,
    battery: bool = False,
) -> dict[str, Any]:
    """A hall: feeds → PDUs → racks, one three-port MIM, one meter and three uneven loads a rack; no problem in it.

    Args:
        racks: in all, dealt out to the feeds in turn.
        racks_per_pdu: one PDU, one link and one meter for so many racks.
        port: TCP port of the first link, counting up.
        rating_va: of each MIM port [VA].
        battery: put one behind the first MIM.
    """
    data: dict[str, Any] = {
        "schema": 1,
        "site": {"id": "hall", "timezone": "Europe/Zurich", "frequency": "50 Hz", "voltage": "230/400 V"},
        **{section: [] for section in ("links", "feeds", "nodes", "meters", "mims", "batteries")},
        "twin": {"loads": []},
    }
    for f in range(feeds):
        name = chr(ord("a") + f)
        data["feeds"].append({"id": name.upper(), "node": f"feed-{name}"})
        data["nodes"].append({"id": f"feed-{name}", "kind": "feed", "rating_a": 250.0 + 32.0 * racks})
        data["links"].append({"id": f"gw-feed-{name}", "host": "127.0.0.1", "port": port + f})
        data["meters"].append(_device(f"meter-feed-{name}", f"feed-{name}", f"gw-feed-{name}", 1))
        mine = range(f, racks, feeds)
        for p, first in enumerate(range(0, len(mine), racks_per_pdu)):
            here = len(mine[first : first + racks_per_pdu])
            _add_pdu(data, f"{name}{p + 1}", f"feed-{name}", racks=here, first_port=port + feeds, rating_va=rating_va)
    if battery and data["mims"]:
        data["batteries"].append(
            {"id": "battery-1", "mim": data["mims"][0]["id"], "capacity": "10 kWh", "max_charge": "3 kW", "max_discharge": "4 kW"}
        )
    return data


def _add_pdu(data: dict[str, Any], name: str, feed: str, *, racks: int, first_port: int, rating_va: float) -> None:
    pdu, link = f"pdu-{name}", f"gw-pdu-{name}"
    own_links = sum(entry["id"].startswith("gw-pdu") for entry in data["links"])
    data["nodes"].append({"id": pdu, "kind": "pdu", "parent": feed, "rating_a": 63.0, "cable": {"r": "20 mohm", "x": "3 mohm"}})
    data["links"].append({"id": link, "host": "127.0.0.1", "port": first_port + own_links})
    data["meters"].append(_device(f"meter-{pdu}", pdu, link, 1))
    for r in range(1, racks + 1):
        rack = f"rack-{name}-{r}"
        cable = {"length": "12 m", "r_per_km": "3.08 ohm/km", "x_per_km": "0.1 ohm/km"}
        data["nodes"].append({"id": rack, "kind": "rack", "parent": pdu, "rating": "32 A", "cable": cable})
        data["meters"].append(_device(f"meter-{rack}", rack, link, 10 + r))
        mim = _device(f"mim-{name}-{r}", rack, link, 110 + r)
        data["mims"].append({**mim, "ports": list(PHASES), "rating_va": rating_va, "losses": {"standby": "6 W", "linear": "1.2 %"}})
        for i, phase in enumerate(PHASES):
            power = 300 + 130 * ((r + 2 * i) % 3)
            data["twin"]["loads"].append({"node": rack, "connection": phase, "typical": f"{power} W"})


def _device(name: str, node: str, link: str, unit: int) -> dict[str, Any]:
    return {"id": name, "node": node, "link": link, "unit": unit}


def write_site(folder: Path, data: dict[str, Any], name: str = "site.yaml") -> Path:
    """Write the data as YAML and return the path."""
    path = folder / name
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path
