"""`python -m mimctl` and the installed command are `mimctl`.

Ctrl-C ends the command quietly from its first moment: while the rest is still being imported there is nothing to tidy up, so the
process simply ends; afterwards `cli.main` turns the interrupt into an exit code; and once it has its code, nothing is interrupted
any more.
"""

import contextlib
import os
import signal
import sys
from types import FrameType

_INTERRUPTED = 130


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(_INTERRUPTED)


def main() -> int:
    """Run this process's command line and give its exit code."""
    # a process that was started to ignore Ctrl-C (in the background, by nohup) goes on ignoring it
    listens = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if listens:
        signal.signal(signal.SIGINT, _end)
    from mimctl.cli.main import main as run

    if listens:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = run()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if code == _INTERRUPTED:
        # the interpreter would end by a signal, not with this code, where the interrupt came through some library's exec()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BrokenPipeError):  # the reader was interrupted as well
                stream.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
