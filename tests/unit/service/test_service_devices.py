"""Which device of a site is meant, and what is said where there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.builders import rack_site

from mimctl.model.errors import UserError
from mimctl.model.transfer import Transfer, TransferKind, TransferSource, TransferState
from mimctl.service.devices import device_site, no_such_device


def test_a_source_whose_state_is_written_down_cannot_be_asked() -> None:
    site = rack_site(1)
    ups = Transfer(
        "ups-a", TransferKind.UPS, site.feeds[0].node, (TransferSource(TransferState.NORMAL),), fixed=TransferState.NORMAL
    )
    fixed = replace(site, transfers=(ups,))
    with pytest.raises(UserError, match="'ups-a' cannot be asked: it has no 'link'"):
        device_site(fixed, "ups-a")


def test_a_long_list_of_devices_ends_at_a_whole_name() -> None:
    names = [f"meter-rack-{i:02}" for i in range(40)]
    told = str(no_such_device("zzz", names))
    assert told.startswith("no device 'zzz'; there are 40: meter-rack-00, ")
    assert told.endswith(", …") or told.endswith(" …")
    assert told.removesuffix(" …").rstrip(",").rsplit(", ", 1)[1] in names
