"""`mimctl demo` whole: its result, and that nothing stays behind however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.system.service_harness import Looker, Machine, Run, hall, lookers, machine, until

from mimctl.simulation.score import METRICS

UNITS = [111, 112, 113]
#: a third of it without control, five seconds for settling, the rest counts
SECONDS = 12


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Path]]:
    """One that is left alone; it runs while the other tests do."""
    folder = tmp_path_factory.mktemp("whole")
    with machine(folder) as here:
        result = folder / "result.json"
        yield here.start("demo", hall(folder), "--seconds", SECONDS, "--json", result), result


def children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in listed]


def runs(process: int) -> bool:
    """Whether a process is there; one that has ended and waits for its parent to notice is not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}


def start_demo(here: Machine, tmp_path: Path) -> tuple[Run, int, dict[str, Any]]:
    """A demo in a session of its own, as a terminal's foreground job; its twin's process and addresses."""
    run = here.start(
        "demo", hall(tmp_path), "--seconds", 15, "--no-live", environment={"TMPDIR": str(tmp_path)}, start_new_session=True
    )
    file = until(lambda: next(iter(tmp_path.glob("mimctl-twin-*/addresses.json")), None), "the twin serves")
    served = until(lambda: json.loads(file.read_text() or "{}"), "its addresses are written")
    (twin,) = children(run.process.pid)
    return run, twin, served["links"]


@contextmanager
def kept_alive(twin: int) -> Iterator[None]:
    """Hold the twin's standard input open, so that its registers can be read after the service has ended."""
    handle = os.open(f"/proc/{twin}/fd/0", os.O_WRONLY)
    try:
        yield
    finally:
        os.close(handle)


def released(mims: list[Looker]) -> bool:
    return all(mim.control()["Cmt"]["Ena"] == 0 and not any(mim.setpoints()) for mim in mims)


def test_interrupted_during_control_it_releases_every_device_and_leaves_no_process(
    finished: tuple[Run, Path], tmp_path: Path
) -> None:
    with machine(tmp_path) as here:
        run, twin, links = start_demo(here, tmp_path)
        with lookers(links["gw-pdu-a1"]["port"], UNITS) as mims:
            until(lambda: all(mim.control()["Cmt"]["Ena"] == 1 for mim in mims), "control has begun")
            with kept_alive(twin):
                os.killpg(run.process.pid, signal.SIGINT)
                until(lambda: released(mims), "every device is released", 4.0)
                assert runs(twin), "the devices were there to be told"
        assert run.process.wait(15) == 130
        until(lambda: not runs(twin), "the twin is gone", 5.0)
        assert re.fullmatch(r"mimctl: interrupted after \d+ s\n", run.said())
        assert not list(tmp_path.glob("mimctl-twin-*"))


def test_killed_it_takes_its_twin_along(finished: tuple[Run, Path], tmp_path: Path) -> None:
    with machine(tmp_path) as here:
        run, twin, _ = start_demo(here, tmp_path)
        run.stop(signal.SIGKILL)
        until(lambda: not runs(twin), "the twin is gone", 5.0)


def test_interrupted_while_the_twin_starts_it_leaves_no_process(finished: tuple[Run, Path], tmp_path: Path) -> None:
    with machine(tmp_path) as here:
        run = here.start("demo", hall(tmp_path), "--no-live", start_new_session=True)
        (twin,) = until(lambda: children(run.process.pid), "the twin was started")
        os.killpg(run.process.pid, signal.SIGINT)
        assert run.process.wait(15) == 130
        until(lambda: not runs(twin), "the twin is gone", 5.0)
        assert run.said() == ""


def test_its_result_has_the_figures_of_a_simulation_before_and_after(finished: tuple[Run, Path]) -> None:
    run, file = finished
    deadline = time.monotonic() + 60
    assert run.process.wait(deadline - time.monotonic()) == 0
    assert run.said() == ""
    result = json.loads(file.read_text())
    assert result["settling_s"] == 5.0
    assert result["interrupted_after_s"] is None
    nodes = {node["id"] for node in yaml.safe_load((file.parent / "site.yaml").read_text())["nodes"]}
    for phase in ("baseline", "controlled"):
        assert result["cycles"][phase] >= 3
        assert set(result[phase]["site"]) == set(METRICS)
        assert set(result[phase]["nodes"]) == nodes
        assert all(set(node) == set(METRICS) for node in result[phase]["nodes"].values())
    before, after = (result[phase]["nodes"]["rack-a1-1"]["i2_i1_mean"] for phase in ("baseline", "controlled"))
    assert after < 0.1 * before
    assert result["controlled"]["site"]["objective"] < 0.1 * result["baseline"]["site"]["objective"]
