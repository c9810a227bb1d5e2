"""Conformance of an NBD server to the protocol's text, over raw sockets and with nothing but Python's own library."""
