"""The schema is documentation: nothing without words, both spellings everywhere, defaults that the model has too."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from mimctl.config import schema, schema_devices, schema_grid, schema_rules
from mimctl.config.units import Record
from mimctl.model.link import Link
from mimctl.model.site import ControlSettings, TwinSpec

MODULES = (schema, schema_grid, schema_devices, schema_rules)
RECORDS = [
    value
    for module in MODULES
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, Record) and value.__module__ == module.__name__
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.__name__)
def test_every_key_is_described(record):
    assert record.__doc__
    for name, field in record.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.__name__)
def test_fields_with_a_unit_suffix_are_quantities(record):
    suffixes = ("_a", "_w", "_va", "_s", "_pct", "_ohm", "_hz", "_wh", "_m", "_ln_v", "_w_per_s", "_a_per_s", "_per_va")
    for name in record.model_fields:
        if name.endswith(suffixes):
            assert name in record.dimensions(), name
            assert record.dimensions()[name].suffix in suffixes


def test_the_json_schema_shows_both_spellings_of_every_quantity():
    definitions = schema.SiteFile.model_json_schema()["$defs"]
    for record in RECORDS:
        if record in {schema.SiteFile, schema_devices.DeviceItem} or record.__name__.startswith("_"):
            continue
        properties = definitions[record.__name__]["properties"]
        for short, field in record.spellings().items():
            assert properties[short]["type"] == "string"
            assert field in properties
    assert definitions["NodeItem"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("item", "model"),
    [
        (schema.ControlItem(), ControlSettings()),
        (schema.TwinItem(), TwinSpec()),
        (schema_devices.LinkItem(id="a", host="h"), Link("a", schema_devices.LinkType.MODBUS_TCP, "h", 502)),
    ],
)
def test_defaults_are_those_of_the_model(item: BaseModel, model):
    for name in type(item).model_fields:
        if hasattr(model, name) and name not in {"loads", "grid", "port"}:  # the port goes by the type
            assert getattr(item, name) == getattr(model, name), name
