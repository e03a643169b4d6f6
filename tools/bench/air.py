"""MIMs on the air: what the bridges take of a core, how late a value is, what is lost, what it takes of memory.

Zigbee: MIMs that report through the in-memory radio, every frame real, against zigpy alone without a bridge that listens. LoRaWAN:
MIMs through mosquitto with a stand-in for ChirpStack in a process of its own, JSON against protobuf in turns.

Usage: tools/bench/air.py [zigbee|lorawan] [--json FILE]      (both without a word; further options: --help)
"""

from __future__ import annotations

import argparse
import asyncio

import _air_lorawan
import _air_zigbee
from _measure import save, show

MEDIA = ("zigbee", "lorawan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("medium", nargs="*", choices=[[], *MEDIA], help="default: both")
    parser.add_argument("--mims", type=int, default=300, help="on Zigbee")
    parser.add_argument("--every", type=float, default=5.0, help="Zigbee: seconds between two reports of a MIM")
    parser.add_argument("--seconds", type=float, default=20.0, help="Zigbee: how long each part takes")
    parser.add_argument("--devices", type=int, default=1000, help="on LoRaWAN")
    parser.add_argument("--frames", type=int, default=4000, help="LoRaWAN: uplinks of each turn")
    parser.add_argument("--speed", type=float, default=20.0, help="LoRaWAN: times faster than one uplink a minute")
    parser.add_argument("--rounds", type=int, default=2, help="LoRaWAN: turns of each marshalling")
    parser.add_argument("--json", help="- is standard output")
    options = parser.parse_args()
    everything: list[dict[str, object]] = []
    for medium in options.medium or MEDIA:
        if medium == "zigbee":
            rows = asyncio.run(_air_zigbee.measure(options.mims, options.every, options.seconds))
            title = f"Zigbee: {len(_air_zigbee.ATTRIBUTES)} attributes of each MIM every {options.every:g} s"
        else:
            rows = asyncio.run(_air_lorawan.measure(options.devices, options.frames, options.speed, options.rounds))
            title = f"LoRaWAN: one uplink a minute of each, sent {options.speed:g} times as fast; the core is for the real rate"
        everything += rows
        if options.json != "-":
            show(title, rows)
    if options.json:
        save("MIMs on the air", everything, options.json)


if __name__ == "__main__":
    main()
