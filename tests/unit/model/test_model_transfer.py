"""What the status point of a transfer device means; what nobody can tell is unknown, and throws no cycle out."""

from __future__ import annotations

import math

import pytest

from mimctl.model.transfer import Transfer, TransferKind, TransferSource, TransferState

STS = Transfer("sts", TransferKind.STS, "feed", (TransferSource(TransferState.NORMAL),), codes=((1, TransferState.NORMAL),))


@pytest.mark.parametrize("code", [None, 0.0, 2.0, math.nan, math.inf, -math.inf])
def test_any_value_without_a_meaning_is_unknown(code: float | None) -> None:
    assert STS.state_of(code) is TransferState.UNKNOWN


def test_a_value_with_a_meaning_is_what_it_means() -> None:
    assert STS.state_of(1.0) is TransferState.NORMAL
