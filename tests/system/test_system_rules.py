"""Rules of a running service, as `mimctl rules` and `mimctl status` tell them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from tests.conftest import CliResult
from tests.system.service_harness import hall, machine, until

RULES: list[dict[str, Any]] = [
    {"id": "hall"},
    {"id": "spare", "type": "lock", "mims": ["mim-a1-1"]},
    {"id": "full", "type": "reserve", "rating": "30 %", "when": {"quantity": "current", "node": "pdu-a1", "above": "1 A"}},
    {"id": "idle", "type": "lock", "when": {"quantity": "current", "node": "pdu-a1", "below": "0.1 A"}},
]


def test_the_service_tells_which_conditions_hold(tmp_path: Path, run_cli: Any, monkeypatch: Any) -> None:
    site = hall(tmp_path)
    site.write_text(yaml.safe_dump({**yaml.safe_load(site.read_text()), "rules": RULES}))
    with machine(tmp_path) as own:
        own.twin(site)
        run = own.service(site)
        for name, value in own.environment().items():
            monkeypatch.setenv(name, value)

        def told() -> dict[str, Any] | None:
            assert run.process.poll() is None, run.said()
            done: CliResult = run_cli("rules", site, "--json", "-")
            assert done.code == 0, done.err
            found = json.loads(done.out)
            states = {rule["id"]: rule for rule in found["rules"]}
            return states if found["service"] and states["idle"]["condition"] == "does not hold" else None

        states = until(told, "the service has looked at its conditions")
        assert {name: rule["in_force"] for name, rule in states.items()} == {
            "hall": "yes",
            "spare": "yes",
            "full": "yes",
            "idle": "no",
        }
        assert states["full"]["value"] > 1.0
        until(lambda: sum(mim["in_force"] for mim in own.zone()["mims"].values()) == 2, "two of three MIMs work")
        table = run_cli("rules", site).out
        assert "pdu-a1 current above 1 A (holds, now" in table
        status = run_cli("status", site).out
        lines = [line.split()[0] for line in status.splitlines() if line]
        assert "spare" in lines
        assert "full" in lines
        assert "idle" not in lines
