"""The digital twin: a site's physics and its devices, behind the same drivers or real sockets."""
