"""Asking the running service of a site, and what to say where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mimctl.model.errors import Unreachable


def ask_service(site: str, file: Path, question: str, *, timeout_s: float = 5.0, **arguments: Any) -> dict[str, Any]:
    """Ask the service that runs a site.

    Args:
        site: its id.
        file: as the user named it, for the message.

    Raises:
        Unreachable: none runs, or none that answers.
        MimctlError: what it says is wrong.
    """
    from mimctl.service.door import NoService, ask
    from mimctl.service.state_dir import socket_path, state_path

    try:
        answer: dict[str, Any] = ask(socket_path(state_path(site)), question, timeout_s=timeout_s, **arguments)
    except NoService as error:
        raise Unreachable(
            f"{error}; start it with: mimctl run {file} (a service of another user or with another state directory: "
            "ask as its user and with its MIMCTL_STATE_DIR)"
        ) from error
    return answer
