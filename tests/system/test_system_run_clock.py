"""A wall clock that jumps by hours: the zone's cycles do not notice, the schedule is armed anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.system.service_harness import CYCLE_S, Machine, hall, machine, until

_LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


def site_solves(here: Machine) -> int:
    status = here.ask()
    return status["schedule"]["runs"]["site_level"] if status else -1


@pytest.mark.skipif(_LIBRARY is None, reason="libfaketime (Debian package faketime) is not installed")
def test_an_hour_forth_and_back_loses_no_cycle_and_no_job(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    lying = {
        "LD_PRELOAD": str(_LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        # the name of the option in older and newer releases
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    site = hall(tmp_path)
    with machine(tmp_path) as here:
        here.twin(site)
        run = here.service(site, environment=lying)
        here.balanced(run)
        for steps, jump in enumerate(("+3600", "-3600"), start=1):
            before = here.ask()
            assert before is not None
            offset.write_text(f"{jump}\n")

            def noticed(steps: int = steps) -> bool:
                status = here.ask()
                return status is not None and status["schedule"]["clock_steps"] == steps

            until(noticed, "the step is noticed")
            runs = site_solves(here)
            until(lambda runs=runs: site_solves(here) >= runs + 2, "the site level is solved on", 10.0)
            after = here.ask()
            assert after is not None
            zone, was = after["zones"]["hall"], before["zones"]["hall"]
            assert zone["cycles"] > was["cycles"] + 1 / CYCLE_S
            assert zone["skipped"] - was["skipped"] <= 2, "an hour would be thousands"
            assert (zone["errors"], after["schedule"]["errors"]) == (0, 0)
            assert all(mim["in_force"] for mim in zone["mims"].values())
            assert not after["events"]
        assert run.stop() == 0
        assert any(line["event"].startswith("the wall clock stepped") for line in run.log())
