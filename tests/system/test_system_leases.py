"""Leases and the emergency stop with real processes: what acts at once, what outlives a kill, what ends it."""

from __future__ import annotations

import json
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import CliResult
from tests.system.service_harness import Looker, Machine, hall, lookers, machine, until

UNITS = [111, 112, 113]
MIM = "mim-a1-1"

Cli = Callable[..., CliResult]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hall(tmp_path_factory.mktemp("site"), validity="20 s")


@pytest.fixture(scope="module")
def mims(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Looker]]:
    with machine(tmp_path_factory.mktemp("twin")) as own:
        own.twin(site)
        with lookers(yaml.safe_load(site.read_text())["links"][1]["port"], UNITS) as found:
            yield found


@pytest.fixture
def here(tmp_path: Path, mims: list[Looker]) -> Iterator[Machine]:
    with machine(tmp_path) as own:
        yield own


@pytest.fixture
def cli(here: Machine, run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line in this process, at the state directory of the machine: a process for each would take too long."""
    for name, value in here.environment().items():
        monkeypatch.setenv(name, value)
    return run_cli


def told(done: CliResult) -> dict[str, Any]:
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def enabled(mims: list[Looker]) -> list[int]:
    return [mim.control()["Cmt"]["Ena"] for mim in mims]


def beats(mims: list[Looker]) -> list[int]:
    return [mim.control()["Cmt"]["CtlHb"] for mim in mims]


def cycles_pass(here: Machine, count: int) -> None:
    begun = here.zone()["cycles"]
    until(lambda: here.zone()["cycles"] >= begun + count, f"{count} more cycles")


def test_an_emergency_stop_acts_at_once_outlives_a_kill_and_ends_when_an_operator_clears_it(
    here: Machine, cli: Cli, site: Path, mims: list[Looker]
) -> None:
    first = here.service(site)
    here.balanced(first)
    assert enabled(mims) == [1, 1, 1]

    stopped = told(cli("stop", site, "--emergency", "--reason", "smoke in row A", "--owner", "ann", "--json", "-"))
    assert enabled(mims) == [0, 0, 0], "released when the command returns"
    assert (stopped["through"], stopped["not_released"], stopped["not_kept"]) == ("service", [], "")
    latch = here.state / "emergency_stop.json"
    assert stat.S_IMODE(latch.stat().st_mode) == 0o600
    silent = beats(mims)
    cycles_pass(here, 3)
    assert beats(mims) == silent, "no heartbeat is written"
    status = told(cli("status", site, "--json", "-"))
    assert (status["emergency_stop"]["owner"], status["zones"]["hall"]["state"]) == ("ann", "stopped")
    assert "emergency_stop" in {event["code"] for event in status["events"]}
    assert "EMERGENCY STOP" in cli("status", site).out
    refused = cli("device", "write", site, MIM, "--port", "1", "--w", "100", "--yes")
    assert refused.code == 1
    assert "smoke in row A" in refused.err

    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    second = here.service(site)
    until(lambda: here.zone()["state"] == "stopped", "the next run starts stopped")
    cycles_pass(here, 3)
    assert enabled(mims) == [0, 0, 0]

    assert cli("stop", site, "--clear").code == 2, "it wants a yes"
    assert here.zone()["state"] == "stopped"
    assert told(cli("stop", site, "--clear", "--yes", "--json", "-"))["cleared"]
    here.balanced(second)
    assert not latch.exists()
    assert told(cli("stop", site, "--clear", "--yes", "--json", "-"))["cleared"] is False
    assert second.stop() == 0


def test_a_lock_out_and_a_cap_outlive_a_kill_and_a_setpoint_does_not(
    here: Machine, cli: Cli, site: Path, mims: list[Looker]
) -> None:
    first = here.service(site)
    here.balanced(first)
    unknown = cli("lease", "grant", site, "lock-out", "rack-a1-11")
    assert unknown.code == 1
    assert "did you mean 'rack-a1-1'?" in unknown.err

    lock = told(cli("lease", "grant", site, "lock-out", "rack-a1-1", "--reason", "PSU swap", "--json", "-"))
    assert enabled(mims) == [0, 1, 1], "released when the command returns"
    assert (lock["lease"]["source"], lock["lease"]["expires_utc"]) == ("maintenance", None)
    assert lock["lease"]["owner"] not in ("", "unknown"), "the user whose process asked"
    told(cli("lease", "grant", site, "cap", "mim-a1-2", "--max-va", "150", "--for", "1h", "--source", "bms", "--json", "-"))
    told(cli("lease", "grant", site, "setpoint", "mim-a1-3", "--port", "2", "--w", "50", "--for", "10min", "--json", "-"))
    until(lambda: mims[2].setpoints()[2] == 50, "the setpoint")
    rows = {lease["scope"]: lease for lease in told(cli("lease", "list", site, "--json", "-"))["leases"]}
    assert rows.keys() == {"rack-a1-1", "mim-a1-2", "mim-a1-3"}
    assert rows["mim-a1-2"]["source"] == "bms"
    assert "PSU swap" in cli("lease", "list", site).out

    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    second = here.service(site)
    until(lambda: here.zone()["mims"].get("mim-a1-2", {}).get("in_force"), "control goes on")
    kept = {lease["scope"]: lease for lease in told(cli("lease", "list", site, "--json", "-"))["leases"]}
    assert kept.keys() == {"rack-a1-1", "mim-a1-2"}
    assert 0 < kept["mim-a1-2"]["expires_in_s"] < 3600
    cycles_pass(here, 3)
    assert enabled(mims)[0] == 0
    assert max(abs(complex(*pair)) for pair in zip(*[iter(mims[1].setpoints())] * 2, strict=True)) <= 150.0

    told(cli("lease", "revoke", site, kept["rack-a1-1"]["id"], "--json", "-"))
    until(lambda: enabled(mims)[0] == 1, "it is used again")
    assert second.stop() == 0


def test_without_a_service_the_stop_is_latched_and_what_a_killed_one_left_is_released(
    here: Machine, cli: Cli, site: Path, mims: list[Looker]
) -> None:
    run = here.service(site)
    here.balanced(run)
    assert run.stop(signal.SIGKILL) == -signal.SIGKILL
    assert enabled(mims) == [1, 1, 1]
    stopped = told(cli("stop", site, "--emergency", "--json", "-"))
    assert enabled(mims) == [0, 0, 0]
    assert (stopped["through"], sorted(stopped["at_rest"])) == ("this command", [MIM, "mim-a1-2", "mim-a1-3"])
    refused = cli("device", "write", site, MIM, "--port", "1", "--w", "100")
    assert "emergency stop" in refused.err
    assert told(cli("stop", site, "--clear", "--yes", "--json", "-"))["cleared"]


def test_a_service_that_hangs_is_stopped_as_soon_as_it_moves_again(
    here: Machine, cli: Cli, site: Path, mims: list[Looker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimctl.cli.stop._PATIENCE_S", 0.5)
    run = here.service(site)
    here.balanced(run)
    run.process.send_signal(signal.SIGSTOP)
    hung = cli("stop", site, "--emergency", "--owner", "ann")
    assert hung.code == 1
    assert "EMERGENCY STOP is latched" in hung.out
    assert f"process {run.process.pid}" in hung.err
    run.process.send_signal(signal.SIGCONT)
    until(lambda: enabled(mims) == [0, 0, 0], "it finds the stop")
    status = until(here.ask, "it answers")
    assert status["emergency_stop"]["owner"] == "ann"
    told(cli("stop", site, "--clear", "--yes", "--json", "-"))
    assert run.stop() == 0


def test_a_setpoint_without_a_service_ends_with_the_stop_too(here: Machine, cli: Cli, site: Path, mims: list[Looker]) -> None:
    run = here.start("device", "write", site, MIM, "--port", "1", "--w", "40", "--for", "5 min", "--yes")
    until(lambda: mims[0].setpoints()[0] == 40, "it is written")
    assert cli("stop", site, "--emergency", "--reason", "smoke").code == 1, "somebody else holds the site"
    until(lambda: enabled(mims) == [0, 0, 0], "it is released")
    assert run.process.wait(10) == 1
    assert "its setpoint has ended: hall emergency stop by" in run.said()
    told(cli("stop", site, "--clear", "--yes", "--json", "-"))


def test_a_file_that_nobody_can_read_starts_stopped_and_says_how_to_mend_it(
    here: Machine, cli: Cli, site: Path, mims: list[Looker]
) -> None:
    here.state.mkdir(parents=True, mode=0o700)
    (here.state / "leases.json").write_text('{"format": 1, "leases": [{"id"')
    run = here.service(site)
    until(lambda: here.zone()["state"] == "stopped", "it starts stopped")
    status = here.ask()
    assert status is not None
    reason = status["emergency_stop"]["reason"]
    assert str(here.state / "leases.json") in reason
    assert "lock out again, then clear the stop" in reason
    told(cli("stop", site, "--clear", "--yes", "--json", "-"))
    here.balanced(run)
    assert (here.state / "leases.json.unreadable").exists()
    assert run.stop() == 0


def test_the_stop_is_called_by_its_file_and_with_a_broken_site_file_too(
    here: Machine, cli: Cli, site: Path, mims: list[Looker]
) -> None:
    run = here.service(site)
    here.balanced(run)
    (here.state / "emergency_stop.json").touch()
    until(lambda: enabled(mims) == [0, 0, 0], "the service finds the file")
    told(cli("stop", site, "--clear", "--yes", "--json", "-"))
    here.balanced(run)
    broken = site.with_name("broken.yaml")
    broken.write_text(site.read_text().replace("timezone: Europe/Zurich", "timezone: Nowhere"))
    told(cli("stop", broken, "--emergency", "--json", "-"))
    assert enabled(mims) == [0, 0, 0]
    told(cli("stop", "hall", "--clear", "--yes", "--json", "-"))
    nothing = cli("stop", "hal", "--emergency")
    assert nothing.code == 1
    assert "hall" in nothing.err
    assert run.stop() == 0
