"""What may be named once only, and is named again."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


def repeats(entries: Iterable[tuple[str, K | None, str]]) -> Iterator[tuple[str, K, str]]:
    """Of (path, key, name) entries those whose key an earlier one has, with the name of the first; None is no key."""
    first: dict[K, str] = {}
    for path, key, name in entries:
        if key is None:
            continue
        if key in first:
            yield path, key, first[key]
        first.setdefault(key, name)
