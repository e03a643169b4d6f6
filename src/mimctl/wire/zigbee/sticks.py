"""The two families of coordinators, with what their packages leave open: install codes only, and a restart is told.

Both packages are used as they are published; what is changed here is said with its reason.
"""

from __future__ import annotations

from typing import Any

import zigpy.types as t
from zigpy.application import ControllerApplication

#: the first EmberZNet protocol whose trust centre can demand install codes
_EZSP_WITH_INSTALL_CODES = 8


class NoInstallCodes(Exception):
    """The firmware of this coordinator cannot keep devices without an install code out."""


def znp_class() -> type[ControllerApplication]:
    """Texas Instruments' Z-Stack."""
    import zigpy_znp.commands as c
    from zigpy_znp.exceptions import CommandNotRecognized
    from zigpy_znp.zigbee.application import ControllerApplication as Znp

    class ZStack(Znp):
        """Told of restarts: behind a USB bridge that stays, a stick comes back without its network and still answers a ping."""

        _runs = False

        def _bind_callbacks(self) -> None:
            super()._bind_callbacks()
            self._znp.callback_for_response(c.SYS.ResetInd.Callback(partial=True), self.on_restart)

        def on_restart(self, _: Any) -> None:
            """The firmware says that it has just begun; while it is being started that is as it should be."""
            if self._runs:
                self._runs = False
                self.connection_lost(ConnectionResetError("the coordinator restarted"))

        async def start_network(self, **more: Any) -> None:
            self._runs = False
            await super().start_network(**more)
            self._runs = True

        async def reset_network_info(self) -> None:
            self._runs = False
            await super().reset_network_info()

        async def write_network_info(self, **more: Any) -> None:
            self._runs = False
            await super().write_network_info(**more)

        async def disconnect(self) -> None:
            self._runs = False
            await super().disconnect()

        async def permit_with_link_key(self, node: t.EUI64, link_key: t.KeyData, time_s: int = 60) -> None:
            try:
                await super().permit_with_link_key(node, link_key, time_s)
            except CommandNotRecognized as error:
                raise NoInstallCodes("it needs Z-Stack 3") from error

    return ZStack


def ezsp_class() -> type[ControllerApplication]:
    """Silicon Labs' EmberZNet."""
    from bellows.zigbee.application import ControllerApplication as Ezsp

    class EmberZNet(Ezsp):
        """Without the step that the package takes before every window, also before one of no length, which closes.

        It adds the key that all devices of the world know, and two seconds later sets the trust centre's policy back: in the
        middle of a window for one install code.
        """

        async def permit(self, time_s: int = 60, node: Any = None) -> None:
            await ControllerApplication.permit(self, time_s, node)

        async def permit_with_link_key(self, node: t.EUI64, link_key: t.KeyData, time_s: int = 60) -> None:
            if self._ezsp.ezsp_version < _EZSP_WITH_INSTALL_CODES:
                raise NoInstallCodes("it needs EmberZNet 6.7 or later")
            await super().permit_with_link_key(node, link_key, time_s)

    return EmberZNet
