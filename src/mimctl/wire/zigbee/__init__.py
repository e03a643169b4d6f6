"""Zigbee: the coordinator that a link leads to and what is on its air. The only place that imports zigpy.

`zcl`, `air`, `node` and `mim_layout` need no zigpy: a twin serves its devices without the extra.
"""
