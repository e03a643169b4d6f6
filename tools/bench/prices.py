"""What zones lose with prices of now, of a minute before, of nobody: minute by minute, linear model, no noise, no delay."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _measure import show
from levels import cut

from mimctl.balance.problem import Balancer
from mimctl.config.site import load_site
from mimctl.control.levels.above import Above
from mimctl.control.levels.site_level import SiteLevel
from mimctl.control.levels.site_picture import PictureMaker, SitePicture
from mimctl.control.limits import BoundsMaker
from mimctl.grid.tree import TreeOperators, node_objective
from mimctl.model.bounds import Bounds, UpstreamPrice
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.resources import site_config
from mimctl.model.site import Site, Zone
from mimctl.model.zoning import restrict
from mimctl.service.logs import set_up
from mimctl.simulation.loads import choose_loads

Prices = dict[str, tuple[UpstreamPrice | None, ...]]


def known(load: ComplexArray) -> LoadForecast:
    everywhere = np.ones(len(load), dtype=np.bool_)
    return LoadForecast(load.real, load.imag, everywhere, everywhere)


@dataclass(eq=False)
class Part:
    """One zone, solved by itself. `nodes`, `ports`: where its arrays stand in those of the site."""

    site: Site
    zone: Zone
    whole: SiteLayout

    def __post_init__(self) -> None:
        own = SiteLayout(restrict(self.site, self.zone))
        self.nodes = [self.whole.node_index[node.id] for node in own.nodes]
        runs = [self.whole.ports_of_mim[self.whole.mim_index[mim.id]] for mim in own.mims]
        self.ports = np.concatenate([np.arange(run.start, run.stop) for run in runs])
        self._balancer = Balancer(TreeOperators(own))
        fine = np.ones(len(own.mims), dtype=np.bool_)
        self._nothing = np.zeros(len(own.ports), dtype=np.complex128)
        maker = BoundsMaker(own, self.zone.id)
        start = choose_loads(self.site, None, start=None, hours=1.0, step_s=60.0, seed=1).start
        bounds = maker.bounds(start, self._nothing, 60.0, obeying=fine, reported=fine)
        self._bounds: Bounds = replace(bounds, step_max_va=np.full(len(own.ports), np.inf), mim_dc_w=np.zeros(len(own.mims)))

    def answer(self, load: ComplexArray, prices: tuple[UpstreamPrice | None, ...]) -> ComplexArray:
        bounds = replace(self._bounds, upstream=prices)
        plan = self._balancer.solve(known(load[self.nodes]), bounds, self._nothing, self._nothing)
        return plan.inject_w + 1j * plan.inject_var


class Tree:
    """A site in zones, everything known at every minute."""

    def __init__(self, site: Site) -> None:
        layout = SiteLayout(site)
        self.operators = TreeOperators(layout)
        self.level = SiteLevel(Above(self.operators))
        self._parts = [Part(site, zone, layout) for zone in site.zones]
        empty = PictureMaker(self.level.above, ()).picture(None, 0.0)
        everybody = np.ones(len(layout.mims), dtype=np.bool_)
        self._bounds = replace(empty.bounds, mim_enabled=everybody, port_s_max_va=layout.port_rating_va)
        self.standing: Prices = {z.id: tuple(s.price for s in self.level.standing(z.id)) for z in site.zones}

    def solve(self, load: ComplexArray) -> tuple[Prices, ComplexArray]:
        """Prices, and the optimum that they come from."""
        heads = np.ones(len(self.level.above.ways), dtype=np.bool_)
        nothing = np.zeros(len(self._bounds.port_s_max_va), dtype=np.complex128)
        orders = self.level.solve(SitePicture(known(load), self._bounds, nothing, heads, 0.0))
        plan = self.level.last
        if plan is None:
            raise RuntimeError("the site level has not solved")
        prices = {zone: tuple(None if o.price is None else o.price.price for o in told) for zone, told in orders.items()}
        return prices, plan.inject_w + 1j * plan.inject_var

    def together(self, load: ComplexArray, prices: Prices) -> ComplexArray:
        power = np.zeros(len(self._bounds.port_s_max_va), dtype=np.complex128)
        for part in self._parts:
            power[part.ports] = part.answer(load, prices[part.zone.id])
        return power

    def objective(self, load: ComplexArray, power: ComplexArray) -> float:
        sequence = self.operators.sequence_currents(self.operators.currents(self.operators.flow(load, power)))
        return float(node_objective(sequence, self.operators.layout.rating_a) @ self.operators.layout.omega)


def minutes(tree: Tree, loads: Iterator[ComplexArray]) -> dict[str, np.ndarray]:
    """J of every minute from the second on, by what the zones knew."""
    found: dict[str, list[float]] = {name: [] for name in ("none", "best", "now", "a minute old", "standing")}
    old: Prices | None = None
    for load in loads:
        prices, best = tree.solve(load)
        if old is not None:
            found["none"].append(tree.objective(load, 0 * best))
            found["best"].append(tree.objective(load, best))
            for name, told in (("now", prices), ("a minute old", old), ("standing", tree.standing)):
                found[name].append(tree.objective(load, tree.together(load, told)))
        old = prices
    return {name: np.array(values) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=None, help="site file (default: the packaged hall of three zones)")
    parser.add_argument("--heads", default="", help="heads of the zones, a zone each (default: the zones of the file)")
    parser.add_argument("--loads", type=Path, default=None, help="trace of loads (default: half an hour of the generator)")
    parser.add_argument("--json", metavar="FILE", help="also as JSON; - is standard output")
    options = parser.parse_args()
    set_up("critical")
    path = options.site or site_config("zoned_hall")
    site = load_site(path)
    heads = [head for head in options.heads.split(",") if head]
    site = cut(site, tuple(Zone(head, (head,)) for head in heads)) if heads else site
    quiet = replace(site, twin=replace(site.twin, load_noise_pct=0.0))
    chosen = choose_loads(quiet, options.loads, start=None, hours=None if options.loads else 0.5, step_s=60.0, seed=1)
    steps = int(chosen.hours * 60)
    found = minutes(Tree(quiet), (chosen.loads.node_load(60.0 * t) for t in range(steps)))
    possible = (found["none"] - found["best"]).sum()
    rows = [
        {
            "prices": name,
            "achieved %": 100 * (found["none"] - found[name]).sum() / possible,
            "loss points": 100 * (found[name] - found["best"]).sum() / possible,
            "worse than none %": 100 * float((found[name] > found["none"] * (1 + 1e-9)).mean()),
        }
        for name in ("now", "a minute old", "standing")
    ]
    show(f"prices: {path.name}, {steps - 1} minutes", rows, options.json)


if __name__ == "__main__":
    main()
