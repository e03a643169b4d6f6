"""A site whose links lead to where `mimctl twin` serves its devices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimctl.model.errors import UserError

if TYPE_CHECKING:
    from mimctl.model.link import Link
    from mimctl.model.site import Site

#: link → where it is served, as `mimctl twin --json` writes it
Served = Mapping[str, Mapping[str, Any]]


def read_addresses(file: Path) -> Served:
    """The links of a file that `mimctl twin SITE --json FILE` wrote.

    Raises:
        UserError: it is not there or is no such file.
    """
    try:
        links = json.loads(file.read_text(encoding="utf-8"))["links"]
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; `mimctl twin SITE --json {file}` writes it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: not what `mimctl twin SITE --json {file}` writes") from error
    if not isinstance(links, dict) or not all(isinstance(where, dict) for where in links.values()):
        raise UserError(f"{file}: not what `mimctl twin SITE --json {file}` writes")
    return links


def pointed_at(site: Site, served: Served) -> Site:
    """The site with every link at its twin.

    Raises:
        UserError: a link is not served. None is left at a real device: that would be a hall half real.
    """
    missing = [link.id for link in site.links if link.id not in served]
    if missing:
        raise UserError(f"the twin serves no link '{missing[0]}': it was started for another site, or the site file has changed")
    try:
        return replace(site, links=tuple(_served_at(link, served[link.id]) for link in site.links))
    except (KeyError, TypeError) as error:
        raise UserError(f"the twin's addresses do not fit the site's links: {error}") from error


def _served_at(link: Link, where: Mapping[str, Any]) -> Link:
    """The link at the twin's address or port, with the certificates that the twin accepts where it made its own."""
    from mimctl.model.link import TlsFiles
    from mimctl.model.zigbee import twin_radio

    if link.zigbee is not None:
        return replace(link, zigbee=twin_radio(where["host"], where["port"]))
    if link.serial is not None:
        return replace(link, serial=replace(link.serial, device=where["device"]))
    files, tls = where["tls"], link.tls
    if files is not None:
        tls = TlsFiles(Path(files["ca"]), Path(files["certificate"]), Path(files["key"]), files["server_name"])
    spec = link.lorawan
    if spec is not None:
        token_file = Path(where["token_file"])
        spec = replace(spec, api_host=where["host"], api_port=where["api_port"], api_ca=None, token_file=token_file)
    return replace(link, host=where["host"], port=where["port"], tls=tls, lorawan=spec)
