"""Which registers to read: the fewest requests that never split a point, nor part it from its scale factor or its guard."""

from __future__ import annotations

from dataclasses import dataclass

from mimctl.model.profile import Guard, PointSpec, ReadBlock, RegisterMap
from mimctl.model.quantity import SLOW_QUANTITIES, quantity_of

#: how often values are read that control does not decide on, where they take a read of their own
SLOW_PERIOD_S = 10.0


@dataclass(frozen=True, slots=True)
class PollPlan:
    """What to read of a device.

    Args:
        fast: in every cycle; never empty where there is anything to read.
        slow: now and then: they hold nothing that control decides on.
    """

    fast: tuple[ReadBlock, ...]
    slow: tuple[ReadBlock, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Registers that must come in one reply."""

    start: int
    end: int

    def hull(self, start: int, end: int) -> Span:
        return Span(min(self.start, start), max(self.end, end))

    @property
    def count(self) -> int:
        return self.end - self.start


def plan_polls(register_map: RegisterMap, points: tuple[PointSpec, ...], max_registers: int, max_gap: int) -> PollPlan:
    """The fewest reads in every cycle; slow points come along where that takes no further read, else in reads of their own."""
    slow_keys = slow_points(register_map)
    most = min(max_registers, register_map.max_registers)
    fast = tuple(p for p in points if p.key not in slow_keys)
    together = plan_reads(register_map, points, max_registers, max_gap)
    needed = plan_reads(register_map, fast, max_registers, max_gap)
    if not fast or len(together) == len(needed):
        return PollPlan(together, ())
    used = tuple(b for b in together if any(_touches(p, b) for p in fast))
    if len(used) <= len(needed):
        return PollPlan(used, tuple(b for b in together if b not in used))
    apart = tuple(p for p in points if p.key in slow_keys and not _all_in(p, needed, register_map.guards, most))
    return PollPlan(needed, plan_reads(register_map, apart, max_registers, max_gap))


def slow_points(register_map: RegisterMap) -> frozenset[str]:
    """Keys of the points that need not be read in every cycle. A helper is as slow as what is made of it."""
    slow = {p.key: p.slow if p.slow is not None else p.key.partition(".")[0] in SLOW_QUANTITIES for p in register_map.points}
    told = {p.key for p in register_map.points if p.slow is not None}
    made = [(d.key, (d.plus, d.minus)) for d in register_map.differences] + [(s.key, (s.by,)) for s in register_map.signed]
    for helper in {name for _, parts in made for name in parts if quantity_of(name) is None} - told:
        users = [key for key, parts in made if helper in parts]
        slow[helper] = all(slow.get(key, key.partition(".")[0] in SLOW_QUANTITIES) for key in users)
    return frozenset(key for key, is_slow in slow.items() if is_slow)


def _touches(point: PointSpec, block: ReadBlock) -> bool:
    """Whether a point has a part of itself, or its scale factor, in a block."""
    addresses = [point.address] if point.scale_address is None else [point.address, point.scale_address]
    return block.function == point.function and any(block.address <= a < block.end for a in addresses)


def _all_in(point: PointSpec, blocks: tuple[ReadBlock, ...], guards: tuple[Guard, ...], most: int) -> bool:
    """Whether blocks hold everything that a point needs."""
    spans = needed_spans(point, guards, most)
    own = [b for b in blocks if b.function == point.function]
    return all(any(b.address <= s.start and s.end <= b.end for b in own) for s in spans)


def plan_reads(register_map: RegisterMap, points: tuple[PointSpec, ...], max_registers: int, max_gap: int) -> tuple[ReadBlock, ...]:
    """The reads that cover `points`, in the order of function code and address.

    Prescribed blocks are taken as they are, less those that hold no point.
    """
    most = min(max_registers, register_map.max_registers)
    if register_map.blocks:
        return tuple(b for b in register_map.blocks if any(_inside(p, b) for p in points))
    blocks: list[ReadBlock] = []
    for function in sorted({p.function for p in points}):
        chosen = [p for p in points if p.function == function]
        spans = [span for p in chosen for span in needed_spans(p, register_map.guards, most)]
        blocks += [ReadBlock(s.start, s.count, function) for s in cover(spans, most, max_gap)]
    return tuple(blocks)


def needed_spans(point: PointSpec, guards: tuple[Guard, ...], most: int) -> list[Span]:
    """What must be read for one point: one span with its scale factor and guard, where `most` registers can hold them.

    Where they cannot, the guard is given up before a scale factor that may change; a static one comes in a read of its own. A
    device that gives less in one reply than lies between the two leaves no other way.
    """
    bare = Span(point.address, point.end)
    guard = guard_of(point, guards)
    scale = None if point.scale_address is None else Span(point.scale_address, point.scale_address + 1)
    scaled = bare if scale is None else bare.hull(scale.start, scale.end)
    guarded = _guarded(scaled, guard)
    if guarded.count <= most:
        return [guarded]
    if scale is None or (scaled.count <= most and not point.scale_static):
        return [scaled]
    apart = _guarded(scale, guard)
    return [bare, apart if apart.count <= most else scale]


def _guarded(span: Span, guard: Guard | None) -> Span:
    return span if guard is None else span.hull(guard.address, guard.address + len(guard.values))


def guard_of(point: PointSpec, guards: tuple[Guard, ...]) -> Guard | None:
    for guard in guards:
        if guard.function == point.function and guard.start <= point.address < guard.end:
            return guard
    return None


def cover(spans: list[Span], most: int, max_gap: int) -> list[Span]:
    """Fewest spans of at most `most` registers that each hold some of `spans` whole.

    Taking the leftmost open span and everything that fits behind it is optimal: any read that holds the leftmost span starts no
    later, so it reaches no further.
    """
    found: list[Span] = []
    waiting = sorted(set(spans), key=lambda s: (s.start, s.end))
    while waiting:
        block = waiting[0]
        left: list[Span] = []
        for span in waiting[1:]:
            fits = span.end - block.start <= most and span.start - block.end <= max_gap
            if fits:
                block = block.hull(span.start, span.end)
            else:
                left.append(span)
        found.append(block)
        waiting = left
    return found


def _inside(point: PointSpec, block: ReadBlock) -> bool:
    return block.function == point.function and block.address <= point.address and point.end <= block.end
