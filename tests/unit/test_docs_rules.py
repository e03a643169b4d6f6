"""The rules that the page shows are right for the demonstration hall, and each kind is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from mimctl.config.schema import SiteFile
from mimctl.config.schema_rules import AnyRule
from mimctl.config.site import check_site

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "rules.md"
BLOCKS = [
    yaml.safe_load(b)["rules"] for b in re.findall(r"```yaml\n(rules:.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
]


def test_check_finds_nothing_in_the_examples(tmp_path):
    demo = yaml.safe_load((ROOT / "site_configs" / "demo.yaml").read_text(encoding="utf-8"))
    assert len(BLOCKS) == 3
    for rules in BLOCKS:
        file = tmp_path / "site.yaml"
        file.write_text(yaml.safe_dump({**demo, "rules": rules}), encoding="utf-8")
        site, problems = check_site(file)
        assert [str(p) for p in problems] == []
        assert site is not None


def test_an_editor_finds_nothing_in_the_examples():
    jsonschema = pytest.importorskip("jsonschema", reason="comes with the extra zigbee")
    whole = SiteFile.model_json_schema()
    validator = jsonschema.Draft202012Validator({**whole["properties"]["rules"], "$defs": whole["$defs"]})
    for rules in BLOCKS:
        assert [error.message for error in validator.iter_errors(rules)] == []
    assert list(validator.iter_errors([{"id": "a", "type": "lock", "max": "3 A"}])), "it does look"
    assert list(validator.iter_errors([{"id": "a"}])) == [], "a rule without a type balances"


def test_every_type_is_shown():
    shown = {rule["type"] for rules in BLOCKS for rule in rules}
    assert shown == {kind.model_fields["type"].annotation.__args__[0] for kind in AnyRule.__args__}
