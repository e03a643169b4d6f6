"""One command to a MIM: sent at high priority, bounded as a whole, its failures as link errors."""

from __future__ import annotations

import asyncio
from typing import Any

from mimctl.model.errors import BadReply, DeviceRefusal, LinkDown, LinkTimeout
from mimctl.wire.zigbee import mim_layout


def mim_cluster(device: Any, eui: str, away: str) -> Any:
    """The cluster that takes commands.

    Args:
        device: zigpy's; None = it is not there.
        away: why it is not there.

    Raises:
        LinkDown: it is not there.
        BadReply: it is no MIM.
    """
    if device is None:
        raise LinkDown(eui, away)
    endpoint = device.endpoints.get(1)
    cluster = None if endpoint is None else endpoint.in_clusters.get(mim_layout.CLUSTER)
    if cluster is None or not hasattr(cluster, "set_power"):
        raise BadReply(eui, "it does not say that it is a MIM")
    return cluster


async def send(cluster: Any, eui: str, name: str, fields: tuple[Any, ...], command_s: float) -> tuple[int, int]:
    """Send one command of the cluster, twice where the first stays without an answer.

    Args:
        command_s: longest wait for one answer [s].

    Returns:
        The sequence that is in force then, and a status of `mim_layout`.

    Raises:
        LinkError: it did not arrive, or nobody knows.
    """
    from zigpy.exceptions import DeliveryError
    from zigpy.types import PacketPriority

    how = {"timeout": command_s, "retries": 1, "priority": PacketPriority.HIGH}
    try:
        # the bound is of everything: waiting for a free slot of the radio too
        async with asyncio.timeout(3 * command_s):
            answer = await getattr(cluster, name)(*fields, **how)
    except TimeoutError as error:
        raise LinkTimeout(eui, f"no answer to {name}") from error
    except (DeliveryError, OSError) as error:
        raise LinkDown(eui, f"{name} was not delivered") from error
    except Exception as error:  # each radio's package has errors of its own
        raise BadReply(eui, f"{name} failed: {type(error).__name__}") from error
    if not hasattr(answer, "in_force"):
        status = int(getattr(answer, "status", 0xFF))
        raise DeviceRefusal(eui, f"it does not take {name} (status 0x{status:02x})", status)
    return int(answer.in_force), int(answer.status)
