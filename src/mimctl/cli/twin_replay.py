"""`mimctl twin --replay DUMP…`: register dumps as Modbus devices on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from mimctl.cli.render import STDOUT, print_table, write_json
from mimctl.cli.until_told import until_told
from mimctl.twin.replay import ReplayServer
from mimctl.wire.dump import load_dump


def replay_dumps(paths: Sequence[Path], seconds: float | None, *, while_stdin: bool, json_target: str | None) -> bool:
    """Serve until told to stop; True when it was Ctrl-C.

    Raises:
        UserError: a file is no dump.
    """
    dumps = [(str(path), load_dump(path)) for path in paths]

    async def serve() -> bool:
        async with ReplayServer(dumps) as server:
            if json_target is not None:
                write_json(json_target, {"replays": server.served})
            rows = [(r.name, f"{r.host}:{r.port}", ", ".join(map(str, r.units))) for r in server.served]
            print_table(("dump", "address", "units"), rows, stderr=json_target == STDOUT)
            return await until_told(seconds, while_stdin=while_stdin)

    return asyncio.run(serve())
