"""Which registers to read: the fewest requests that never split a point, nor part it from its scale factor or its guard."""

from __future__ import annotations

from dataclasses import dataclass

from mimctl.model.profile import Guard, PointSpec, ReadBlock, RegisterMap


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
