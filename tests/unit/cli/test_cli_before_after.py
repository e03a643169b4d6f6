"""The before/after table at the widths that people have."""

from __future__ import annotations

import pytest
from tests.builders import rack_site

from mimctl.cli import before_after
from mimctl.simulation.score import METRICS

FIGURES = dict.fromkeys(METRICS, 0.123456)
SCENARIO = {"site": FIGURES, "nodes": dict.fromkeys(("feed", "pdu", "rack1", "rack2"), FIGURES)}


def lines(capsys: pytest.CaptureFixture[str], result: dict) -> list[str]:
    before_after.print_before_after(rack_site(), result, "Before → after", to_stderr=False)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_and_keeps_what_matters_most(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr("mimctl.cli.render.PIPE_WIDTH", width)
    title, columns, *rows = lines(capsys, {"baseline": SCENARIO, "controlled": SCENARIO})
    assert title == "Before → after"
    assert "I2/I1 mean %" in columns
    assert "I0/I1 mean %" in columns
    assert max(map(len, [columns, *rows])) <= width
    assert [row.split()[0] for row in rows] == ["site", "pdu"]
    assert all("12.3 → 12.3" in row for row in rows)
    assert ("loss kWh" in columns) == (width == 120)


@pytest.mark.parametrize("missing", ["baseline", "controlled"])
def test_half_a_comparison_is_none(capsys: pytest.CaptureFixture[str], missing: str) -> None:
    assert lines(capsys, {"baseline": SCENARIO, "controlled": SCENARIO} | {missing: None}) == []


def test_a_demonstration_tells_no_losses(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Meters of currents and powers do not show what is lost below each of them."""
    monkeypatch.setattr("mimctl.cli.render.PIPE_WIDTH", 200)
    result = {"baseline": SCENARIO, "controlled": SCENARIO}
    before_after.print_before_after(rack_site(), result, "Before → after", to_stderr=False, fundamental_neutral=True)
    columns = capsys.readouterr().out.splitlines()[1]
    assert "neutral₁ A" in columns
    assert "loss" not in columns
