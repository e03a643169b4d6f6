"""Faults on a street feeder: most of its twelve MIMs have to do what the failed ones did."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from fault_cases import fault

from mimctl.config.faults import check_faults
from mimctl.config.site import load_site
from mimctl.config.source import parse_document
from mimctl.model.fault import Fault
from mimctl.model.resources import site_config
from mimctl.simulation.engine import Request, simulate
from mimctl.simulation.loads import choose_loads

TRACE = Path(__file__).parents[3] / "shared/data/loads/ieee_lv_feeder_1min.csv.gz"
EVENING = datetime(2020, 1, 1, 18, tzinfo=UTC)
THIRD = b"schema: 1\nfaults:\n  - {kind: offline, mim: 30 %}\n"


@pytest.mark.skipif(not TRACE.exists(), reason="the traces of loads are no part of this repository")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_a_third_of_the_mims_failed_the_others_reach_their_own_optimum(seed: int) -> None:
    site = load_site(site_config("lv_feeder"))
    chosen = choose_loads(site, TRACE, start=EVENING, hours=0.04, step_s=1.0, seed=seed)
    faults, problems = check_faults(parse_document(Path("third.yaml"), THIRD), site, start=chosen.start, seed=seed)
    assert problems == []
    assert len(faults[0].targets) == 4
    result = simulate(Request(site, chosen.loads, chosen.start, chosen.hours, 1.0, seed, faults=faults))
    assert 0.97 <= result["achieved_share"] <= 1.001
    assert result["limit_violations"] == 0
    assert result["fault"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        fault("link_down", "gw-north"),
        fault("link_loss", "gw-east", loss_pct=30.0),
        fault("ct_reversed", "meter-south2", phases=("L1",)),
        fault("lying", "meter-east1", gain=1.5),
        fault("stuck", "mim-north1", "mim-east3"),
        fault("rack_tripped", "south1"),
    ],
    ids=lambda fault: str(fault.kind),
)
def test_a_feeder_exceeds_no_limit(wrong: Fault) -> None:
    site = load_site(site_config("lv_feeder"))
    chosen = choose_loads(site, None, start=None, hours=0.0125, step_s=1.0, seed=1)
    result = simulate(Request(site, chosen.loads, chosen.start, chosen.hours, 1.0, 1, faults=(wrong,)))
    assert result["limit_violations"] == 0
    assert result["faults"][0]["happened"]
