"""Transfer devices: where they stand, how their state is known, what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimctl.config.build_transfers import node_of
from mimctl.config.draft import Draft
from mimctl.config.schema_transfers import TransferItem
from mimctl.config.wording import did_you_mean
from mimctl.model.problem import Problem, error, warning


def check_places(draft: Draft) -> Iterator[Problem]:
    """`transfer.place`: neither a feed nor a node, or both; two devices of which each would be the supply of one node."""
    heads = {feed.id: feed.node for feed in draft.file.feeds}
    first: dict[str, str] = {}
    for path, item in draft.transfers():
        if (item.feed is None) == (item.node is None):
            yield error("transfer.place", path, "say what it supplies: 'feed: A', or 'node: pdu-1', not both")
            continue
        node = node_of(item, heads)
        if node is not None and node in first:
            text = f"'{node}' is supplied by the transfer device '{first[node]}' already; put this one at a node above or below"
            yield error("transfer.place", f"{path}.{'node' if item.feed is None else 'feed'}", text)
        if node is not None:
            first.setdefault(node, item.id)


def check_states(draft: Draft) -> Iterator[Problem]:
    """`transfer.state`: nothing that tells the state, or two things; states that no source stands behind."""
    for path, item in draft.transfers():
        asked = item.link is not None
        if asked == (item.state is not None):
            text = "say where its state comes from: its 'link:' and 'profile:', or 'state: normal' where it cannot be asked"
            yield error("transfer.state", path, text)
        elif asked and item.profile is None:
            yield error("transfer.state", path, "name the 'profile:' whose point 'status' tells its state")
        elif asked and not item.states:
            text = "say what the values of its point 'status' mean, from its manual: 'states: {1: normal, 2: alternate}'"
            yield error("transfer.state", path, text)
        elif asked and "normal" not in item.states.values():
            yield warning("transfer.state", f"{path}.states", "no value means 'normal': it never counts as on its normal source")
        if not asked and item.states:
            yield error("transfer.state", f"{path}.states", "only a device on a link has values that mean states: leave it out")


def check_profiles(draft: Draft) -> Iterator[Problem]:
    """`profile.unknown`, `transfer.no_status`: a profile that is not there, or does not tell a state."""
    named = {item.profile for _, item in draft.transfers() if item.profile is not None}
    if not named:
        return  # reading profiles takes imports that a site without them need not wait for
    from mimctl.config.profiles.registers_profile import find_profile, known_profiles

    for path, item in draft.transfers():
        if item.profile is None:
            continue
        if find_profile(item.profile, beside=draft.folder) is None:
            hint = did_you_mean(item.profile, known_profiles(draft.folder))
            text = f"there is no device profile '{item.profile}'{hint}: put it into device_profiles/ beside the site file"
            yield error("profile.unknown", f"{path}.profile", text)
            continue
        yield from _status(draft, path, item)


def _status(draft: Draft, path: str, item: TransferItem) -> Iterator[Problem]:
    profile = draft.profiles.get(item.profile or "")
    if profile is not None and not any(point.key == "status" for point in profile.register_map.points):
        text = f"the profile '{profile.id}' has no point 'status', which tells the state"
        yield error("transfer.no_status", f"{path}.profile", text)


def check_available(draft: Draft) -> Iterator[Problem]:
    """`transfer.available`: a source other than the normal one that is taken to give whatever the breakers permit."""
    for path, item in draft.transfers():
        for word in ("battery", "generator"):
            named = word in (*item.states.values(), item.backup)
            if named and (word not in item.sources or item.sources[word].available_va is None):
                example = f"'sources: {{{word}: {{available: 100 kVA}}}}'"
                text = f"nothing says what its {word} can give, so it is taken for as strong as the breakers: {example}"
                yield warning("transfer.available", path, text)


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (check_places, check_states, check_profiles, check_available)
