"""Protocols: the only room that imports protocol packages. Bytes below, compiled register maps above."""
