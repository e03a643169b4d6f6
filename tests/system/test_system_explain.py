"""`mimctl explain` asks a service that runs, in processes of their own, over its socket."""

from __future__ import annotations

import json

from tests.system.service_harness import hall, machine


def test_a_running_service_tells_why(tmp_path):
    site = hall(tmp_path)
    with machine(tmp_path) as m:
        m.twin(site)
        run = m.service(site)
        m.balanced(run)
        why = m.command("explain", site, "--mim", "mim-a1-2")
        assert (why.returncode, why.stderr) == (0, "")
        assert "\nWhat it does\n  mim-a1-2 " in why.stdout
        assert "rack-a1-2: the loads alone draw" in why.stdout
        told = json.loads(m.command("explain", site, "--json", "-").stdout)
        (answer,) = told["answers"]
        assert [mim["mim"] for mim in answer["mims"]] == ["mim-a1-1", "mim-a1-2", "mim-a1-3"]
        alone = next(a for a in answer["alternatives"] if a["what"] == "without any MIM")
        as_set = next(a for a in answer["alternatives"] if a["what"] == "as set")
        assert as_set["objective"] < 0.05 * alone["objective"]
        remembered = m.zone()["remembered"]
        assert remembered["decisions"] > 2
        assert remembered["bytes"] > 1000 * remembered["decisions"]
        assert run.process.poll() is None
        assert '"error"' not in run.said()
