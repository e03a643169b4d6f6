"""Islands of a checked site file."""

from __future__ import annotations

from mimctl.config.build_transfers import node_of
from mimctl.config.draft import Draft
from mimctl.config.schema_islands import IslandItem
from mimctl.model.island import Island


def islands(draft: Draft) -> tuple[Island, ...]:
    """In the order of the file."""
    return tuple(_island(draft, item) for item in draft.file.islands)


def island_node(draft: Draft, item: IslandItem) -> str | None:
    """The node that the contactor of an island supplies; None where the file does not say."""
    heads = {feed.id: feed.node for feed in draft.file.feeds}
    return next((node_of(transfer, heads) for transfer in draft.file.transfers if transfer.id == item.contactor), None)


def _island(draft: Draft, item: IslandItem) -> Island:
    node = island_node(draft, item)
    if node is None:
        raise ValueError(f"{item.id} has no place: the checks must run first")
    return Island(
        id=item.id,
        contactor=item.contactor,
        node=node,
        formers=tuple(item.formers),
        also_open=tuple(item.also_open),
        voltage_pu=item.voltage_pct / 100,
        frequency_pu=item.frequency_pct / 100,
        dead_time_s=item.dead_time_s,
        reclose_s=item.reclose_s,
    )
