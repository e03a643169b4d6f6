"""Numbers on the command line that mean nothing are refused with one line, before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "site_configs" / "demo.yaml"


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", DEMO, "--hours", "nan"),
        ("simulate", DEMO, "--hours", "inf"),
        ("simulate", DEMO, "--hours", "1e9"),
        ("simulate", DEMO, "--hours", "80000"),
        ("simulate", DEMO, "--hours", "0"),
        ("simulate", DEMO, "--step", "nan"),
        ("simulate", DEMO, "--step", "-inf"),
        ("simulate", DEMO, "--seed", "-1"),
        ("simulate", DEMO, "--seed", "1e3"),
        ("simulate", DEMO, "--frame-loss", "nan"),
        ("simulate", DEMO, "--frame-loss", "-1%"),
        ("simulate", DEMO, "--frame-loss", "%"),
        ("demo", "--seconds", "nan"),
        ("demo", "--seconds", "inf"),
        ("demo", "--seconds", "11"),
        ("demo", "--seed", "-1"),
        ("twin", DEMO, "--seconds", "nan"),
        ("twin", DEMO, "--seconds", "inf"),
        ("twin", DEMO, "--seconds", "0"),
        ("twin", DEMO, "--seed", "-5"),
        ("device watch", DEMO, "m", "--every", "nan"),
        ("device watch", DEMO, "m", "--every", "inf"),
        ("device watch", DEMO, "m", "--every", "-1"),
        ("device watch", DEMO, "m", "--every", "0"),
        ("device watch", DEMO, "m", "--seconds", "nan"),
        ("device watch", DEMO, "m", "--seconds", "inf"),
        ("device watch", DEMO, "m", "--seconds", "-3"),
        ("device write", DEMO, "m", "--port", "1", "--w", "nan"),
        ("device write", DEMO, "m", "--port", "1", "--w", "-inf"),
        ("device write", DEMO, "m", "--port", "1", "--w", "1", "--var", "nan"),
        ("device write", DEMO, "m", "--port", "0", "--w", "1"),
        ("device write", DEMO, "m", "--port", "1", "--w", "1", "--for", "nan s"),
        ("device write", DEMO, "m", "--port", "1", "--w", "1", "--for", "-5 s"),
        ("device write", DEMO, "m", "--port", "1", "--w", "1", "--for", "inf"),
        ("device write", DEMO, "m", "--port", "1", "--w", "1", "--for", "2 h"),
        ("device write", DEMO, "m", "--port", "1", "--w", "1", "--for", "0 s"),
        ("device read", "--dump", DEMO, "--unit", "256"),
    ],
)
def test_a_number_that_means_nothing_is_a_usage_error(run_cli: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    command, *rest = arguments
    result = run_cli(*str(command).split(), *rest)
    assert (result.code, result.out) == (2, "")
    first, second = result.err.splitlines()
    assert first.startswith("mimctl: ")
    assert "bug" not in first
    assert second == f"Try 'mimctl {arguments[0]} --help'."


def test_how_many_steps_are_too_many_is_said(run_cli: Callable[..., Any]) -> None:
    assert "2.88e+08 steps" in run_cli("simulate", DEMO, "--hours", "80000").err
