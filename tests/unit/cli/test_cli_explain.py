"""`mimctl explain`: what it refuses, and how an answer is laid out."""

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
