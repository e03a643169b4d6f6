"""What a rule says of itself in status, explanations and events."""

from __future__ import annotations

import pytest

from mimctl.model.rules import ReserveRule


@pytest.mark.parametrize(("spares", "says"), [(1, "1 MIM of each zone"), (2, "2 MIMs of each zone")])
def test_spare_mims_are_counted_in_words_that_fit(spares: int, says: str) -> None:
    assert str(ReserveRule(id="spare", spare_mims=spares)) == f"kept free: {says}"
