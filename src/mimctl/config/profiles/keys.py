"""The keys of values in profiles: a quantity, and the place where it is measured."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mimctl.config.wording import did_you_mean
from mimctl.model.problem import Problem, error
from mimctl.model.quantity import QUANTITIES

_PLACES = re.compile(r"(L[123]|L1L2|L2L3|L3L1|N|total)\Z")
_PORTS = re.compile(r"port[1-9][0-9]*\Z")


def key_problems(path: str, key: str, *, ports: bool = True, hint: str = "") -> Iterator[Problem]:
    """`profile.quantity`, `profile.place`: a key that is no `quantity.place`.

    Args:
        ports: whether a device of this kind may have `port1`, `port2`, …
        hint: what to say besides of a quantity that there is none.
    """
    quantity, _, at = key.partition(".")
    if quantity not in QUANTITIES:
        text = f"there is no quantity '{quantity}'{did_you_mean(quantity, QUANTITIES)}{hint}"
        yield error("profile.quantity", path, text)
    elif at and _PLACES.match(at) is None and not (ports and _PORTS.match(at) is not None):
        last = "N, total or port1, port2, …" if ports else "N or total"
        yield error("profile.place", path, f"'{at}' is no place: L1, L2, L3, L1L2, L2L3, L3L1, {last}")
