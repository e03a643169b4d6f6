"""How many times faster than real time the demonstration site is simulated at a 1 s cycle, with and without the optimum."""

from __future__ import annotations

import argparse
import resource
from pathlib import Path

from _measure import show

from mimctl.config.site import load_site
from mimctl.model.resources import site_config
from mimctl.service.logs import set_up
from mimctl.simulation.engine import Request, simulate
from mimctl.simulation.loads import choose_loads


def run(path: Path, hours: float, optimum: bool) -> dict[str, float]:
    site = load_site(path)
    chosen = choose_loads(site, None, start=None, hours=hours, step_s=1.0, seed=1)
    return simulate(Request(site, chosen.loads, chosen.start, hours, 1.0, 1, optimum))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=None, help="site file (default: the packaged demo)")
    parser.add_argument("--hours", type=float, default=0.25)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="also as JSON; - is standard output")
    options = parser.parse_args()
    set_up("error")
    path, rows = options.site or site_config("demo"), []
    for _ in range(options.rounds):  # in turn, so that the machine's load hits both alike
        for optimum in (False, True):
            result = run(path, options.hours, optimum)
            rows.append(
                {
                    "optimum": "with" if optimum else "without",
                    "times real time": result["times_real_time"],
                    "cycle p50 ms": result["cycle_ms"]["p50"],
                    "cycle p99 ms": result["cycle_ms"]["p99"],
                    "achieved": result["achieved_share"],
                    "RSS MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                }
            )
    rows.sort(key=lambda row: (row["optimum"], row["times real time"]))
    show(f"simulate: {path.name} at a 1 s cycle, {options.hours:g} h", rows, options.json)


if __name__ == "__main__":
    main()
