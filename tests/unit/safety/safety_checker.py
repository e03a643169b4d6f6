"""What a safe plan must be, worked out again from the inputs: plain Python, phase by phase, with nothing of the judge's own.

`complaints` lists everything that is wrong with a safe plan; an empty list is a pass.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass, replace

from safety_cases import Scene

from mimctl.model.node import Node, Winding
from mimctl.model.plan import SafePlan, SolveStatus
from mimctl.model.transfer import TransferState

METER_TOLERANCE = 0.005
DEAD_PU = 0.5
RELEASE_FACTOR = 3.0


@dataclass
class Row:
    """One limit at one place with the plan, with the accepted setpoints, and with no MIM at all."""

    name: str
    limit: float
    value: float
    accepted: float
    nothing: float
    blind: bool = False


class Checker:
    def __init__(self, scene: Scene, plan: SafePlan) -> None:
        self.scene, self.plan, self.site = scene, plan, scene.site
        turn = -1 if self.site.rotation.value == "L1L2L3" else 1
        self.unit = [cmath.rect(1.0, turn * k * 2 * math.pi / 3) for k in range(3)]
        self.index = {n.id: i for i, n in enumerate(self.site.nodes)}
        self.ports, k = [], 0
        for m, mim in enumerate(self.site.mims):
            for port in mim.ports:
                self.ports.append((k, m, port))
                k += 1
        clean = [complex(s) for s in scene.accepted.setpoint_va]
        self.known = [all(_figure(clean[k]) for k, mm, _ in self.ports if mm == m) for m in range(len(self.site.mims))]
        self.accepted = [s if _figure(s) else 0j for s in clean]
        self.out = [complex(p, q) for p, q in zip(plan.inject_w, plan.inject_var, strict=True)]
        self.leave = [self.leave_of(m) for m in range(len(self.site.mims))]

    # --- the tree ---------------------------------------------------------------------------------------------------

    def volts(self, n: Node) -> list[complex]:
        return [n.voltage_ln_v * u for u in self.unit]

    def port_phases(self, port) -> list[int]:
        return [0, 1, 2] if port.connection.value == "3ph" else [int(c) - 1 for c in port.connection.value if c.isdigit()]

    def port_power(self, port, s: complex) -> list[complex]:
        """Power at the three terminals of the port's node, by the current through the port."""
        v = self.volts(self.site.nodes[self.index[port.node]])
        phases, result = self.port_phases(port), [0j, 0j, 0j]
        if len(phases) == 2:
            x, y = phases
            i = (s / (v[x] - v[y])).conjugate()
            result[x], result[y] = v[x] * i.conjugate(), v[y] * (-i).conjugate()
        else:
            for x in phases:
                result[x] = s / len(phases)
        return result

    def to_parent(self, n: Node, flow: list[complex]) -> list[complex]:
        if n.transformer is None or n.transformer.winding is Winding.YNYN:
            return flow
        pairs = {11: [(0, 1), (1, 2), (2, 0)], 1: [(2, 0), (0, 1), (1, 2)]}[n.transformer.clock]
        parent = self.site.nodes[self.index[n.parent or ""]]
        v, current = self.volts(parent), [0j, 0j, 0j]
        for (x, y), s in zip(pairs, flow, strict=True):
            i = (s / (v[x] - v[y])).conjugate()
            current[x] += i
            current[y] -= i
        return [v[k] * current[k].conjugate() for k in range(3)]

    def flows(self, loads: list[list[complex]], injection: list[complex]) -> list[list[complex]]:
        flow = [list(row) for row in loads]
        for k, _, port in self.ports:
            for c, s in enumerate(self.port_power(port, injection[k])):
                flow[self.index[port.node]][c] -= s
        for i in reversed(range(len(flow))):
            n = self.site.nodes[i]
            if n.parent is not None:
                for c, s in enumerate(self.to_parent(n, flow[i])):
                    flow[self.index[n.parent]][c] += s
        return flow

    def path(self, node: str) -> list[int]:
        found, at = [], node
        while at is not None:
            found.append(self.index[at])
            at = self.site.nodes[self.index[at]].parent
        return found

    # --- what is known ----------------------------------------------------------------------------------------------

    def age(self, taken: float) -> float:
        age = self.scene.now_s - taken
        return age if age >= -1.0 else math.inf

    @property
    def max_age(self) -> float:
        own = self.scene.settings.max_data_age_s
        return self.site.control.max_data_age_s if own is None else own

    def node_usable(self, i: int, quality: int = 1) -> bool:
        nodes = self.scene.state.nodes
        return self.age(nodes.taken_at_s[i]) <= self.max_age and nodes.quality[i] >= quality

    def mim_usable(self, m: int, quality: int = 1) -> bool:
        mims = self.scene.state.mims
        return self.age(mims.taken_at_s[m]) <= self.max_age and mims.quality[m] >= quality

    def metered(self, i: int) -> bool:
        return any(meter.node == self.site.nodes[i].id for meter in self.site.meters)

    def output(self, k: int, m: int) -> complex:
        ports = self.scene.state.ports
        s = complex(ports.inject_w[k], ports.inject_var[k])
        return s if self.mim_usable(m) and _finite(s) else complex(math.nan, math.nan)

    def dead(self, i: int, c: int) -> bool:
        n = self.site.nodes[i]
        present = f"L{c + 1}" in [p.value for p in n.phases]
        return present and self.node_usable(i) and self.scene.state.nodes.voltage_ln_v[i][c] < DEAD_PU * n.voltage_ln_v

    # --- transfer devices: (available VA, W back) of the worst source that may feed; None = it is open ---------------

    def device_state(self, t: int) -> str:
        image, device = self.scene.state.transfers, self.site.transfers[t]
        if device.fixed is not None:
            return device.fixed.word
        if image is None or image.quality[t] == 0 or not self.scene.now_s - image.taken_at_s[t] <= self.max_age:
            return "unknown"
        return TransferState(int(image.state[t])).word

    def source_at(self, i: int) -> tuple[float, float]:
        """What may be drawn per phase [A] and flow back per phase [W] at one node by its own transfer devices."""
        most_a, back_w = math.inf, math.inf
        for t, device in enumerate(self.site.transfers):
            if device.node != self.site.nodes[i].id:
                continue
            state = self.device_state(t)
            if state == "open":
                back_w = min(back_w, 0.0)
                continue
            named = [s for s in device.sources if s.state.word == state] or list(device.sources)
            image, fed = self.scene.state.transfers, state in ("normal", "alternate", "battery", "generator")
            told = image.available_va[t] if fed and image is not None else math.nan
            for source in named:
                given = [va for va in (source.available_va, told) if va is not None and math.isfinite(va)]
                most_a = min([most_a, *(va / 3 / self.site.nodes[i].voltage_ln_v for va in given)])
                back_w = min(back_w, math.inf if source.reverse_power_limit_w is None else source.reverse_power_limit_w)
        return most_a, back_w

    def behind(self, node: str, wanted: str) -> bool:
        """Whether a device in this state stands between a source and a node."""
        above = {self.site.nodes[i].id for i in self.path(node)}
        return any(d.node in above and self.device_state(t) == wanted for t, d in enumerate(self.site.transfers))

    def off_frequency(self, i: int) -> bool:
        hertz = self.scene.state.nodes.frequency_hz
        if hertz is None or not self.node_usable(i):
            return False
        share, band = hertz[i] / self.site.frequency_hz, self.site.control.grid
        return bool(share < band.min_frequency_pu or share > band.max_frequency_pu)

    def leave_of(self, m: int) -> str:  # noqa: PLR0911
        """The strictest rule for one MIM: release, silent, hold, shrink or free."""
        scene, mims = self.scene, self.scene.state.mims
        own = [(k, port) for k, mm, port in self.ports if mm == m]
        mim = self.site.mims[m]
        names = {mim.id, mim.address.link} | {self.site.nodes[i].id for _, p in own for i in self.path(p.node)}
        if scene.options.get("emergency_stop") or names & scene.options.get("locked", frozenset()) or not self.known[m]:
            return "release"
        age = self.age(mims.taken_at_s[m])
        covers = [next((i for i in self.path(p.node) if self.metered(i)), None) for _, p in own]
        cover_ages = [math.inf if i is None else self.age(scene.state.nodes.taken_at_s[i]) for i in covers]
        limit = RELEASE_FACTOR * self.max_age
        if not age <= limit or any(not a <= limit for a in cover_ages):
            return "release"
        if any(self.behind(p.node, "open") or any(self.off_frequency(i) for i in self.path(p.node)) for _, p in own):
            return "release"
        alive = True
        for k, port in own:
            n = self.site.nodes[self.index[port.node]]
            nominal = n.voltage_ln_v * (math.sqrt(3) if len(self.port_phases(port)) == 2 else 1)
            volts = scene.state.ports.voltage_v[k] if self.mim_usable(m) else math.nan
            phases = self.port_phases(port)
            if volts < DEAD_PU * nominal:
                return "release"
            for i in self.path(port.node):
                if any(self.dead(i, c) for c in phases):
                    return "release"
                t = self.site.nodes[i].transformer
                phases = [0, 1, 2] if t is not None and t.winding is Winding.DYN else phases
            at = self.index[port.node]
            by_node = self.node_usable(at) and all(
                scene.state.nodes.voltage_ln_v[at][c] >= DEAD_PU * n.voltage_ln_v for c in self.port_phases(port)
            )
            alive = alive and (volts >= DEAD_PU * nominal or by_node)
        changed = scene.accepted.written_at_s if scene.accepted.changed_at_s is None else scene.accepted.changed_at_s
        told = self.mim_usable(m) and mims.taken_at_s[m] >= changed[m] + 0.1
        told = told and scene.accepted.written_at_s[m] > -math.inf
        if told and mims.command_status[m] in (2.0, 3.0) and any(self.accepted[k] != 0 for k, _ in own):
            return "release"
        if not scene.bounds.mim_enabled[m] or not self.mim_usable(m):
            return "silent"
        wanted = [complex(scene.plan.inject_w[k], scene.plan.inject_var[k]) for k, _ in own]
        tolerance = 0.5 * len(own) + 1e-3 * sum(p.rating_va for _, p in own)
        unbalanced = not abs(sum(s.real for s in wanted) - scene.bounds.mim_dc_w[m]) <= tolerance
        if scene.plan.status is SolveStatus.FAILED or not all(_figure(s) for s in wanted) or unbalanced:
            return "hold"
        if not alive or any(i is None or not self.node_usable(i) for i in covers):
            return "hold"
        unknown = any(self.unknown(i) for _, p in own for i in self.path(p.node))
        unknown = unknown or any(self.behind(p.node, "fault") for _, p in own)
        return "shrink" if unknown or not self.mim_usable(m, 2) else "free"

    def unknown(self, i: int) -> bool:
        """Nothing can be said about the flow of a node."""
        if not self.scene.forecast.covered[i] or any(not _finite(complex(*s)) for s in zip(*self.load_row(i), strict=True)):
            return True
        if self.metered(i):
            return not self.node_usable(i, 2)
        top = self.meter_over(i)
        return top is not None and (self.unknown(top) or not self.scene.forecast.known[top])

    def meter_over(self, i: int) -> int | None:
        return next((a for a in self.path(self.site.nodes[i].id) if self.metered(a)), None)

    def children(self, i: int) -> list[int]:
        return [k for k, n in enumerate(self.site.nodes) if n.parent == self.site.nodes[i].id]

    def blind(self, i: int) -> bool:
        return self.unknown(i) and self.unseen_down(i)

    def unseen_down(self, i: int) -> bool:
        below = self.children(i)
        return not self.node_usable(i) and (not below or any(self.unseen_down(k) for k in below))

    # --- nodes without a meter --------------------------------------------------------------------------------------

    def from_meters_below(self, i: int, gross: list[list[complex]]) -> list[complex]:
        """What passes through a node on its way to the metered nodes next below it."""
        total = [0j, 0j, 0j]
        for k in self.children(i):
            part = gross[k] if self.metered(k) else self.from_meters_below(k, gross)
            total = [t + s for t, s in zip(total, self.to_parent(self.site.nodes[k], part), strict=True)]
        return total

    def room(self, i: int, top: int, gross: list[list[complex]]) -> list[float]:
        """The most that load nobody can place may draw at a node without a meter [VA]."""
        region = [abs(g - b) for g, b in zip(gross[top], self.from_meters_below(top, gross), strict=True)]
        between = self.path(self.site.nodes[i].id)
        between = between[: between.index(top)]
        transformers = [t for k in between if (t := self.site.nodes[k].transformer) is not None]
        mixed = any(t.winding is Winding.DYN for t in transformers)
        return [sum(region)] * 3 if mixed else region

    def load_row(self, i: int) -> tuple[list[float], list[float]]:
        return list(self.scene.forecast.load_w[i]), list(self.scene.forecast.load_var[i])

    # --- the nodes --------------------------------------------------------------------------------------------------

    def commanded(self, m: int) -> bool:
        return self.leave[m] in ("hold", "shrink", "free")

    def gross(self) -> tuple[list[list[complex]], list[list[float]]]:
        """Load under each node as its own meter sees it (NaN where it does not), and the doubt about it [VA]."""
        outputs = [self.output(k, m) for k, m, _ in self.ports]
        zero = [[0j] * 3 for _ in self.site.nodes]
        behind = self.flows(zero, outputs)
        doubts = [[0.0] * 3 for _ in self.site.nodes]
        for k, m, _ in self.ports:
            doubt = abs(outputs[k] - self.accepted[k]) if self.commanded(m) else 0.0
            one = self.flows(zero, [1 + 0j if j == k else 0j for j in range(len(self.ports))])
            for i, row in enumerate(one):
                for c in range(3):
                    doubts[i][c] += doubt * abs(row[c]) if abs(row[c]) else 0.0
        nodes, result = self.scene.state.nodes, []
        for i in range(len(self.site.nodes)):
            blind = any(abs(d) > 1e6 or math.isnan(d) for d in doubts[i])
            row = [complex(w, q) for w, q in zip(nodes.import_w[i], nodes.import_var[i], strict=True)]
            ok = self.node_usable(i) and not blind
            result.append([s - b if ok and _finite(s - b) else complex(math.nan) for s, b in zip(row, behind[i], strict=True)])
        return result, doubts

    def limits(self, i: int) -> tuple[list[float], float]:
        n, nodes, bounds = self.site.nodes[i], self.scene.state.nodes, self.scene.bounds
        volts = self.volts(n)
        usable, phases, factors = self.node_usable(i), [], []
        fundamental = [complex(w, q) for w, q in zip(nodes.import_w[i], nodes.import_var[i], strict=True)]
        for c in range(3):
            limit = _least(min(n.rating_a * n.continuous_factor, self.source_at(i)[0]), bounds.node_limit_a[i][c])
            thd, rms = nodes.thd_i_pct[i][c] / 100, nodes.current_a[i][c]
            rms = abs(fundamental[c]) / n.voltage_ln_v if math.isnan(rms) else rms
            harmonic = rms * thd / math.sqrt(1 + thd**2) if usable and math.isfinite(rms * thd) else 0.0
            pu = nodes.voltage_ln_v[i][c] / n.voltage_ln_v
            factor = max(0.8, min(1.0, pu)) if usable and math.isfinite(pu) else 1.0
            factors.append(factor)
            phases.append(math.sqrt(max(limit**2 - harmonic**2, 0.0)) * factor)
        neutral = _least(math.inf if n.neutral_rating_a is None else n.neutral_rating_a, bounds.node_neutral_limit_a[i])
        now = abs(sum(s / v for s, v in zip(fundamental, volts, strict=True)))
        triplen = nodes.neutral_a[i] ** 2 - now**2 if usable else 0.0
        triplen = triplen if triplen > 0 else 0.0
        return phases, math.sqrt(max(neutral**2 - triplen, 0.0)) * min(factors)

    def rows(self) -> list[Row]:
        gross, doubts = self.gross()
        finite = [
            [complex(w, q) if _finite(complex(w, q)) else 0j for w, q in zip(*self.load_row(i), strict=True)]
            for i in range(len(self.site.nodes))
        ]
        idle = [0j] * len(self.ports)
        by_forecast = self.flows(finite, idle)
        found: list[Row] = []
        stubborn = [0j if self.commanded(m) else self._as_is(k, m) for k, m, _ in self.ports]
        told = [0j if self.commanded(m) else self.accepted[k] for k, m, _ in self.ports]
        seen_gross = [
            [[g if m and _finite(g) else f for g, f in zip(gross[i], by_forecast[i], strict=True)] for i in range(len(gross))]
            for m in (False, True)
        ]
        for kept in (stubborn, told, idle):
            mine = [[s if self.commanded(m) else kept[k] for (k, m, _), s in zip(self.ports, v, strict=True)] for v in self.three()]
            taken = [self.flows([[0j] * 3 for _ in self.site.nodes], v) for v in mine]
            for i in range(len(self.site.nodes)):
                phases, neutral = self.limits(i)
                top = self.meter_over(i)
                for measured, view in enumerate(seen_gross):
                    base, most, together = view[i], phases, neutral
                    if top is not None and top != i:
                        base, room = self.from_meters_below(i, view), self.room(i, top, view)
                        n = self.site.nodes[i]
                        # the bounds are for the known flow already: the room is taken from the site's own limits
                        site_a, volts = n.rating_a * n.continuous_factor, n.voltage_ln_v
                        most = [min(p, max(0.0, site_a - r / volts)) for p, r in zip(phases, room, strict=True)]
                        site_neutral_a = math.inf if n.neutral_rating_a is None else n.neutral_rating_a
                        together = min(neutral, max(0.0, site_neutral_a - sum(sorted(room)[1:]) / volts))
                    seen = [bool(measured) and _finite(g) for g in gross[i]]
                    rows = self._node_rows(i, base, [t[i] for t in taken], most, together, seen, doubts[i])
                    found += [replace(row, blind=self.blind(i)) for row in rows]
        return found + self._voltage_rows()

    def _as_is(self, k: int, m: int) -> complex:
        out = self.output(k, m)
        return out if _finite(out) else self.accepted[k]

    def three(self) -> tuple[list[complex], list[complex], list[complex]]:
        return self.out, self.accepted, [0j] * len(self.ports)

    def _node_rows(self, i, base, taken, phases, neutral, seen, doubts) -> list[Row]:
        n, v = self.site.nodes[i], self.volts(self.site.nodes[i])
        flows = [[b + t for b, t in zip(base, row, strict=True)] for row in taken]
        slack = [
            (METER_TOLERANCE * n.rating_a * n.continuous_factor + d / n.voltage_ln_v) if s else 0.0
            for s, d in zip(seen, doubts, strict=True)
        ]
        rows = [Row(f"{n.id} L{c + 1}", phases[c] + slack[c], *(abs(f[c]) / n.voltage_ln_v for f in flows)) for c in range(3)]
        sums = [abs(sum(f[c] / v[c] for c in range(3))) for f in flows]
        rows.append(Row(f"{n.id} neutral", neutral + sum(slack), *sums))
        guarded = [node.id for node in self.site.nodes if node.parent is None]
        places = {device.node for device in self.site.transfers}
        guarded += [node.id for node in self.site.nodes if node.parent is not None and node.id in places]
        if n.id in guarded:
            feed_w = next((-f.reverse_power_limit_w for f in self.site.feeds if f.node == n.id), -math.inf)
            bound = self.scene.bounds.head_min_import_w[guarded.index(n.id)]
            least = max(feed_w, bound if not math.isnan(bound) else -math.inf, -self.source_at(i)[1])
            for c in range(3):
                limit = -least / n.voltage_ln_v + slack[c]
                rows.append(Row(f"{n.id} import L{c + 1}", limit, *(-f[c].real / n.voltage_ln_v for f in flows)))
        return rows

    def _voltage_rows(self) -> list[Row]:
        outputs = [self._as_is(k, m) if self.commanded(m) else 0j for k, m, _ in self.ports]
        zero = [[0j] * 3 for _ in self.site.nodes]
        vectors = [[s if self.commanded(m) else 0j for (_, m, _), s in zip(self.ports, v, strict=True)] for v in self.three()]
        moves = [self.flows(zero, [b - a for a, b in zip(outputs, v, strict=True)]) for v in vectors]
        rows, control = [], self.site.control
        for i, n in enumerate(self.site.nodes):
            for c in range(3):
                pu = self.scene.state.nodes.voltage_ln_v[i][c] / n.voltage_ln_v
                if not (self.node_usable(i) and math.isfinite(pu)):
                    continue
                nominal = self.volts(n)[c]
                rises = [(self.voltage_change(i, move)[c] / nominal).real for move in moves]
                seen = [1000 * (pu + rise) for rise in rises]
                rows.append(Row(f"{n.id} high L{c + 1}", 1000 * control.max_voltage_pu, *seen))
                rows.append(Row(f"{n.id} low L{c + 1}", -1000 * control.min_voltage_pu, *(-s for s in seen)))
        return rows

    def voltage_change(self, i: int, move: list[list[complex]]) -> list[complex]:
        """(3,) by which the phase voltage phasors of a node change when the flows change by `move` [V]: drop by drop."""
        n = self.site.nodes[i]
        v = self.volts(n)
        change = [0j, 0j, 0j]
        if n.parent is not None:
            above = self.voltage_change(self.index[n.parent], move)
            change = above
            if n.transformer is not None:
                w = self.volts(self.site.nodes[self.index[n.parent]])
                change = [a * b / c for a, b, c in zip(above, v, w, strict=True)]
                if n.transformer.winding is Winding.DYN:
                    pairs = {11: [(0, 1), (1, 2), (2, 0)], 1: [(2, 0), (0, 1), (1, 2)]}[n.transformer.clock]
                    change = [(above[x] - above[y]) * v[k] / (w[x] - w[y]) for k, (x, y) in enumerate(pairs)]
        current = [(s / u).conjugate() for s, u in zip(move[i], v, strict=True)]
        common = self.neutral_impedance(i) * sum(current)
        return [e - self.impedance(i) * c - common for e, c in zip(change, current, strict=True)]

    def neutral_impedance(self, i: int) -> complex:
        cable = self.site.nodes[i].cable
        return 0j if cable is None else complex(cable.r_neutral_ohm or 0.0, cable.x_neutral_ohm or 0.0)

    def impedance(self, i: int) -> complex:
        n = self.site.nodes[i]
        z = complex(n.cable.r_ohm, n.cable.x_ohm) if n.cable is not None else 0j
        if n.transformer is not None:
            t = n.transformer
            base = 3 * n.voltage_ln_v**2 / t.rated_va
            size, r = t.short_circuit_voltage_pct / 100 * base, t.copper_loss_w / t.rated_va * base
            z += complex(r, math.sqrt(size**2 - r**2))
        for feed in self.site.feeds:
            if feed.node == n.id:
                size = 3 * n.voltage_ln_v**2 / feed.short_circuit_va
                x = size / math.sqrt(1 + feed.rx_ratio**2)
                z += complex(feed.rx_ratio * x, x)
        return z

    # --- one MIM ----------------------------------------------------------------------------------------------------

    def inside_alone(self, m: int, setpoints: list[complex]) -> list[str]:
        """What is wrong with setpoints of one MIM (all K given) by its own limits."""
        own = [(k, port) for k, mm, port in self.ports if mm == m]
        mim, bounds, bad = self.site.mims[m], self.scene.bounds, []
        neutral, single, largest = 0j, False, 0.0
        for k, port in own:
            n = self.site.nodes[self.index[port.node]]
            limit = _least(port.rating_va, bounds.port_s_max_va[k])
            if abs(setpoints[k]) > limit * (1 + 1e-6) + 1e-6:
                bad.append(f"port {k}: {abs(setpoints[k]):.2f} VA of {limit:.2f}")
            phases = self.port_phases(port)
            largest = max(largest, port.rating_va / (n.voltage_ln_v * (math.sqrt(3) if len(phases) == 2 else 1)))
            if len(phases) == 1:
                neutral, single = neutral + (setpoints[k] / self.volts(n)[phases[0]]).conjugate(), True
        limit = _least(largest if mim.neutral_rating_a is None else mim.neutral_rating_a, bounds.mim_neutral_max_a[m])
        if single and abs(neutral) > limit * (1 + 1e-6) + 1e-6:
            bad.append(f"neutral {abs(neutral):.3f} A of {limit:.3f}")
        total = sum(setpoints[k].real for k, _ in own)
        low, high = self.storage(m)
        if not low - 1e-6 <= total <= high + 1e-6:
            bad.append(f"Σp {total:.1f} W outside {low:.1f} … {high:.1f}")
        return bad

    def neutral_binds(self, m: int) -> bool:
        """The plan stands at the neutral limit, so that rounding alone may push it over: then all of it gives way a little."""
        neutral, slack, largest = 0j, 0.0, 0.0
        for k, mm, port in self.ports:
            n, phases = self.site.nodes[self.index[port.node]], self.port_phases(port)
            if mm == m:
                largest = max(largest, port.rating_va / (n.voltage_ln_v * (math.sqrt(3) if len(phases) == 2 else 1)))
            if mm == m and len(phases) == 1:
                wanted = complex(self.scene.plan.inject_w[k], self.scene.plan.inject_var[k])
                neutral += wanted / self.volts(n)[phases[0]] if _figure(wanted) else 0j
                slack += math.sqrt(2) * self.scene.settings.resolution / n.voltage_ln_v
        rating = self.site.mims[m].neutral_rating_a
        limit = _least(largest if rating is None else rating, self.scene.bounds.mim_neutral_max_a[m])
        return limit - slack <= abs(neutral) <= limit * 1.001 + 3 * slack

    def storage(self, m: int) -> tuple[float, float]:
        mim = self.site.mims[m]
        tolerance = 0.5 * len(mim.ports) + 1e-3 * sum(p.rating_va for p in mim.ports)
        losses = mim.losses.standby_w + sum(mim.losses.linear * p.rating_va for p in mim.ports)
        losses += sum(mim.losses.quadratic_per_va * p.rating_va**2 for p in mim.ports)
        tolerance += len(mim.ports) * self.scene.settings.resolution
        low, high = -losses - tolerance, tolerance
        for b, battery in enumerate(self.site.batteries):
            soc = self.scene.state.batteries.soc_pct[b]
            known = self.scene.state.batteries.quality[b] > 0 and 0 <= soc <= 100
            if battery.mim == mim.id and known:
                high += battery.max_discharge_w if soc >= battery.reserve_pct else 0.0
                low -= battery.max_charge_w if soc <= battery.max_soc_pct else 0.0
        return low, high


