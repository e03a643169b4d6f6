"""`mimctl device` as a process: with and without a running service, dumps, replays, and setpoints that expire."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.system.service_harness import Looker, Machine, hall, machine, until


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path) as made:
        yield made


def address(site: Path, device: str) -> tuple[int, int]:
    """Port and unit of a device."""
    data = yaml.safe_load(site.read_text(encoding="utf-8"))
    entry = next(d for d in (*data["meters"], *data["mims"]) if d["id"] == device)
    port = next(link["port"] for link in data["links"] if link["id"] == entry["link"])
    return port, entry["unit"]


def names(site: Path) -> tuple[str, str]:
    data = yaml.safe_load(site.read_text(encoding="utf-8"))
    return data["mims"][0]["id"], data["meters"][-1]["id"]


def values(text: str) -> dict[str, Any]:
    return {p["point"]: p["value"] for p in json.loads(text)["devices"][0]["points"]}


def test_a_device_is_read_dumped_and_replayed_without_a_service(here: Machine) -> None:
    site = hall(here.folder)
    mim, _ = names(site)
    here.twin(site)
    read = here.command("device", "read", site, mim, "--raw", "--json", "-")
    assert read.returncode == 0, read.stderr
    assert 200 < values(read.stdout)["voltage.port1"] < 250
    dumped = here.command("device", "dump", site, mim, "--output", "mim.json")
    assert (dumped.returncode, "2 places redacted" in dumped.stdout) == (0, True), dumped.stderr
    assert mim not in json.dumps(json.loads((here.folder / "mim.json").read_text())["blocks"])
    decoded = here.command("device", "read", "--dump", "mim.json", "--json", "-")
    assert decoded.returncode == 0, decoded.stderr
    assert set(values(decoded.stdout)) == set(values(read.stdout))
    assert json.loads(decoded.stdout)["devices"][0]["identity"]["serial"] == "REDACTED"
    addresses = here.folder / "replay.json"
    here.start("twin", "--replay", here.folder / "mim.json", "--json", addresses)
    until(addresses.exists, "the replay serves")
    (served,) = json.loads(addresses.read_text())["replays"]
    assert served["units"] == [address(site, mim)[1]]
    looker = Looker(served["port"], served["units"][0])
    try:
        voltage = values(decoded.stdout)["voltage.port1"]
        assert looker.measurement()["Ph"][0]["V"] == pytest.approx(voltage, rel=1e-6)
    finally:
        looker.close()


def test_what_is_wrong_is_one_line(here: Machine) -> None:
    site = hall(here.folder)
    mim, _ = names(site)
    typo = here.command("device", "read", site, mim[:-1] + "x")
    assert (typo.returncode, "did you mean" in typo.stderr) == (1, True)
    silent = here.command("device", "read", site, mim)
    assert (silent.returncode, len(silent.stderr.splitlines())) == (3, 1)
    (here.folder / "bad.json").write_text('{"blocks": [{"start": 0, "words": [70000]}]}')
    bad = here.command("device", "read", "--dump", "bad.json")
    assert (bad.returncode, bad.stderr) == (1, "mimctl: bad.json: blocks[0].words[0]: 70000 is no whole number from 0 to 65535\n")
    assert here.command("device", "read").returncode == 2
    assert here.command("device", "write", site, mim, "--port", 1).returncode == 2
    assert here.command("device", "write", site, mim, "--port", 1, "--w", 1, "--for", "5 parsec").returncode == 2


def test_the_running_service_answers_and_takes_a_setpoint_that_expires(here: Machine) -> None:
    site = hall(here.folder)
    mim, meter = names(site)
    port, unit = address(site, mim)
    here.twin(site)
    run = here.service(site)
    here.balanced(run)
    read = here.command("device", "read", site, meter, "--json", "-")
    assert read.returncode == 0, read.stderr
    assert values(read.stdout)["active_power.L1"] > 0
    shown = here.command("device", "write", site, mim, "--port", 1, "--w", -777, "--json", "-")
    assert (shown.returncode, json.loads(shown.stdout)["applied"]) == (0, False), shown.stderr
    assert -777.0 not in here.zone()["mims"][mim]["setpoint_w"]
    written = here.command("device", "write", site, mim, "--port", 1, "--w", -777, "--for", "3 s", "--yes")
    assert written.returncode == 0, written.stderr
    looker = Looker(port, unit)
    try:
        until(lambda: looker.setpoints()[0] == -777.0, "the MIM has the operator's setpoint")
        until(lambda: looker.setpoints()[0] != -777.0, "the operator's setpoint has expired")
    finally:
        looker.close()
    watched = here.command("device", "watch", site, meter, "--seconds", 1.2, "--every", 0.5)
    assert (watched.returncode, "active_power.L1" in watched.stdout) == (0, True), watched.stderr
    assert run.stop() == 0


def test_without_a_service_a_setpoint_is_held_refreshed_and_released(here: Machine) -> None:
    site = hall(here.folder, validity="2 s")
    mim, _ = names(site)
    port, unit = address(site, mim)
    here.twin(site)
    shown = here.command("device", "write", site, mim, "--port", 1, "--w", 300)
    assert (shown.returncode, "--yes writes it" in shown.stdout) == (0, True), shown.stderr
    looker = Looker(port, unit)
    try:
        assert looker.at_rest()
        writing = here.start("device", "write", site, mim, "--port", 1, "--w", 300, "--for", "10 min", "--yes")
        until(lambda: looker.setpoints()[0] == 300.0, "the MIM has the setpoint")
        refused = here.command("run", site)
        assert (refused.returncode, "already run" in refused.stderr) == (1, True)
        # longer than the MIM's validity: it must have been refreshed
        passed_s = time.monotonic() + 2.5
        until(lambda: time.monotonic() > passed_s, "the validity is over")
        assert looker.setpoints()[0] == 300.0
        writing.process.send_signal(signal.SIGINT)
        assert writing.process.wait(30) == 130, writing.said()
        until(looker.at_rest, "the MIM is released")
    finally:
        looker.close()
