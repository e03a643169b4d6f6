"""Quantities: text with unit, or the suffixed key; never a guess."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from mimctl.config.units import (
    APPARENT_POWER,
    CURRENT,
    DIMENSIONS,
    DURATION,
    ENERGY,
    PER_POWER,
    PERCENT,
    POWER,
    REACTIVE_POWER,
    RESISTANCE,
    VOLTAGE,
    InText,
    Record,
)


class Breaker(Record):
    rating_a: Annotated[float, Field(gt=0), CURRENT] = Field(description="Rating.")
    neutral_a: Annotated[float, CURRENT] | None = None
    shares: dict[str, Annotated[float, InText(PERCENT)]] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("dimension", "text", "value"),
    [
        (CURRENT, "16 A", 16.0),
        (CURRENT, "16A", 16.0),
        (CURRENT, "250 mA", 0.25),
        (POWER, "3 kW", 3000.0),
        (DURATION, "2 s", 2.0),
        (DURATION, "250 ms", 0.25),
        (DURATION, "10 min", 600.0),
        (RESISTANCE, "0.5 mΩ", 0.0005),
        (RESISTANCE, "0.5 mohm", 0.0005),
        (RESISTANCE, "2 \u2126", 2.0),  # the ohm sign of some keyboards
        (APPARENT_POWER, "3 kVA", 3000.0),
        (ENERGY, "5 kWh", 5000.0),
        (PERCENT, "80 %", 80.0),
        (REACTIVE_POWER, "2 kvar", 2000.0),
        (REACTIVE_POWER, "-2 kVAr", -2000.0),
        (PER_POWER, "0.5 %/kVA", 5e-6),
        (VOLTAGE, "230/400 V", 230.0),
        (VOLTAGE, "120/208 V", 120.0),
        (VOLTAGE, "11 kV LL", 6350.852961085884),  # 11 000 / √3
        (VOLTAGE, "230 V LN", 230.0),
    ],
)
def test_texts_with_units(dimension, text, value):
    assert dimension.parse(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("dimension", "text", "hint"),
    [
        (CURRENT, "16", "has no unit"),
        (CURRENT, "3 kW", "'kW' is the unit of an active power"),
        (POWER, "3 KW", "the unit is 'kW', not 'KW'"),
        (CURRENT, "1,5 A", "the decimal sign is a point"),
        (CURRENT, "sixteen A", "is not a current"),
        (CURRENT, "5 bananas", "unknown unit 'bananas'"),
        (CURRENT, "1e400 A", "too large"),
        (VOLTAGE, "230 V", "say which voltage it is"),
        (VOLTAGE, "230/600 V", "√3 times"),
        (VOLTAGE, "0/0 V", "√3 times"),
    ],
)
def test_texts_that_could_be_misread_are_refused_with_a_hint(dimension, text, hint):
    with pytest.raises(ValueError, match=re.escape(hint)):
        dimension.parse(text)


@pytest.mark.parametrize("data", [{"rating": "16 A"}, {"rating_a": 16}, {"rating_a": 16.0, "neutral": None}])
def test_both_spellings_give_the_same_record(data):
    assert Breaker.model_validate(data) == Breaker(rating_a=16.0)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"rating": 16}, "quantity.no_unit"),
        ({"rating": "16"}, "quantity.unit"),
        ({"rating_a": "16 A"}, "quantity.text_at_suffix"),
        ({"rating": "16 A", "rating_a": 16}, "quantity.twice"),
        ({"rating": True}, "quantity.form"),
        ({"rating": ["16 A"]}, "quantity.form"),
        ({"rating": "0 A"}, "greater_than"),
        ({}, "missing"),
        ({"rating": None}, "missing"),
        ({"rating_a": True}, "float_type"),
        ({"rating": "16 A", "shares": {"3": 5}}, "quantity.no_unit"),
    ],
)
def test_ambiguity_is_an_error(data, code):
    with pytest.raises(ValidationError) as caught:
        Breaker.model_validate(data)
    assert [e["type"] for e in caught.value.errors()] == [code]


def test_schema_shows_both_spellings_and_that_one_of_them_must_stand():
    schema = Breaker.model_json_schema()
    rating, rating_a = schema["properties"]["rating"], schema["properties"]["rating_a"]
    assert rating_a["type"] == "number"
    assert rating["type"] == "string"
    assert {"oneOf": [{"required": ["rating"]}, {"required": ["rating_a"]}]} in schema["allOf"]
    assert {"not": {"required": ["neutral", "neutral_a"]}} in schema["allOf"]
    assert "required" not in schema


@settings(derandomize=True, max_examples=200)
@given(
    st.sampled_from([d for d in DIMENSIONS if d is not VOLTAGE]),
    st.decimals(min_value="-1e6", max_value="1e6", places=4),
    st.sampled_from(["", " ", "  "]),
    st.data(),
)
def test_every_unit_scales_as_its_prefix_says_and_the_schema_pattern_agrees(dimension, number, gap, data):
    unit = data.draw(st.sampled_from(sorted(dimension.units)))
    text = f"{number}{gap}{unit}"
    assert dimension.parse(text) == pytest.approx(float(number * Decimal(str(dimension.units[unit]))), rel=1e-12, abs=1e-15)
    assert re.search(dimension.pattern(), text)


def test_suffixes_name_the_base_unit_and_examples_parse():
    for dimension in DIMENSIONS:
        assert dimension.units[dimension.unit] == 1
        assert dimension.parse(dimension.example) > 0
        assert re.search(dimension.pattern(), dimension.example)


@settings(derandomize=True, max_examples=200)
@given(st.sampled_from(DIMENSIONS), st.text(max_size=20))
def test_any_text_is_a_finite_number_or_a_value_error(dimension, text):
    try:
        value = dimension.parse(text)
    except ValueError as exc:
        assert str(exc)  # noqa: PT017 - either outcome is right
    else:
        assert abs(value) < float("inf")
