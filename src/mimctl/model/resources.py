"""Where data lies: what comes with mimctl, beside the sources in a checkout or inside the package; and what it keeps."""

from __future__ import annotations

import os
from pathlib import Path

from mimctl.model.errors import UserError

_PACKAGE = Path(__file__).resolve().parents[1]

#: a checkout is src/mimctl below the root that holds the data; a wheel carries the data as mimctl/data
_CHECKOUT, _INSTALLED = _PACKAGE.parents[1], _PACKAGE / "data"


def data_root() -> Path:
    """The directory that holds `site_configs` and `device_profiles`."""
    in_checkout = _PACKAGE.parent.name == "src" and (_CHECKOUT / "device_profiles").is_dir()
    return _CHECKOUT if in_checkout else _INSTALLED


def state_root() -> Path:
    """The directory that holds what outlives a process, one directory below it per site: `$MIMCTL_STATE_DIR`, systemd's
    `$STATE_DIRECTORY` or the user's XDG state directory. It need not exist."""
    import platformdirs  # hardly any command needs to know

    # systemd gives a list where a unit asks for several; the first is the one for state
    named = os.environ.get("MIMCTL_STATE_DIR") or os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(named) if named else platformdirs.user_state_path("mimctl")


def site_config(name: str) -> Path:
    """The file of a site that comes with mimctl, for example `demo`.

    Raises:
        UserError: there is none of that name.
    """
    path = data_root() / "site_configs" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(site_configs())
        raise UserError(f"no site '{name}' comes with mimctl (there are: {known})")
    return path


def site_configs() -> list[str]:
    """Names of the sites that come with mimctl."""
    return sorted(p.stem for p in (data_root() / "site_configs").glob("*.yaml"))
