"""What the scope of a lease means on a site: which MIMs, which ports, which node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from textwrap import shorten

import numpy as np

from mimctl.model.errors import UserError
from mimctl.model.layout import BoolArray, SiteLayout, frozen
from mimctl.model.lease import Action, Cap, Form, LockOut, Pause, Setpoint, Stop
from mimctl.model.site import Site
from mimctl.model.zoning import nodes_under

_LISTED = 200


@dataclass(frozen=True, eq=False)
class Scopes:
    """Names of one whole site; zones see parts of it, and a lease may reach into several."""

    site: Site
    _masks: dict[tuple[str, SiteLayout], BoolArray] = field(default_factory=dict)

    @cached_property
    def _mims_by_name(self) -> Mapping[str, frozenset[str]]:
        """MIM ids by every name that can stand for some: its own, its link's, those of the nodes above, its zone's, the site's.

        What bears the same name is meant together; only a zone of the site's own name stands for itself.
        """
        site = self.site
        parents = {node.id: node.parent for node in site.nodes}
        inside = {zone.id: nodes_under(site, zone.heads) for zone in site.zones}
        everything = [site.id, *inside, *(link.id for link in site.links), *parents, *(mim.id for mim in site.mims)]
        found: dict[str, set[str]] = {name: set() for name in everything}
        for mim in site.mims:
            nodes = {port.node for port in mim.ports}
            names = {mim.id, mim.address.link, *(zone for zone, below in inside.items() if nodes <= below)}
            names |= {site.id} - inside.keys()
            for node in nodes:
                above: str | None = node
                while above is not None:
                    names.add(above)
                    above = parents[above]
            for name in names:
                found[name].add(mim.id)
        return {name: frozenset(mims) for name, mims in found.items()}

    @cached_property
    def _ports(self) -> Mapping[str, tuple[str, int]]:
        """(MIM, index of the port) by `MIM/port`, ports counted from 1."""
        return {f"{mim.id}/{n + 1}": (mim.id, n) for mim in self.site.mims for n in range(len(mim.ports))}

    @cached_property
    def nodes(self) -> frozenset[str]:
        return frozenset(node.id for node in self.site.nodes)

    @cached_property
    def _heads(self) -> frozenset[str]:
        return frozenset(head for zone in self.site.zones for head in zone.heads)

    @cached_property
    def _in_zones(self) -> frozenset[str]:
        return nodes_under(self.site, self._heads)

    def knows(self, scope: str) -> bool:
        return scope in self._mims_by_name or scope in self._ports

    def mims(self, scope: str) -> frozenset[str]:
        """Ids of the MIMs that a scope reaches; none where it is not known."""
        if scope in self._ports:
            return frozenset([self._ports[scope][0]])
        return self._mims_by_name.get(scope, frozenset())

    def mims_of(self, layout: SiteLayout, scope: str) -> BoolArray:
        """(M,) MIMs of one layout that a scope reaches; worked out once, for it is asked in each cycle."""
        key = (scope, layout)
        if key not in self._masks:
            found = np.zeros(len(layout.mims), dtype=np.bool_)
            found[[layout.mim_index[name] for name in self.mims(scope) if name in layout.mim_index]] = True
            self._masks[key] = frozen(found)
        return self._masks[key]

    def port(self, scope: str) -> tuple[str, int] | None:
        """The MIM and the index of the port where the scope is a port."""
        return self._ports.get(scope)

    def is_node(self, scope: str, action: Cap) -> bool:
        """Whether a cap means the node itself: its breaker, what flows through it."""
        return scope in self.nodes and scope not in {mim.id for mim in self.site.mims} and not self._ports_only(action)

    @staticmethod
    def _ports_only(action: Cap) -> bool:
        return action.max_a is None and action.max_export_w is None

    def check(self, scope: str, action: Action) -> None:
        """Refuse what means nothing here.

        Raises:
            UserError: in one line, with what would be right.
        """
        if not scope:
            raise UserError(f"say what of site '{self.site.id}' it is for: a MIM, a port, a link, a node, a zone, or the site")
        if not self.knows(scope):
            raise UserError(f"no '{scope}' in site '{self.site.id}'; {self._suggestion(scope)}")
        match action:
            case Stop():
                self._one_of(scope, {self.site.id}, "an emergency stop is for the whole site")
            case Pause():
                self._one_of(scope, {self.site.id, *(z.id for z in self.site.zones)}, "a pause is for a zone or the site")
            case LockOut() if not self.mims(scope):
                raise UserError(f"'{scope}' reaches no MIM: there is nothing to lock out")
            case LockOut() if scope in self._ports:
                raise UserError(f"a MIM is locked out as a whole: '{self._ports[scope][0]}'")
            case Setpoint():
                self._check_setpoint(scope, action)
            case Form():
                self._check_form(scope, action)
            case Cap():
                self._check_cap(scope, action)

    def _check_setpoint(self, scope: str, action: Setpoint) -> None:
        mim = next((mim for mim in self.site.mims if mim.id == scope), None)
        if mim is None:
            raise UserError(f"'{scope}' is no MIM: it takes no setpoint")
        if len(action.power_va) != len(mim.ports):
            raise UserError(f"{scope} has {len(mim.ports)} ports, not {len(action.power_va)}")
        for number, (port, wanted_va) in enumerate(zip(mim.ports, action.power_va, strict=True), start=1):
            if wanted_va is not None and abs(wanted_va) > port.rating_va * (1 + 1e-9):
                text = f"port {number} of {scope} is rated {port.rating_va:g} VA; {abs(wanted_va):g} VA were asked of it"
                raise UserError(text)

    def _check_form(self, scope: str, action: Form) -> None:
        if all(mim.id != scope for mim in self.site.mims):
            raise UserError(f"'{scope}' is no MIM: it forms no bus")
        island = next((island for island in self.site.islands if island.node == action.bus), None)
        if island is None:
            known = ", ".join(f"{island.node} ({island.id})" for island in self.site.islands)
            mend = f"there are: {known}" if known else "the site file names none under 'islands:'"
            raise UserError(f"'{action.bus}' is the bus of no island; {mend}")
        if scope not in island.formers:
            raise UserError(f"'{scope}' may not form {island.id}; its formers are: {', '.join(island.formers)}")

    def _check_cap(self, scope: str, action: Cap) -> None:
        at_node = self.is_node(scope, action)
        if action.max_export_w is not None and scope not in self._heads:
            raise UserError(f"what flows back is limited at the head of a zone: {', '.join(sorted(self._heads))}; not at '{scope}'")
        if at_node and scope not in self._in_zones:
            raise UserError(f"'{scope}' stands above the zones; cap their heads: {', '.join(sorted(self._heads))}")
        if action.max_a is not None and not at_node and len(self.mims(scope)) != 1:
            raise UserError(f"a current is capped at a node, a MIM or a port; '{scope}' is none of them")
        if action.max_va is not None and not self.mims(scope):
            raise UserError(f"'{scope}' reaches no MIM: there is no port to cap")

    def _one_of(self, scope: str, allowed: set[str], why: str) -> None:
        if scope not in allowed:
            raise UserError(f"{why}: {', '.join(sorted(allowed))}; not '{scope}'")

    def _suggestion(self, scope: str) -> str:
        known = sorted([*self._mims_by_name, *self._ports])
        near = get_close_matches(scope, known, n=1)
        return f"did you mean '{near[0]}'?" if near else f"there are: {shorten(', '.join(known), _LISTED, placeholder=' …')}"
