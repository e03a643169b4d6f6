"""What a running service owns on disk: a directory per site, and one lock that keeps a second service out."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mimctl.model.errors import UserError
from mimctl.model.resources import state_root

#: a Unix socket's path must be shorter than this on Linux (sun_path)
_SOCKET_PATH_MOST = 107


def state_path(site: str, root: Path | None = None) -> Path:
    """Where the directory of one site is, whether or not it exists.

    Args:
        root: instead of `state_root()`.
    """
    return (root or state_root()) / site


def state_directory(site: str, root: Path | None = None) -> Path:
    """The directory of one site, made if missing, readable by its owner alone; `root` as in `state_path`."""
    directory = state_path(site, root)
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.chmod(0o700)
    except OSError as error:
        raise UserError(f"cannot make the state directory {directory}: {error.strerror}; set MIMCTL_STATE_DIR") from error
    return directory


def socket_path(directory: Path) -> Path:
    """Where the service of a state directory listens."""
    path = directory / "door.sock"
    if len(os.fsencode(path)) > _SOCKET_PATH_MOST:
        raise UserError(f"the state directory's path is too long for a socket: {path}; set MIMCTL_STATE_DIR to a shorter one")
    return path


@contextmanager
def site_lock(directory: Path, site: str) -> Iterator[None]:
    """Hold the site for this process. The lock goes with the process, however it ends.

    Raises:
        UserError: another process holds it.
    """
    path = directory / "lock"
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise UserError(f"site '{site}' is already run by process {holder}; stop it first (lock: {path})") from None
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        yield
