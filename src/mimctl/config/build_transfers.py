"""Transfer devices of a checked site file."""

from __future__ import annotations

from mimctl.config.draft import Draft
from mimctl.config.schema_transfers import TransferItem, TransferSourceItem, state_of
from mimctl.model.address import DeviceAddress
from mimctl.model.transfer import Transfer, TransferKind, TransferSource, TransferState


def transfers(draft: Draft) -> tuple[Transfer, ...]:
    """In the order of the file."""
    heads = {feed.id: feed.node for feed in draft.file.feeds}
    return tuple(_transfer(item, heads) for item in draft.file.transfers)


def node_of(item: TransferItem, heads: dict[str, str]) -> str | None:
    """The node that a transfer device supplies; None where the file names none.

    Args:
        heads: node by feed.
    """
    return item.node if item.feed is None else heads.get(item.feed)


def _transfer(item: TransferItem, heads: dict[str, str]) -> Transfer:
    node = node_of(item, heads)
    if node is None:
        raise ValueError(f"{item.id} has no place: the checks must run first")
    asked = item.link is not None and item.profile is not None
    return Transfer(
        id=item.id,
        kind=item.kind,
        node=node,
        sources=_sources(item),
        address=DeviceAddress(item.link, item.unit, item.profile) if item.link is not None and item.profile is not None else None,
        fixed=None if asked or item.state is None else state_of(item.state),
        codes=tuple((int(code), state_of(word)) for code, word in item.states.items()),
        transfer_s=item.transfer_s,
        backup=None if item.backup is None else state_of(item.backup),
    )


def _sources(item: TransferItem) -> tuple[TransferSource, ...]:
    """`normal`, those with figures, and those that its states or its backup name."""
    named = {TransferState.NORMAL, *(state_of(word) for word in item.sources)}
    words = (*item.states.values(), *(word for word in (item.state, item.backup) if word is not None))
    named |= {state for word in words if (state := state_of(word)).is_source}
    given = {state_of(word): source for word, source in item.sources.items()}
    return tuple(_source(item.kind, state, given.get(state, TransferSourceItem())) for state in sorted(named))


def _source(kind: TransferKind, state: TransferState, item: TransferSourceItem) -> TransferSource:
    free = state is TransferState.NORMAL and kind is not TransferKind.UPS
    back_w = item.reverse_power_limit_w
    return TransferSource(state, item.available_va, back_w if back_w is not None else None if free else 0.0)
