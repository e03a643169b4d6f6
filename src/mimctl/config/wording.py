"""Our own words for what pydantic finds, with the likely meant word beside the wrong one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from mimctl.config.annotations import Model, choices, known_keys, models_at, spellings
from mimctl.config.patterns import objection
from mimctl.config.quoting import count, cut, quoted
from mimctl.config.units import Dimension, Record
from mimctl.config.yaml_core import resolve_scalar
from mimctl.config.yaml_words import missing_space
from mimctl.model.problem import Problem, error

Loc = tuple[str | int, ...]

#: nobody misspells a key by that much
_LONGEST_WORD = 80

_PLAIN = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "none_required": "nothing",
}
_RANGES = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
    "multiple_of": ("a multiple of", "multiple_of"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One pydantic error where it stands: `loc` holds only steps of the document."""

    model: Model
    kind: str
    ctx: dict[str, Any]
    text: str
    loc: Loc
    path: str
    value: Any


def worded(finding: Finding) -> Problem:
    """The finding as a problem."""
    return _WORDINGS.get(finding.kind, _other)(finding)


def closest(word: object, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    if len(str(word)) > _LONGEST_WORD:
        return None
    by_lower = {k.lower(): k for k in known}
    close = get_close_matches(str(word).lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing where no known word is close."""
    close = closest(word, known)
    return f" (did you mean '{close}'?)" if close else ""


def one_of(words: Iterable[object]) -> str:
    """`a, b or c`, cut where there are many."""
    texts = [str(w) for w in words]
    if len(texts) > 12:
        return ", ".join(texts[:12]) + ", …"
    return " or ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def show(value: Any) -> str:
    """A value as a message quotes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    return kind_of(value) if isinstance(value, dict | list) else cut(str(value), 60)


def kind_of(value: Any) -> str:
    """What a value is, for a message about its shape."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "empty" if value is None else show(value)


def _unknown_key(f: Finding) -> Problem:
    key = f.loc[-1]
    if f.value is None and (spaced := missing_space(str(key))) is not None:
        return error("key.unknown", f.path, f"{show(key)} is a key without a value: a space is missing; write {quoted(spaced)}")
    known = known_keys(f.model, f.loc[:-1])
    if key in known:
        return error("key.unknown", f.path, f"unknown key {quoted(str(key))} here: entries of another type have it")
    return error("key.unknown", f.path, f"unknown key {quoted(str(key))}{did_you_mean(key, known)}")


def _missing(f: Finding) -> Problem:
    name = str(f.loc[-1])
    for owner in models_at(f.model, f.loc[:-1]):
        given = spellings(owner).get(name)
        if given is not None:  # the key stands there, its quantity does not
            example = owner.dimensions()[given].example if issubclass(owner, Record) else "…"
            return error("value.empty", f.path, f"'{name}' has no value; write it like '{name}: {example}'")
        field = owner.model_fields.get(name)
        for meta in field.metadata if field is not None else ():
            if isinstance(meta, Dimension):
                return error("key.missing", f.path, meta.missing_hint(name))
        if field is not None and field.description:
            return error("key.missing", f.path, f"the key '{name}' is missing: {field.description.split('. ')[0].rstrip('.')}")
    return error("key.missing", f.path, f"the key '{name}' is missing")


def _choice(f: Finding) -> Problem:
    if isinstance(f.value, str) and (numbers := _as_number(f)):
        return error("value.type", f.path, f"must be the number {numbers}, without quotes")
    words = choices(f.model, f.loc) or [str(f.ctx.get("expected", "")).replace("'", "")]
    if len(words) == 1:
        return error("value.choice", f.path, f"must be {words[0]}, it is {kind_of(f.value)}")
    return error("value.choice", f.path, f"{show(f.value)} is not one of {one_of(words)}{did_you_mean(f.value, words)}")


def _as_number(f: Finding) -> str:
    """The numbers to choose from, where one of them stands there as text; else empty."""
    words = choices(f.model, f.loc)
    return one_of(words) if str(f.value).strip() in words else ""


def _union_tag(f: Finding) -> Problem:
    key = str(f.ctx["discriminator"]).strip("'")
    path = f"{f.path}.{key}" if f.path else key
    if f.kind == "union_tag_not_found":
        return error("key.missing", path, f"the key '{key}' is missing")
    tags = [t.strip().strip("'") for t in str(f.ctx["expected_tags"]).split(",")]
    given = f.value.get(key) if isinstance(f.value, dict) else f.ctx["tag"]
    return error("value.choice", path, f"{show(given)} is not one of {one_of(tags)}{did_you_mean(given, tags)}")


def _plain(f: Finding) -> Problem:
    return error("value.type", f.path, f"must be {_PLAIN[f.kind]}, it is {kind_of(f.value)}{_mend(f.value, _PLAIN[f.kind])}")


def _mend(value: Any, wanted: str) -> str:
    """How to make of a value what is wanted, where that is a matter of spelling."""
    if wanted == "text" and not isinstance(value, dict | list | None):
        return "; put it in quotes"
    if not isinstance(value, str):
        return ""
    if wanted.endswith("number") and not isinstance(resolve_scalar(value.strip()), str | bool | None):
        return "; drop the quotes"
    if wanted == "true or false" and isinstance(resolve_scalar(value.strip()), bool):
        return "; drop the quotes"
    spaced = missing_space(value) if wanted.startswith("a mapping") else None
    return f"; a space is missing: write {quoted(spaced)}" if spaced is not None else ""


def _range(f: Finding) -> Problem:
    words, key = _RANGES[f.kind]
    return error("value.range", f.path, f"must be {words} {f.ctx[key]:g}, it is {show(f.value)}")


def _length(f: Finding) -> Problem:
    what = "character" if f.kind.startswith("string") else "entry"
    words, key = ("least", "min_length") if f.kind.endswith("short") else ("most", "max_length")
    if key == "min_length" and not f.value:
        return error("value.length", f.path, f"is empty; it must have at least {count(f.ctx[key], what)}")
    return error("value.length", f.path, f"must have at {words} {count(f.ctx[key], what)}, it has {len(f.value)}")


def _pattern(f: Finding) -> Problem:
    words = objection(f.ctx["pattern"]) or "has not the right form"
    return error("value.pattern", f.path, f"{show(f.value)} {words}")


def _raised(f: Finding) -> Problem:
    return error("value.invalid", f.path, str(f.ctx.get("error", f.text)))


def _other(f: Finding) -> Problem:
    """A validator of ours raises with its own code, which has a dot; pydantic's names have none."""
    return error(f.kind if "." in f.kind else "value.invalid", f.path, f.text)


_WORDINGS: dict[str, Callable[[Finding], Problem]] = {
    "extra_forbidden": _unknown_key,
    "missing": _missing,
    "enum": _choice,
    "literal_error": _choice,
    "union_tag_invalid": _union_tag,
    "union_tag_not_found": _union_tag,
    "string_pattern_mismatch": _pattern,
    "value_error": _raised,
    **dict.fromkeys(_PLAIN, _plain),
    **dict.fromkeys(_RANGES, _range),
    **dict.fromkeys(("too_short", "too_long", "string_too_short", "string_too_long"), _length),
}
