"""A PDU behind a contactor, with racks and MIMs below it; two of the MIMs have a battery and may form the bus."""

from __future__ import annotations

from dataclasses import replace

from tests.loop.closed_loop import uneven_site

from mimctl.model.address import DeviceAddress
from mimctl.model.island import Island
from mimctl.model.site import Battery, Site
from mimctl.model.transfer import Transfer, TransferKind, TransferSource, TransferState

CODES = ((1, TransferState.NORMAL), (2, TransferState.OPEN))
FORMERS = ("mim-rack1", "mim-rack2")


def contactor(**more: object) -> Transfer:
    """At the PDU; it is asked for its state."""
    given = {"sources": (TransferSource(TransferState.NORMAL, None, None),), "address": DeviceAddress("gw", 50), "codes": CODES}
    return Transfer("k", TransferKind.CONTACTOR, "pdu", **(given | more))  # type: ignore[arg-type]


def island_site(
    *,
    rating_va: float = 6000.0,
    transfer_s: float = 0.0,
    capacity_wh: float = 20e3,
    neutral_rating_a: float = 40.0,
    **island: object,
) -> Site:
    """feed → k → pdu → three racks with 17 kW in all on uneven phases; rack 1 and 2 have a MIM that could carry them."""
    site = uneven_site()
    mims = tuple(
        replace(mim, ports=tuple(replace(port, rating_va=rating_va if mim.id in FORMERS else 2000.0) for port in mim.ports))
        for mim in site.mims
    )
    return replace(
        site,
        mims=tuple(replace(mim, neutral_rating_a=neutral_rating_a) for mim in mims),
        batteries=tuple(Battery(f"b-{name}", name, capacity_wh, 20e3, 20e3) for name in FORMERS),
        transfers=(contactor(transfer_s=transfer_s),),
        islands=(Island("i1", "k", "pdu", FORMERS, **island),),  # type: ignore[arg-type]
    )
