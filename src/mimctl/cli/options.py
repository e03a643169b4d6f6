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


class Percent(Number):
    """A share of 0 to below 100, written with its sign or without: `5%`, `5 %`, `5`."""

    name = "percent"

    def __init__(self) -> None:
        super().__init__(min=0, max=100, max_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return super().convert(value.strip().removesuffix("%").rstrip() if isinstance(value, str) else value, param, ctx)


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
        metavar="site|zone:ID|link:ID",
        help="Run once more without this controller or link, and tell what it costs. May be given several times.",
    )(function)


def radio_options(function: AnyFunction) -> AnyFunction:
    """Give a command the options `--frame-loss` and `--compare`."""
    loss = click.option(
        "--frame-loss",
        type=Percent(),
        default=0.0,
        metavar="PERCENT",
        help="Share of all frames on radio links that is lost, either way [default: none].",
    )
    compare = click.option(
        "--compare",
        type=click.Choice(["radios"]),
        help="radios: run once more as if every MIM were wired and once more without radios, and put the three beside each other.",
    )
    return loss(compare(function))
