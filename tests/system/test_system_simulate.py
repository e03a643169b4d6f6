"""`mimctl simulate` on the example sites: the main job, in short pieces, by the command itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "site_configs"
TRACES = ROOT.parent / "shared" / "data" / "loads"
PLACE_KEYS = {
    "i2_i1_mean",
    "i2_i1_p95",
    "i0_i1_mean",
    "i0_i1_p95",
    "neutral_a_mean",
    "vuf2_p95",
    "unbalance_nema_mean",
    "max_phase_load_pct",
    "overload_min",
    "loss_kwh",
    "objective",
}
RUN_KEYS = {
    "achieved_share",
    "rule_share",
    "removed_share",
    "worse_than_none_pct",
    "limit_violations",
    "transient_overs",
    "above_limit_min",
    "above_limit",
    "relied_on_min",
    "writes",
    "cycles",
    "cycle_ms",
    "clamps",
    "refusals",
    "wall_s",
}


def simulate(run_cli, tmp_path, site: str, *options: object) -> dict:
    out = tmp_path / "result.json"
    ended = run_cli("simulate", CONFIGS / f"{site}.yaml", *options, "--json", out)
    assert ended.code == 0, ended.err
    return json.loads(out.read_text())


def trace(name: str) -> Path:
    if not TRACES.is_dir():
        pytest.skip(f"no public load traces beside the checkout ({name})")
    return TRACES / name


def test_the_result_has_every_key_for_the_site_and_for_every_node(run_cli, tmp_path):
    result = simulate(run_cli, tmp_path, "demo", "--hours", "0.05")
    assert result.keys() >= RUN_KEYS | {"baseline", "controlled", "rule", "optimum"}
    assert result["cycle_ms"].keys() == {"p50", "p99"}
    assert result["transient_overs"].keys() >= {"count", "max", "longest_s"}
    assert result["above_limit"].keys() == {"count", "max_of_rating", "longest_s"}
    for scenario in ("baseline", "controlled", "rule", "optimum"):
        assert result[scenario]["site"].keys() == PLACE_KEYS
        assert len(result[scenario]["nodes"]) == 32
        assert all(place.keys() == PLACE_KEYS for place in result[scenario]["nodes"].values())
    assert result["cycles"] == 180


def test_the_same_seed_gives_the_same_run(run_cli, tmp_path):
    options = ("--hours", "0.02", "--seed", "7")
    first, second = (simulate(run_cli, tmp_path, "demo", *options) for _ in range(2))
    assert first["controlled"] == second["controlled"]
    assert first["writes"] == second["writes"]
    assert simulate(run_cli, tmp_path, "demo", "--hours", "0.02", "--seed", "8")["baseline"] != first["baseline"]


def test_filters_bring_the_distortion_inside_its_limits_beside_the_balance(run_cli, tmp_path):
    result = simulate(run_cli, tmp_path, "rectifiers", "--hours", "0.1", "--no-optimum")
    assert result["removed_share"] > 0.97
    assert result["limit_violations"] == 0
    before, after = (result["harmonics"][name]["nodes"]["pdu-2"] for name in ("baseline", "controlled"))
    assert before.keys() == after.keys()
    # IEEE 519 by Isc/IL = 60
    assert before["tdd_limit_pct"] == 12.0
    assert before["tdd_mean_pct"] > 15.0
    assert after["tdd_mean_pct"] < 12.0
    assert after["neutral_a_mean"] < 0.7 * before["neutral_a_mean"]
    before, after = (result["harmonics"][name]["site"] for name in ("baseline", "controlled"))
    assert before["over_limit_min"] == pytest.approx(6.0)
    assert after["over_limit_min"] < 0.5
    assert after["filter_loss_kwh"] > 0.0 == before["filter_loss_kwh"]


@pytest.mark.parametrize("site", ["demo", "hpc_racks", "lv_feeder", "hall_208v", "rectifiers", "zoned_hall"])
def test_every_example_site_runs_on_the_built_in_loads(run_cli, tmp_path, site):
    result = simulate(run_cli, tmp_path, site, "--hours", "0.1")
    assert result["achieved_share"] >= 0.97
    assert result["limit_violations"] == 0
    assert result["worse_than_none_pct"] <= 1.0


def test_missing_controllers_have_their_cost(run_cli, tmp_path):
    result = simulate(run_cli, tmp_path, "zoned_hall", "--hours", "0.01", "--without", "site", "--without", "zone:row-2")
    assert result["without"]["left_out"] == ["site", "zone:row-2"]
    assert result["without"]["cost_points"] > 0
    assert result["without"]["controlled"].keys() == {"site", "nodes"}
    refused = run_cli("simulate", CONFIGS / "zoned_hall.yaml", "--without", "row-2")
    assert refused.code == 1
    assert "no such controller" in refused.err


def test_the_edge_hall_beside_itself_wired_and_without_radios(run_cli, tmp_path):
    out = tmp_path / "result.json"
    options = ("--loads", trace("surf_racks_1min.csv.gz"), "--start", "2022-10-08T12:00:00", "--hours", "0.03", "--no-optimum")
    ended = run_cli(
        "simulate", CONFIGS / "wireless_edge.yaml", *options, "--frame-loss", "5 %", "--compare", "radios", "--json", out
    )
    assert ended.code == 0, ended.err
    found = json.loads(out.read_text())["radios"]
    assert found["frame_loss_pct"] == 5.0
    assert found["of_wired"] >= 0.9
    assert found["of_wired"] > found["without_of_wired"] + 0.1
    assert {row["limit_violations"] for row in found["rows"].values()} == {0}
    kept = f"with its radios the fleet removes {100 * found['of_wired']:.2f} % of what it would if wired"
    assert kept in ended.out
    for row in ("the same fleet, all wired", "as it is", "without its radios", "zb ", "lora "):
        assert any(line.startswith(row) for line in ended.out.splitlines()), row


@pytest.mark.parametrize(
    ("site", "options", "says"),
    [
        ("demo", ("--frame-loss", "5%"), "--frame-loss is for radio links, and site 'demo' has none"),
        ("demo", ("--compare", "radios"), "site 'demo' has no MIM on a radio link"),
        ("wireless_edge", ("--frame-loss", "100%"), "100.0 is not in the range"),
        ("wireless_edge", ("--without", "link:wifi"), "it has 'site', 'zone:hall', 'link:gw', 'link:zb', 'link:lora'"),
    ],
)
def test_what_radios_cannot_be_asked_is_said(run_cli, site, options, says):
    ended = run_cli("simulate", CONFIGS / f"{site}.yaml", "--hours", "0.01", *options)
    assert ended.code in (1, 2)
    assert says in ended.err


def test_frames_are_lost_by_one_option_alone(run_cli, tmp_path):
    faults = tmp_path / "faults.yaml"
    faults.write_text("schema: 1\nfaults:\n  - {kind: link_loss, link: zb, loss: 20 %}\n")
    site = CONFIGS / "wireless_edge.yaml"
    twice = run_cli("simulate", site, "--hours", "0.01", "--faults", faults, "--frame-loss", "5")
    assert (twice.code, "both of the link 'zb'" in twice.err) == (2, True)
    both = run_cli("simulate", site, "--hours", "0.01", "--faults", faults, "--compare", "radios")
    assert (both.code, "are two questions" in both.err) == (2, True)
    link = run_cli("simulate", site, "--hours", "0.01", "--no-optimum", "--without", "link:lora")
    assert link.code == 0
    assert "link:lora" in link.out


@pytest.mark.parametrize(("step", "hours", "least"), [("10", "2", 0.98), ("1", "0.25", 0.99)])
def test_hpc_racks_on_real_jobs(run_cli, tmp_path, step, hours, least):
    loads = trace("surf_racks_1min.csv.gz")
    options = ("--loads", loads, "--start", "2022-10-08T12:00:00", "--hours", hours, "--step", step)
    result = simulate(run_cli, tmp_path, "hpc_racks", *options)
    assert least <= result["achieved_share"] <= 1.001
    assert result["limit_violations"] == 0
    assert len(result["loads"]["columns_used"]) == 15


@pytest.mark.parametrize(("step", "hours", "least"), [("10", "3", 0.92), ("1", "0.25", 0.98)])
def test_a_street_feeder_on_a_published_day(run_cli, tmp_path, step, hours, least):
    loads = trace("ieee_lv_feeder_1min.csv.gz")
    options = ("--loads", loads, "--start", "2020-01-01T17:00:00", "--hours", hours, "--step", step)
    result = simulate(run_cli, tmp_path, "lv_feeder", *options)
    assert least <= result["achieved_share"] <= 1.001
    assert result["achieved_share"] > result["rule_share"]
    assert result["limit_violations"] == 0


def test_columns_named_by_node_and_connection_need_no_mapping(run_cli, tmp_path):
    loads = tmp_path / "loads.csv"
    loads.write_text(
        "time,rack-a11.L1.p_w,rack-a11.L1.q_var,rack-a12.L2.p_w,unknown\n"
        "2026-01-01T00:00,3000,400,2500,1\n2026-01-01T00:01,,410,2400,1\n2026-01-01T00:02,3100,400,2600,1\n"
    )
    result = simulate(run_cli, tmp_path, "demo", "--loads", loads)
    assert result["loads"]["gaps_filled"] == 1
    assert result["loads"]["columns_ignored"] == ["unknown"]
    assert result["cycles"] == 180
    assert result["removed_share"] > 0.5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column 'time'"),
        ("when,rack-a11.L1.p_w\n2026-01-01T00:00,1\n", "time"),
        ("time,nothing\n2026-01-01T00:00,1\n", "no column"),
        ("time,rack-a11.L1.p_w\nyesterday,1\n", "yesterday"),
        ("time,rack-a11.L1.p_w\n2026-01-01T00:00,many\n", "many"),
    ],
)
def test_a_bad_trace_gives_one_line(run_cli, tmp_path, text, says):
    loads = tmp_path / "bad.csv"
    loads.write_text(text)
    ended = run_cli("simulate", CONFIGS / "demo.yaml", "--loads", loads)
    assert ended.code == 1
    assert says in ended.err
    assert ended.err.strip().count("\n") == 0


def test_a_hole_in_the_trace_and_what_control_caused_are_told(run_cli, tmp_path):
    loads = tmp_path / "loads.csv"
    minutes = [0, 1, 2, 5]
    rows = [f"2026-01-01T00:0{minute},3000" for minute in minutes]
    loads.write_text("\n".join(["time,rack-a11.L1.p_w", *rows]))
    ended = run_cli("simulate", CONFIGS / "demo.yaml", "--loads", loads, "--step", "10", "--no-optimum")
    assert ended.code == 0
    assert "warning: the trace has a hole of 180 s" in ended.err
    assert "overload 0.0 → 0.0 min; limit violations caused by control: 0" in ended.out
    assert max(map(len, ended.out.splitlines()[:9])) <= 120


def test_more_hours_than_the_trace_holds_is_said(run_cli, tmp_path):
    loads = tmp_path / "short.csv"
    loads.write_text("time,rack-a11.L1.p_w\n2026-01-01T00:00,1000\n2026-01-01T00:01,1000\n")
    ended = run_cli("simulate", CONFIGS / "demo.yaml", "--loads", loads, "--hours", "5")
    assert ended.code == 1
    assert "--hours 5 is more" in ended.err


def test_json_on_standard_output_is_json_alone(run_cli):
    ended = run_cli("simulate", CONFIGS / "hpc_racks.yaml", "--hours", "0.01", "--no-optimum", "--json", "-")
    assert json.loads(ended.out)["achieved_share"] is None
    assert "without → with" in ended.err
