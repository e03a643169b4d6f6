"""Problems in our own words, at the paths of the file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, Strict, field_validator

from mimctl.config.patterns import HEX, ID, INSTANCE, ORDER, PRINTABLE, PROFILE_ID, TIME_OF_DAY, objection
from mimctl.config.profiles.schema import ProfileFile
from mimctl.config.source import parse_document
from mimctl.config.units import CURRENT, LENGTH, Record
from mimctl.config.validate import validate


class Radio(StrEnum):
    ZNP = "znp"
    EZSP = "ezsp"


class Tcp(Record):
    type: Literal["tcp"]
    host: str = Field(description="Host name. Or address.")
    port: int = Field(502, ge=1, le=65535)


class Zigbee(Record):
    type: Literal["zigbee"]
    radio: Annotated[Radio, Strict(False)]


class Stretch(Record):
    length_m: Annotated[float, LENGTH]


class Root(Record):
    version: Literal[1] = 1
    flag: bool = False
    name: Annotated[str, Field(pattern=PRINTABLE)] = ""
    id: Annotated[str, Field(pattern=ID)] = "x"
    by_id: dict[Annotated[str, Field(pattern=ID)], int] = Field(default_factory=dict)
    cables: list[Stretch] = Field(default_factory=list)
    links: list[Annotated[Tcp | Zigbee, Field(discriminator="type")]] = Field(default_factory=list)
    named: dict[str, Tcp] = Field(default_factory=dict)
    words: str | list[str] = ""
    limit_a: Annotated[float, Field(gt=0), CURRENT] = 1.0
    even: int = 0
    few: list[int] = Field(default_factory=list, max_length=2)
    code: str = Field("ab", pattern=r"^[a-z]+$", min_length=2)

    @field_validator("even")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError(f"{value} is odd; take {value + 1}")
        return value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "links:\n- type: tcp\n  host: a\n  prot: 7\n",
            ["site.yaml:4:3 links[0].prot: unknown key 'prot' (did you mean 'port'?) [key.unknown]"],
        ),
        (
            "links:\n- {type: tcp, host: a, port: 70000}\n",
            ["site.yaml:2:30 links[0].port: must be at most 65535, it is 70000 [value.range]"],
        ),
        (
            "links:\n- type: zigbee\n  radio: zpn\n",
            ["site.yaml:3:10 links[0].radio: 'zpn' is not one of znp or ezsp (did you mean 'znp'?) [value.choice]"],
        ),
        (
            "links:\n- type: tpc\n",
            ["site.yaml:2:9 links[0].type: 'tpc' is not one of tcp or zigbee (did you mean 'tcp'?) [value.choice]"],
        ),
        ("links:\n- host: a\n", ["site.yaml:2:3 links[0].type: the key 'type' is missing [key.missing]"]),
        ("links:\n- type: tcp\n", ["site.yaml:2:3 links[0].host: the key 'host' is missing: Host name [key.missing]"]),
        # a misspelt required key is one mistake
        (
            "links:\n- type: tcp\n  hosst: a\n",
            ["site.yaml:3:3 links[0].hosst: unknown key 'hosst' (did you mean 'host'?) [key.unknown]"],
        ),
        ("links: 5\n", ["site.yaml:1:8 links: must be a list, it is 5 [value.type]"]),
        ("links:\n- 7\n", ["site.yaml:2:3 links[0]: must be a mapping of keys to values, it is 7 [value.type]"]),
        ("named: {a.b: {type: tcp, host: 5}}\n",
         ["site.yaml:1:32 named.a.b.host: must be text, it is 5; put it in quotes [value.type]"]),
        ("words: [1]\n", ["site.yaml:1:1 words: must be text, it is a list [value.type]",
                          "site.yaml:1:9 words[0]: must be text, it is 1; put it in quotes [value.type]"]),
        ("limit: -1 A\n", ["site.yaml:1:8 limit: must be more than 0, it is '-1 A' [value.range]"]),
        ("limit_a: -1\n", ["site.yaml:1:10 limit_a: must be more than 0, it is -1 [value.range]"]),
        ("limt: 1 A\n", ["site.yaml:1:1 limt: unknown key 'limt' (did you mean 'limit'?) [key.unknown]"]),
        ("even: 3\n", ["site.yaml:1:7 even: 3 is odd; take 4 [value.invalid]"]),
        ("even: '4'\n", ["site.yaml:1:7 even: must be a whole number, it is '4'; drop the quotes [value.type]"]),
        ("version: '1'\n", ["site.yaml:1:10 version: must be the number 1, without quotes [value.type]"]),
        ("version: 2\n", ["site.yaml:1:10 version: must be 1, it is 2 [value.choice]"]),
        ("flag: 'true'\n", ["site.yaml:1:7 flag: must be true or false, it is 'true'; drop the quotes [value.type]"]),
        ("code: ''\n", ["site.yaml:1:7 code: is empty; it must have at least 2 characters [value.length]"]),
        ("id: a b\n",
         ["site.yaml:1:5 id: 'a b' is not an id: letters, digits, '.', '_' and '-', a letter or digit first [value.pattern]"]),
        ("by_id: {a b: 1}\n", ["site.yaml:1:14 by_id.a b: 'a b' is not an id: letters, digits, '.', '_' and '-', a letter or digit "
                               "first [value.pattern]"]),
        ('name: "a\\x1b[1m"\n',
         ["site.yaml:1:7 name: 'a\\x1b[1m' holds control characters; leave them out [value.pattern]"]),
        # a quantity that stands there without a value is not missing
        ("cables: [{length: null}]\n",
         ["site.yaml:1:19 cables[0].length: 'length' has no value; write it like 'length: 40 m' [value.empty]"]),
        ("cables: [{length_m: }]\n", ["site.yaml:1:21 cables[0].length_m: must be a number, it is empty [value.type]"]),
        ("cables: [{}]\n", ["site.yaml:1:10 cables[0].length_m: the key 'length' is missing; write it like 'length: 40 m' or "
                            "'length_m: …' [key.missing]"]),
        # the space behind a colon
        ("links:\n- type:tcp\n",
         ["site.yaml:2:3 links[0]: must be a mapping of keys to values, it is 'type:tcp'; a space is missing: write 'type: tcp' "
          "[value.type]"]),
        ("cables: [{length:40}]\n",
         ["site.yaml:1:11 cables[0].length:40: 'length:40' is a key without a value: a space is missing; write 'length: 40' "
          "[key.unknown]"]),
        ("even: 2.5\n", ["site.yaml:1:7 even: must be a whole number, it is 2.5 [value.type]"]),
        ("even: yes\n", ["site.yaml:1:7 even: must be a whole number, it is 'yes' [value.type]"]),
        ("few: [1, 2, 3]\n", ["site.yaml:1:1 few: must have at most 2 entries, it has 3 [value.length]"]),
        ("code: A5\n", ["site.yaml:1:7 code: 'A5' has not the right form [value.pattern]"]),
        ("code: a\n", ["site.yaml:1:7 code: must have at least 2 characters, it has 1 [value.length]"]),
        ("- 1\n", ["site.yaml:1:1 (file): the file must be a mapping of keys to values, it is a list [value.type]"]),
    ],
)  # fmt: skip
def test_wordings(text, expected):
    record, problems = validate(parse_document(Path("site.yaml"), text.encode()), Root)
    assert record is None
    assert [str(p) for p in problems] == expected


def test_a_right_file_gives_the_model():
    record, problems = validate(parse_document(Path("a.yaml"), b"limit: 16 A\nlinks: [{type: tcp, host: x}]\n"), Root)
    assert problems == []
    assert record == Root(limit_a=16.0, links=[Tcp(type="tcp", host="x")])


def test_an_unreadable_file_has_its_problems_already():
    document = parse_document(Path("a.yaml"), b"a: [\n")
    assert validate(document, Root) == (None, [])
    assert document.problems


def test_whatever_stands_in_a_file_a_message_is_short_and_printable():
    long, sly = "x" * 900, '"\\x1b[31mred\\u202e"'
    text = f"{sly}: 1\n{long}: 2\nlimit: {long}\nlimit_a: {sly}\nid: {sly}\nlinks: [{{type: {long}}}]\nby_id: {{{sly}: {long}}}\n"
    _, problems = validate(parse_document(Path("site.yaml"), text.encode()), Root)
    assert len(problems) >= 6
    for problem in problems:
        assert str(problem).isprintable()
        assert len(str(problem)) < 400


@pytest.mark.parametrize("form", [ID, TIME_OF_DAY, ORDER, PRINTABLE, HEX, PROFILE_ID, INSTANCE])
def test_every_form_has_words(form):
    assert objection(form)


def test_the_forms_of_profiles_have_words():
    """Their patterns stand in the schema of profiles."""
    schema = ProfileFile.model_json_schema()
    patterns = set(_values_of(schema, "pattern"))
    unworded = {p for p in patterns if objection(p) is None and "[-+]?" not in p}  # quantities say how to write them
    assert not unworded


def _values_of(schema, key):
    if isinstance(schema, dict):
        yield from (value for name, value in schema.items() if name == key and isinstance(value, str))
        for value in schema.values():
            yield from _values_of(value, key)
    elif isinstance(schema, list):
        for value in schema:
            yield from _values_of(value, key)
