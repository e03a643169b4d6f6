"""A small hall, its twin and its service as processes of their own, and clients that share no code with the service."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import sunspec2.device
import sunspec2.modbus.client as sunspec
from tests.conftest import free_ports
from tests.site_factory import site_dict, write_site

from mimctl.model.resources import data_root

#: no wait is longer, however slow the machine
WITHIN_S = 30.0
VALIDITY_S = 3
CYCLE_S = 0.4
#: what a MIM without storage takes for itself while it is switched on, per port, with room for its meter's noise [W]
STANDBY_W = 5.0
REJECTED, REVERTED = 2, 3

Value = TypeVar("Value")


def hall_dict(
    *, racks: int = 3, feeds: int = 1, validity: str = f"{VALIDITY_S} s", cycle_s: float = CYCLE_S, ports: list[int] | None = None
) -> dict[str, Any]:
    """Racks with uneven loads under one PDU a feed, one zone: short cycles, a short validity, on free ports.

    Args:
        ports: of the links, those of the feeds first.
    """
    data = site_dict(racks, feeds=feeds)
    for mim in data["mims"]:
        mim |= {"validity": validity, "response": "0.2 s"}
    data["zones"] = [{"id": "hall", "heads": [feed["node"] for feed in data["feeds"]], "cycle": f"{cycle_s} s"}]
    data["control"] = {"site_period": "1 s", "max_data_age": f"{5 * cycle_s} s"}
    data["twin"]["load_noise_pct"] = 0.2
    for link, port in zip(data["links"], ports or free_ports(len(data["links"])), strict=True):
        link["port"] = port
    return data


def hall(folder: Path, name: str = "site.yaml", **bend: Any) -> Path:
    """`hall_dict` as a site file."""
    return write_site(folder, hall_dict(**bend), name)


def until(wanted: Callable[[], Value], what: str, within_s: float = WITHIN_S) -> Value:
    """The first answer of `wanted` that is true."""
    deadline = time.monotonic() + within_s
    while not (value := wanted()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.03)
    return value


@dataclass(eq=False)
class Run:
    """One process of mimctl; standard error goes to a file, so that it can be read while it runs."""

    process: subprocess.Popen[str]
    errors: Path

    def said(self) -> str:
        return self.errors.read_text(encoding="utf-8")

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.said().splitlines()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(WITHIN_S)


@dataclass(eq=False)
class Machine:
    """Starts processes that share a state directory of their own; `end` leaves none behind."""

    folder: Path
    runs: list[Run] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def environment(self, **more: str) -> dict[str, str]:
        self.home.mkdir(exist_ok=True)
        own = {"HOME": str(self.home), "XDG_STATE_HOME": str(self.home / "state"), "XDG_RUNTIME_DIR": str(self.home)}
        return {**os.environ, **own, **more}

    def start(self, *arguments: object, environment: dict[str, str] | None = None, **options: Any) -> Run:
        errors = self.folder / f"stderr-{len(self.runs)}.txt"
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "mimctl", *map(str, arguments)],
                **{"cwd": self.home.parent, "stdout": subprocess.DEVNULL, "text": True} | options,
                env=self.environment(**(environment or {})),
                stderr=stderr,
            )
        run = Run(process, errors)
        self.runs.append(run)
        return run

    def twin(self, site: Path, *options: object) -> Run:
        """Serve a site, at the addresses of its file; returns when every server listens."""
        addresses = self.folder / f"twin-{len(self.runs)}.json"
        run = self.start("twin", site, "--json", addresses, *options)
        until(lambda: addresses.exists() or run.process.poll() is not None, "the twin serves")
        assert run.process.poll() is None, run.said()
        return run

    def service(self, site: Path, *options: object, environment: dict[str, str] | None = None) -> Run:
        return self.start("run", site, *options, environment=environment)

    def command(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself."""
        return subprocess.run(
            [sys.executable, "-m", "mimctl", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )

    @property
    def state(self) -> Path:
        return self.home / "state" / "mimctl" / "hall"

    def ask(self) -> dict[str, Any] | None:
        """The status of the running service by its socket; None when nobody answers."""
        try:
            with socket.socket(socket.AF_UNIX) as door:
                door.settimeout(2.0)
                door.connect(str(self.state / "door.sock"))
                door.sendall(b'{"ask": "status"}\n')
                with door.makefile() as reply:
                    return json.loads(reply.readline())["ok"]  # type: ignore[no-any-return]
        except (OSError, ValueError):
            return None

    def zone(self) -> dict[str, Any]:
        status = self.ask()
        return status["zones"]["hall"] if status else {"state": "silent", "cycles": 0, "nodes": {}, "mims": {}}

    def balanced(self, run: Run, mims: int = 3) -> dict[str, Any]:
        """Wait until the PDU is in balance by the work of so many MIMs."""

        def now() -> dict[str, Any] | None:
            assert run.process.poll() is None, run.said()
            zone = self.zone()
            ratio = zone["nodes"].get("pdu-a1", {}).get("i2_i1")
            at_work = sum(mim["in_force"] for mim in zone["mims"].values())
            return zone if ratio is not None and ratio < 0.02 and at_work == mims else None

        return until(now, "the PDU is balanced")

    def end(self) -> None:
        for run in reversed(self.runs):
            if run.process.poll() is None:
                run.process.send_signal(signal.SIGCONT)
                run.process.terminate()
                try:
                    run.process.wait(10)
                except subprocess.TimeoutExpired:
                    run.process.kill()
                    run.process.wait(10)
            for pipe in (run.process.stdin, run.process.stdout):
                if pipe is not None:
                    pipe.close()


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    made = Machine(folder)
    try:
        yield made
    finally:
        made.end()


class Looker:
    """One MIM through the client of another maker."""

    def __init__(self, port: int, unit: int, *, host: str = "127.0.0.1", tls: dict[str, str] | None = None) -> None:
        sunspec2.device.set_model_defs_path([str(data_root() / "device_profiles/sunspec/models"), sunspec2.device.models_dir])
        secure: dict[str, Any] = {}
        if tls:
            secure = {"tls": True, "cafile": tls["ca"], "certfile": tls["certificate"], "keyfile": tls["key"]}
        self._device = sunspec.SunSpecModbusClientDeviceTCP(slave_id=unit, ipaddr=host, ipport=port, timeout=10, **secure)
        self._device.connect()
        self._device.scan()

    def control(self) -> dict[str, Any]:
        return self._model(64900)

    def measurement(self) -> dict[str, Any]:
        return self._model(64901)

    def raw_control(self) -> bytes:
        """The control model as it stands in the registers."""
        model = self._device.models[64900][0]
        return bytes(self._device.read(model.model_addr, model.model_len + 2))

    def output_w(self) -> list[float]:
        return [port["W"] for port in self.measurement()["Ph"]]

    def at_rest(self) -> bool:
        """Nothing but its own standby flows, and nothing else is wanted of it."""
        return max(map(abs, self.output_w())) <= STANDBY_W and not any(self.setpoints())

    def setpoints(self) -> list[float]:
        return [port[name] for port in self.control()["Ph"] for name in ("W", "Var")]

    def close(self) -> None:
        self._device.disconnect()

    def _model(self, number: int) -> dict[str, Any]:
        model = self._device.models[number][0]
        model.read()
        return model.get_dict(computed=True)  # type: ignore[no-any-return]


@contextmanager
def lookers(port: int, units: list[int], **options: Any) -> Iterator[list[Looker]]:
    made: list[Looker] = []
    try:
        for unit in units:
            made.append(Looker(port, unit, **options))
        yield made
    finally:
        for looker in made:
            looker.close()
