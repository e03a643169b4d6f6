"""The MIM's own cluster for zigpy, and how it gets on to the devices that have it."""

from __future__ import annotations

from typing import Any, Final

import zigpy.types as t
from zigpy.device import BaseDevice, ZigbeeDevice
from zigpy.zcl import Cluster
from zigpy.zcl.foundation import BaseCommandDefs, ZCLCommandDef

from mimctl.wire.zigbee import mim_layout


class MimCluster(Cluster):
    """Commands and their answer; the layout of their payloads is `mim_layout`'s. Attributes are known by their ids there.

    It stays out of zigpy's registry: the number is a placeholder, and other makers may use it for something else.
    """

    _skip_registry = True
    cluster_id: Final[t.uint16_t] = t.uint16_t(mim_layout.CLUSTER)
    name: Final = "MIM"
    ep_attribute: Final = "mim"

    class ServerCommandDefs(BaseCommandDefs):
        set_power: Final = ZCLCommandDef(id=mim_layout.SET_POWER, schema={"payload": t.Bytes}, is_manufacturer_specific=True)
        keep_alive: Final = ZCLCommandDef(
            id=mim_layout.KEEP_ALIVE,
            schema={"sequence": t.uint8_t, "validity_s": t.uint16_t},
            is_manufacturer_specific=True,
        )

    class ClientCommandDefs(BaseCommandDefs):
        answer: Final = ZCLCommandDef(
            id=mim_layout.ANSWER, schema={"in_force": t.uint8_t, "status": t.uint8_t}, is_manufacturer_specific=True
        )


def with_mim_cluster(device: BaseDevice) -> BaseDevice:
    """A `device_resolver`: where a device says that it is a MIM, its cluster becomes a `MimCluster`."""
    if isinstance(device, ZigbeeDevice) and device.manufacturer == mim_layout.MAKER and device.model == mim_layout.MODEL:
        for endpoint in device.non_zdo_endpoints:
            if mim_layout.CLUSTER in endpoint.in_clusters:
                cluster: Any = MimCluster(endpoint, is_server=True)
                endpoint.add_input_cluster(mim_layout.CLUSTER, cluster)
    return device
