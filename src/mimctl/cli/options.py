"""Options that several commands have, and numbers as they take them: finite, and within what can be meant."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

#: a year of 365 days [s]
YEAR_S = 31_536_000.0
LOADS_HELP = "Trace of loads, CSV or CSV.gz; docs/reference/loads-csv.md has the format [default: the built-in generator]."


class Finite(click.ParamType[float]):
    """A real number; `nan` is none, and neither is `inf`."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(click.FLOAT.convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"'{value}' is no finite number.", param, ctx)
        return number


class Number(click.FloatRange):
    """A range of finite real numbers."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return float(super().convert(Finite().convert(value, param, ctx), param, ctx))


def positive(most: float) -> Number:
    """Above zero, up to `most`."""
    return Number(min=0, min_open=True, max=most)


def seed_option(function: AnyFunction) -> AnyFunction:
    """Give a command the option `--seed`."""
    return click.option(
        "--seed",
        type=click.IntRange(min=0),
        help="Of the loads and the noise [default: the site's twin.seed].",
    )(function)


def faults_option(function: AnyFunction) -> AnyFunction:
    """Give a command the option `--faults`."""
    return click.option(
        "--faults",
        type=click.Path(path_type=Path),
        help="What goes wrong, when and where: a YAML file; docs/reference/faults-yaml.md has the kinds.",
    )(function)


def without_option(function: AnyFunction) -> AnyFunction:
    """Give a command the option `--without`."""
    return click.option(
        "--without",
        multiple=True,
        metavar="site|zone:ID",
        help="Run once more without this controller, and tell what it costs. May be given several times.",
    )(function)
