"""`--faults` on the command line: what is told of each fault, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "site_configs/demo.yaml"
FAULTS = """schema: 1
faults:
  - {kind: offline, mim: mim-a11, at: 5 s, for: 10 s}
  - {kind: clock_step, by: 1 h, at: 10 s}
  - {kind: rack_tripped, node: rack-a12, at: 1 h}
"""


@pytest.fixture
def faults(tmp_path):
    file = tmp_path / "faults.yaml"
    file.write_text(FAULTS)
    return file


def test_simulate_tells_what_each_fault_did(run_cli, tmp_path, faults):
    out = tmp_path / "result.json"
    ended = run_cli("simulate", DEMO, "--hours", "0.01", "--faults", faults, "--json", out)
    assert ended.code == 0, ended.err
    offline, clock, never = json.loads(out.read_text())["faults"]
    assert (offline["kind"], offline["targets"], offline["at_s"], offline["until_s"]) == ("offline", ["mim-a11"], 5, 15)
    assert offline["limit_violations"] == 0
    assert {"code": "device.unreachable", "where": "mim-a11"} in offline["events"]
    assert offline["recovered"] is True
    assert clock["until_s"] is None
    assert clock["recovered"] is True
    assert never["happened"] is False
    assert "never came" in ended.out
    assert "device.unreachable" in ended.out
    assert '"event"' not in ended.err, "what is wanted is told in the table alone"


@pytest.mark.parametrize("command", ["twin", "demo"])
def test_a_twin_has_no_controller_whose_clock_could_step(run_cli, faults, command):
    ended = run_cli(command, DEMO, "--faults", faults, *(["--free-ports"] if command == "twin" else []))
    assert ended.code == 1
    assert "clock_step befalls the controller" in ended.err


def test_a_wrong_file_is_refused_with_every_problem(run_cli, tmp_path):
    file = tmp_path / "faults.yaml"
    file.write_text("schema: 1\nfaults:\n  - {kind: stuck, mim: mim-a99}\n  - {kind: link_down, link: gw-pdu-a9}\n")
    ended = run_cli("simulate", DEMO, "--faults", file)
    assert ended.code == 1
    assert "faults.yaml:3:24 faults[0].mim: the site has no mim 'mim-a99'" in ended.err
    assert "faults.yaml:4:29 faults[1].link: the site has no link 'gw-pdu-a9'" in ended.err


def test_the_schema_is_there_for_editors(run_cli):
    schema = json.loads(run_cli("schema", "faults").out)
    assert schema["title"] == "mimctl file of faults"
    assert "OfflineItem" in schema["$defs"]
