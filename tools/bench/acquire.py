"""Reading many devices: 1,000 virtual SunSpec devices with a connection each, 123 registers each at 1 Hz, on one core.

mimctl's link, driver and codec (every point decoded, the reading with its quality) against bare pymodbus reads, and against
pymodbus with pysunspec2's decoding, in turns, each way in a process of its own and on the same event loop. CPU is the client's own;
the servers are another process on the other cores. Beside it: decoding model 701 alone.

Usage: tools/bench/acquire.py [--devices 1000] [--seconds 3] [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import resource
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import sunspec2.device
from _measure import interleaved, ratio, show

from mimctl.model.profile import RegisterMap
from mimctl.wire.registers import CompiledMap
from mimctl.wire.sunspec import ModelBlock
from mimctl.wire.sunspec_image import ModelContent, build_chain
from mimctl.wire.sunspec_map import model_map
from mimctl.wire.sunspec_models import definition_of, leaves

HERE = Path(__file__).resolve().parent
WAYS = ("pymodbus", "pymodbus+pysunspec2", "mimctl")
#: model 701 is longer than one Modbus answer; for the codec alone that does not matter
_ONE_READ = 200


def image() -> tuple[bytes, int]:
    """A meter that tells everything; the chain from its mark on."""
    rng = random.Random(701)
    meter = {"W_SF": 0, "V_SF": -1, "A_SF": -2, "Hz_SF": -2, "VA_SF": 0, "VAR_SF": 0, "PF_SF": -3, "TotWh_SF": 0}
    meter |= {"TotVAh_SF": 0, "TotVArh_SF": 0}
    exponents = set(meter)
    for leaf in leaves(definition_of(203) or {}, 105, {}):
        if leaf.path not in (exponents | {"ID", "L"}):
            meter[leaf.path] = 1 if leaf.definition["type"].startswith("bit") else rng.randrange(1, 300) / 10
    meter["Evt"] = 0
    limits = {leaf.path: 1 for leaf in leaves(definition_of(128) or {}, 14, {}) if leaf.definition["type"] not in ("sunssf", "pad")}
    limits |= {leaf.path: 0 for leaf in leaves(definition_of(128) or {}, 14, {}) if leaf.definition["type"] == "sunssf"}
    for name in ("ID", "L"):
        limits.pop(name, None)
    data, chain = build_chain(
        [ModelContent(1, {"Mn": "ACME", "Md": "M1", "SN": "1"}), ModelContent(203, meter), ModelContent(128, limits)]
    )
    return bytes(data), chain.base


@contextmanager
def servers(count: int) -> Iterator[list[int]]:
    """Ports of running virtual devices, in a process of its own on the other cores."""
    data, base = image()
    cores = os.sched_getaffinity(0)
    command = [sys.executable, str(HERE / "_acquire_server.py"), str(count), data.hex(), str(base)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if len(cores) > 1:
        os.sched_setaffinity(process.pid, cores - {min(cores)})
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.communicate(timeout=10)


class Client:
    """One way of reading, in a process that keeps its connections between measurements."""

    def __init__(self, way: str, loop: str, ports: Sequence[int]) -> None:
        command = [sys.executable, str(HERE / "_acquire_client.py"), way, loop]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.rounds: list[dict[str, Any]] = []
        self._ask(json.dumps(ports))

    def _ask(self, line: str) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(line + "\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            sys.exit("a client ended by itself; its error stands above")
        return json.loads(answer)

    def measure(self, seconds: float) -> None:
        self.rounds.append(self._ask(str(seconds)))

    def close(self) -> None:
        self._process.communicate(timeout=30)

    def costs(self) -> list[float]:
        """CPU of each round [µs per poll]."""
        return [r["cpu_us_per_poll"] for r in self.rounds]

    def row(self) -> dict[str, Any]:
        """Median over the rounds; the worst latency and the most memory; errors added up."""
        return {
            "cpu_us_per_poll": median(self.costs()),
            "cpu_pct": median(r["cpu_pct"] for r in self.rounds),
            "late_ms_p50": median(r["late_ms_p50"] for r in self.rounds),
            "late_ms_p99": median(r["late_ms_p99"] for r in self.rounds),
            "late_ms_p99_worst": max(r["late_ms_p99"] for r in self.rounds),
            "rss_mb": max(r["rss_mb"] for r in self.rounds),
            "polls": sum(r["polls"] for r in self.rounds),
            "errors": sum(r["errors"] for r in self.rounds),
        }


def acquire(devices: int, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """The ways in turn, round after round; ratios are medians of the rounds' own, so that what else the machine does hits all."""
    rows: list[dict[str, Any]] = []
    loops = ["asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else [])]
    with servers(devices) as ports:
        for loop in loops:
            clients = {way: Client(way, loop, ports) for way in WAYS}
            for number in range(rounds):
                for way in WAYS if number % 2 == 0 else reversed(WAYS):
                    clients[way].measure(seconds)
            for way in WAYS:
                against = {f"x {name}": _ratio(clients[way], clients[name]) for name in WAYS[:2]}
                rows.append({"loop": loop, "way": way, **clients[way].row(), **against})
            for client in clients.values():
                client.close()
    return rows


def _ratio(one: Client, other: Client) -> float:
    return median(a / b for a, b in zip(one.costs(), other.costs(), strict=True))


def decoding(rounds: int = 300) -> dict[str, Any]:
    """One reading of model 701: our codec against pysunspec2's; both must give the same values."""
    rng = random.Random(1)
    definition = definition_of(701) or {}
    found = leaves(definition, 153, {})
    words = [701, 153, *(rng.randrange(0, 30000) for _ in range(153))]
    for leaf in found:
        if leaf.definition["type"] == "uint64":
            words[leaf.offset] = 0  # beyond 2^53 a float is not the count any more
    for leaf in found:
        if leaf.definition["type"] == "sunssf":
            words[leaf.offset] = rng.choice([0, 0xFFFF, 0xFFFE, 0xFFFD])
        if leaf.path in ("VL1", "AL2"):
            words[leaf.offset] = 0xFFFF if leaf.definition["type"] == "uint16" else 0x8000
    data = struct.pack(">155H", *words)
    register_map: RegisterMap = model_map(ModelBlock(701, 40070, 153))
    compiled = CompiledMap(_long(register_map), _ONE_READ)
    (read,) = compiled.reads
    block = data[2 * (read.address - 40070) : 2 * (read.end - 40070)]
    model = sunspec2.device.Model(701, 40070, 153, data=data)

    def theirs() -> dict[str, Any]:
        model.set_mb(data, dirty=False)
        values: dict[str, Any] = model.get_dict(computed=True)
        return values

    same = _same(theirs(), dict(zip(compiled.keys, compiled.decode([block]).tolist(), strict=True)))
    times = interleaved({"pysunspec2": theirs, "mimctl": lambda: compiled.decode([block])}, rounds)
    return {
        "model": 701,
        "points": len(compiled.keys),
        "pysunspec2_us": 1e3 * times["pysunspec2"].median_ms,
        "mimctl_us": 1e3 * times["mimctl"].median_ms,
        "faster": ratio(times, "pysunspec2", "mimctl"),
        "identical": same,
    }


def _long(register_map: RegisterMap) -> RegisterMap:
    from dataclasses import replace

    return replace(register_map, max_registers=_ONE_READ)


def _same(theirs: dict[str, Any], values: dict[str, float]) -> bool:
    """Whether every number is the same float, and absent on both sides or on none. pysunspec2 takes a counter at 0 for absent."""
    for key, value in values.items():
        other = theirs[key]
        if (value != value) != (other is None) or (other is not None and float(other) != value):  # noqa: PLR0124 - NaN
            return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    decode = decoding()
    if options.json != "-":
        show("Decoding one reading of model 701", [decode])
    rows = acquire(options.devices, options.seconds, options.rounds)
    title = f"{options.devices} devices, 123 registers each at 1 Hz, client on one core"
    show(title, rows, options.json)
    if options.json not in (None, "-"):
        path = Path(options.json)
        path.write_text(json.dumps({**json.loads(path.read_text()), "decode": decode}, indent=1) + "\n")


if __name__ == "__main__":
    main()
