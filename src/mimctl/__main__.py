"""`python -m mimctl` and the installed command are `mimctl`: quiet under Ctrl-C from the first moment to the last."""

import contextlib
import os
import signal
import sys

from mimctl.cli.interrupts import INTERRUPTED, loading, own_this_process


def main() -> int:
    """Run this process's command line and give its exit code."""
    own_this_process()
    with loading():
        from mimctl.cli.main import main as run
    try:
        code = run()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if code == INTERRUPTED:
        # the interpreter would end by a signal, not with this code, where the interrupt came through some library's exec()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BrokenPipeError):  # the reader was interrupted as well
                stream.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