def complaints(scene: Scene, plan: SafePlan) -> list[str]:
    """Everything that is wrong with the plan."""
    checker = Checker(scene, plan)
    bad: list[str] = []
    for m, mim in enumerate(scene.site.mims):
        bad += [f"{mim.id}: {text}" for text in _mim_complaints(checker, m)]
    rows = checker.rows()
    unshrunk = [m for m in range(len(scene.site.mims)) if checker.commanded(m)]
    calm = all(not checker.inside_alone(m, checker.accepted) for m in unshrunk)
    calm = calm and all(r.blind or r.accepted <= max(r.limit, r.nothing) + 1e-6 for r in rows)
    for r in rows:
        allowed = max(r.limit, min(r.accepted, r.nothing)) if calm else max(r.limit, r.nothing)
        # where nobody can tell the flow, what was accepted may stand: nobody there may grow
        allowed = max(allowed, r.accepted) if r.blind else allowed
        if not r.value <= allowed + 2e-6 * (1 + abs(allowed)):
            bad.append(f"{r.name}: {r.value:.4f} of {allowed:.4f} ({r})")
    return bad


def _mim_complaints(checker: Checker, m: int) -> list[str]:  # noqa: PLR0912
    scene, plan, leave = checker.scene, checker.plan, checker.leave[m]
    own = [k for k, mm, _ in checker.ports if mm == m]
    out, accepted = [checker.out[k] for k in own], [checker.accepted[k] for k in own]
    heard = [kind for kind in ("send", "refresh", "release") if getattr(plan, kind)[m]]
    if not all(_finite(s) for s in out) or len(heard) > 1:
        return [f"not finite, or hears {heard}"]
    if leave == "release":
        return [] if heard == ["release"] and not any(out) else [f"should be released, hears {heard} {out}"]
    if leave == "silent":
        return [] if not heard and out == accepted else [f"should hear nothing, hears {heard}"]
    if not heard:
        return ["hears nothing"]
    if heard == ["release"]:
        return [] if not any(out) else ["released with a setpoint"]
    bad = []
    if heard == ["refresh"] and out != accepted:
        bad.append("refreshed with another setpoint")
    bad += checker.inside_alone(m, checker.out)
    unit = scene.settings.resolution
    if out != accepted and any(abs(x / unit - round(x / unit)) > 1e-9 for s in out for x in (s.real, s.imag)):
        bad.append(f"not in whole units: {out}")
    if leave in ("hold", "shrink") and any(abs(s) > abs(a) + 1e-6 for s, a in zip(out, accepted, strict=True)):
        bad.append(f"grew on missing data: {accepted} → {out}")
    wanted = [complex(scene.plan.inject_w[k], scene.plan.inject_var[k]) for k in own]
    backward = on_segment(out, [0j] * len(out), accepted, unit)
    if leave == "hold" and not backward:
        bad.append(f"held, but moved to {out}")
    if not backward:
        fits = not checker.inside_alone(m, checker.accepted) and not checker.neutral_binds(m)
        if not (on_segment(out, accepted, wanted, unit) if fits else in_triangle(out, accepted, wanted, unit)):
            bad.append(f"left the line {accepted} … {wanted}: {out}")
        since = min(scene.now_s - scene.accepted.written_at_s[m], scene.site.mims[m].validity_s)
        ramp = scene.site.mims[m].ramp_w_per_s * max(since, scene.site.zones[0].cycle_s)
        for k, s, a in zip(own, out, accepted, strict=True):
            step = _least(ramp, scene.bounds.step_max_va[k])
            if fits and abs(s - a) > step + 3 * unit:
                bad.append(f"port {k} steps {abs(s - a):.1f} of {step:.1f} VA")
        if fits and all(_figure(s) for s in wanted):
            share = _share(out, accepted, wanted)
            ends = sum(a.real for a in accepted), sum(s.real for s in wanted)
            if abs(sum(s.real for s in out) - ends[0] - share * (ends[1] - ends[0])) > len(out) * 2 * unit:
                bad.append("Σp is not kept")
    return bad


