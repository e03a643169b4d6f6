"""`mimctl run` from start to end against `mimctl twin`: orderly stops, sudden ends, stalls."""

from __future__ import annotations

import fcntl
import itertools
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.site_factory import write_site
from tests.system.service_harness import REVERTED, STANDBY_W, VALIDITY_S, Looker, Machine, hall, hall_dict, lookers, machine, until

UNITS = [111, 112, 113]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hall(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def mims(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Looker]]:
    """One twin for all tests of this file, and its MIMs as another maker's client sees them."""
    with machine(tmp_path_factory.mktemp("twin")) as own:
        own.twin(site)
        port = yaml.safe_load(site.read_text())["links"][1]["port"]
        with lookers(port, UNITS) as found:
            yield found


@pytest.fixture
def here(tmp_path: Path, mims: list[Looker]) -> Iterator[Machine]:
    with machine(tmp_path) as own:
        yield own


def lock_is_free(here: Machine) -> bool:
    with (here.state / "lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_it_balances_tells_how_it_is_and_releases_every_device_when_it_ends(here: Machine, site: Path, mims: list[Looker]) -> None:
    none = here.command("status", site)
    assert (none.returncode, none.stdout) == (3, "")
    assert len(none.stderr.splitlines()) == 1
    assert (
        f"no running service at {here.state / 'door.sock'}: there is no such socket; start it with: mimctl run {site}"
        in none.stderr
    )
    assert not here.state.exists(), "asking leaves nothing behind"

    run = here.service(site)
    until(lambda: here.zone()["nodes"].get("pdu-a1"), "the first cycle")
    here.balanced(run)
    asked = here.command("status", site, "--json", "-")
    assert (asked.returncode, asked.stderr) == (0, "")
    status = json.loads(asked.stdout)
    zone = status["zones"]["hall"]
    assert (status["site"], status["pid"], zone["state"], zone["errors"]) == ("hall", run.process.pid, "balancing", 0)
    assert zone["nodes"]["pdu-a1"]["i2_i1"] < 0.02
    assert not zone["bad_nodes"]
    assert all(mim["in_force"] and mim["quality"] == "good" for mim in zone["mims"].values())
    table = here.command("status", site)
    assert table.returncode == 0
    assert table.stdout.startswith("hall · 8 of 8 devices answer (process ")
    assert all(text in table.stdout for text in ("pdu-a1", "3 racks; --all shows them", "balancing", "resting units"))
    links = [line.split() for line in table.stdout.splitlines() if line.startswith("gw-")]
    assert [line[1] for line in links] == ["up"] * len(status["links"])
    assert "rack-a1-3" not in table.stdout
    assert "rack-a1-3" in here.command("status", site, "--all").stdout

    # the loads are 390 to 660 W a phase: without control I2/I1 of rack and PDU is a few per cent to a quarter
    assert any(max(map(abs, mim.output_w())) > 50 for mim in mims)
    assert [mim.control()["Cmt"]["Ena"] for mim in mims] == [1, 1, 1]

    assert run.stop(signal.SIGTERM) == 0
    for mim in mims:
        control = mim.control()
        assert control["Cmt"]["Ena"] == 0
        assert not any(port[name] for port in control["Ph"] for name in ("W", "Var"))
        until(lambda mim=mim: max(map(abs, mim.output_w())) < 1.0, "the output has gone down")
    assert not (here.state / "door.sock").exists()
    assert lock_is_free(here)
    log = run.log()
    assert {line["event"] for line in log} >= {"running", "device.found", "mim.released", "stopped"}
    assert all({"event", "level", "timestamp"} <= line.keys() for line in log)
    assert not [line for line in log if line["level"] in {"warning", "error"}]


def test_a_second_run_refuses_and_after_a_sudden_end_a_new_one_goes_on_without_a_bump(
    here: Machine, site: Path, mims: list[Looker]
) -> None:
    # a validity that outlasts the change-over on a slow machine
    patient = hall(site.parent, name="patient.yaml", validity="20 s", ports=ports_of(site))
    first = here.service(patient)
    here.balanced(first)

    refused = here.command("run", patient)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert f"process {first.process.pid}" in refused.stderr

    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    held = [mim.control()["Cmt"]["SeqCmd"] for mim in mims]
    alive = [mim.control()["Cmt"]["CtlHb"] for mim in mims]
    before = [mim.output_w() for mim in mims]
    assert (here.state / "door.sock").exists(), "left behind by the killed one"

    second = here.service(patient)
    furthest, sequences = 0.0, [held]

    def at_work() -> bool:
        nonlocal furthest
        assert second.process.poll() is None, second.said()
        moves = [abs(w - was) for mim, old in zip(mims, before, strict=True) for w, was in zip(mim.output_w(), old, strict=True)]
        furthest = max(furthest, *moves)
        sequences.append([mim.control()["Cmt"]["SeqCmd"] for mim in mims])
        return all(mim["in_force"] for mim in here.zone()["mims"].values()) and here.zone()["cycles"] >= 6

    until(at_work, "the second service controls")
    here.balanced(second)
    for earlier, later in itertools.pairwise(sequences):
        assert all(0 <= b - a <= 3 for a, b in zip(earlier, later, strict=True)), sequences
    # a setpoint that still fits is kept alive and not written anew
    assert all(mim.control()["Cmt"]["CtlHb"] != beat for mim, beat in zip(mims, alive, strict=True))
    assert furthest < 0.1 * max(abs(w) for old in before for w in old) + 2 * STANDBY_W
    assert second.stop() == 0


def ports_of(site: Path) -> list[int]:
    return [link["port"] for link in yaml.safe_load(site.read_text())["links"]]


def test_killed_leaves_every_mim_at_its_expiry_action_within_its_validity(here: Machine, site: Path, mims: list[Looker]) -> None:
    run = here.service(site)
    here.balanced(run)
    run.stop(signal.SIGKILL)
    fell_silent(mims, time.monotonic())


def fell_silent(mims: list[Looker], since_s: float) -> None:
    """Every MIM holds what it had while its validity lasts, and is at rest within one second after it."""
    busy = [mim for mim in mims if not mim.at_rest()]
    assert busy, "held at first"
    time.sleep(max(0.0, since_s + VALIDITY_S + 1 - time.monotonic()))
    for mim in mims:
        assert mim.at_rest(), (mim.output_w(), mim.setpoints())
        measured = mim.measurement()
        assert (measured["CmdSta"], measured["WdRem"]) == (REVERTED, 0)


def test_a_stalled_process_is_silent_and_goes_on_by_itself(here: Machine, site: Path, mims: list[Looker]) -> None:
    run = here.service(site)
    cycles = here.balanced(run)["cycles"]
    run.process.send_signal(signal.SIGSTOP)
    stopped_s = time.monotonic()
    fell_silent(mims, stopped_s)
    run.process.send_signal(signal.SIGCONT)
    until(lambda: here.zone()["cycles"] > cycles + 2, "cycles go on")
    zone = here.balanced(run)
    assert zone["skipped"] >= VALIDITY_S, "what was missed is counted, not made up for"
    assert not [e for e in here.ask()["events"] if e["code"] == "mim.ignores_setpoint"]
    assert any(not mim.at_rest() for mim in mims)
    assert run.stop() == 0


def test_a_dry_run_changes_no_register(here: Machine, site: Path, mims: list[Looker]) -> None:
    before = [mim.raw_control() for mim in mims]
    run = here.service(site, "--dry-run")

    def wants_something() -> bool:
        status = here.ask()
        zone = {} if status is None else status["zones"]["hall"]
        return status is not None and status["dry_run"] and zone["cycles"] >= 6 and zone["state"] == "dry run"

    until(wants_something, "six cycles")
    assert not any(mim["in_force"] for mim in here.zone()["mims"].values())
    assert here.zone()["nodes"]["pdu-a1"]["i2_i1"] > 0.02, "nothing is balanced"
    assert run.stop() == 0
    assert [mim.raw_control() for mim in mims] == before


def test_it_runs_on_a_twin_wherever_that_serves(here: Machine, tmp_path: Path) -> None:
    """The addresses of the file are those of real devices far away; with --twin none of them is asked."""
    data = hall_dict()
    for link in data["links"]:
        link |= {"host": "192.0.2.10"}
    far = write_site(tmp_path, data, "far.yaml")
    addresses = tmp_path / "addresses.json"
    twin = here.start("twin", far, "--json", addresses)
    until(addresses.exists, "the twin serves")
    run = here.service(far, "--twin", addresses)
    here.balanced(run)
    status = here.command("status", far)
    assert "8 of 8 devices answer" in status.stdout
    assert run.stop(signal.SIGINT) == 0
    assert twin.stop(signal.SIGTERM) == 0


def test_without_any_device_it_is_blind_and_says_so(here: Machine) -> None:
    nobody = hall(here.folder)
    run = here.service(nobody)
    until(lambda: here.zone()["state"] == "blind", "blind")
    shown = here.command("status", nobody).stdout
    assert shown.startswith("hall · 0 of 8 devices answer (process ")
    assert "UTC" in shown
    assert run.stop() == 0


def test_three_interrupts_in_a_row_still_release_every_device(here: Machine, site: Path, mims: list[Looker]) -> None:
    run = here.service(site)
    here.balanced(run)
    for _ in range(3):
        run.process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert run.process.wait(15) == 0
    for mim in mims:
        assert mim.control()["Cmt"]["Ena"] == 0
        assert not any(mim.setpoints())
