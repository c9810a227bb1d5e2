"""What the load generators' clients have in common, whatever they speak.

A client's session has `size`, sends with `read`, `write`, `zero` and `flush`, each under a cookie of the caller's, and
gives the answers back in whatever order they come, with `receive_reply`.
"""

import dataclasses


class Refused(Exception):
    """The server answered with an error."""


@dataclasses.dataclass
class Reply:
    """The answer to one request."""

    cookie: object
    data: bytes = b""
    """What was read."""
    error: str = None
    """Why the request failed; None if it was done."""
    is_ending: bool = False
    """Whether it failed because the server is going away, which is as good as no answer."""


def receive_exactly(connection, count):
    """Exactly that many bytes; EOFError if the server ended before."""
    data = bytearray(count)
    view, filled = memoryview(data), 0
    while filled < count:
        part = connection.recv_into(view[filled:])
        if part == 0:
            raise EOFError
        filled += part
    return data
