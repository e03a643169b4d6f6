"""`mimctl explain`: what it refuses, and how an answer is laid out."""

import json

import pytest
from tests.site_factory import site_dict, write_site

from mimctl.cli.explain import lines_of


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMCTL_STATE_DIR", str(tmp_path / "state"))
    return write_site(tmp_path, site_dict())


def test_without_a_service_it_says_how_to_start_one(site, run_cli):
    result = run_cli("explain", site, "--mim", "mim-a1-1")
    assert (result.code, result.out) == (3, "")
    assert "no running service" in result.err
    assert f"mimctl run {site}" in result.err


def test_two_questions_at_once_are_wrong_usage(site, run_cli):
    result = run_cli("explain", site, "--mim", "mim-a1-1", "--node", "pdu-a1")
    assert result.code == 2
    assert "two questions" in result.err


def test_sections_stand_apart_and_long_lines_are_folded():
    answer = {
        "sections": [
            {"title": "when", "lines": ["now"]},
            {"title": "what it does", "lines": ["moves " + "3 A of load " * 5, "and more"]},
        ]
    }
    assert lines_of(answer, 40) == [
        "now",
        "",
        "What it does",
        "  moves 3 A of load 3 A of load 3 A of",
        "      load 3 A of load 3 A of load",
        "  and more",
    ]


def test_an_instant_of_a_simulation_is_explained(site, run_cli, tmp_path):
    target = tmp_path / "result.json"
    options = ("--hours", "0.005", "--no-optimum", "--explain-at", "-8s", "--mim", "mim-a1-2", "--json", target)
    result = run_cli("simulate", site, *options)
    assert result.code == 0, result.err
    (answer,) = json.loads(target.read_text(encoding="utf-8"))["explained"]
    # 18 steps of a second: the one that began 8 s before the end is the eleventh
    assert (answer["mim"], answer["cycle"]) == ("mim-a1-2", 11)
    assert "What it does\n  mim-a1-2 takes" in result.out


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--mim", "mim-a1-2"), 2, "--mim and --node go with --explain-at"),
        (("--explain-at", "-2s", "--mim", "mim-a1-2", "--node", "pdu-a1"), 2, "ask one at a time"),
        (("--explain-at", "-2s", "--node", "pdu-b1"), 1, "did you mean 'pdu-a1'?"),
        (("--explain-at", "-2h"), 1, "is not in the time simulated"),
    ],
)
def test_what_a_simulation_cannot_explain_is_refused_before_it_runs(site, run_cli, options, code, says):
    result = run_cli("simulate", site, "--hours", "0.005", *options)
    assert (result.code, result.out) == (code, "")
    assert says in result.err