def _share(out: list[complex], start: list[complex], end: list[complex]) -> float:
    size = sum(abs(e - s) ** 2 for s, e in zip(start, end, strict=True))
    if size == 0:
        return 0.0
    along = sum(((o - s) * (e - s).conjugate()).real for o, s, e in zip(out, start, end, strict=True))
    return min(1.0, max(0.0, along / size))


def on_segment(out: list[complex], start: list[complex], end: list[complex], unit: float) -> bool:
    """Whether all ports lie on one point of the line from start to end, but for rounding."""
    if not all(_figure(s) for s in (*start, *end)):
        return False
    t = _share(out, start, end)
    gaps = [o - s - t * (e - s) for o, s, e in zip(out, start, end, strict=True)]
    return all(abs(g) <= 2.5 * unit * math.sqrt(len(out)) for g in gaps)


def in_triangle(out: list[complex], one: list[complex], other: list[complex], unit: float) -> bool:
    """Whether out = u·one + t·other with u, t ≥ 0 and u + t ≤ 1, but for rounding: least squares by hand."""
    if not all(_figure(s) for s in (*one, *other)):
        return False
    aa, bb = sum(abs(s) ** 2 for s in one), sum(abs(s) ** 2 for s in other)
    ab = sum((a * b.conjugate()).real for a, b in zip(one, other, strict=True))
    ao = sum((a * o.conjugate()).real for a, o in zip(one, out, strict=True))
    bo = sum((b * o.conjugate()).real for b, o in zip(other, out, strict=True))
    det = aa * bb - ab**2
    if det < 1e-9 * max(aa * bb, 1.0):
        return on_segment(out, [0j] * len(out), one, unit) or on_segment(out, one, other, unit)
    u, t = (ao * bb - bo * ab) / det, (bo * aa - ao * ab) / det
    gaps = [o - u * a - t * b for o, a, b in zip(out, one, other, strict=True)]
    slack = 3 * unit * math.sqrt(len(out))
    edge = slack * (1 / math.sqrt(aa) + 1 / math.sqrt(bb)) * (aa * bb / det)
    return u >= -edge and t >= -edge and u + t <= 1 + edge and all(abs(g) <= slack for g in gaps)


def _finite(s: complex) -> bool:
    return math.isfinite(s.real) and math.isfinite(s.imag)


def _figure(s: complex) -> bool:
    return _finite(s) and abs(s.real) < 1e9 and abs(s.imag) < 1e9


def _least(limit: float, bound: float) -> float:
    """The smaller; a bound that is no number permits nothing."""
    return 0.0 if math.isnan(bound) else max(0.0, min(limit, bound))
