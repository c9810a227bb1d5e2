"""A small NBD client over a Unix socket: fixed newstyle, simple replies, as many requests in flight as one likes."""

import socket
import struct

MAGIC_OPTION = 0x49484156454F5054
MAGIC_OPTION_REPLY = 0x3E889045565A9
MAGIC_REQUEST = 0x25609513
MAGIC_REPLY = 0x67446698
OPTION_ABORT, OPTION_LIST, OPTION_GO = 2, 3, 7
REPLY_ACK, REPLY_SERVER, REPLY_INFO = 1, 2, 3
INFO_EXPORT = 0
READ, WRITE, DISC, FLUSH, WRITE_ZEROES = 0, 1, 2, 3, 6
FUA, NO_HOLE = 1, 2
ESHUTDOWN = 108
REPLY_LEN = 16
READ_BYTES_MAX = 1 << 20
TIMEOUT_S = 60


class Refused(Exception):
    """The server answered with an error."""


class Session:
    """One connection to one export; without an export it stays in negotiation, for list_exports."""

    def __init__(self, path, export=None):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(str(path))
        flags = struct.unpack(">QQH", self.receive(18))[2]
        self.socket.sendall(struct.pack(">I", flags & 3))
        self.size = None
        if export is not None:
            self._go(export)

    def _go(self, export):
        name = export.encode()
        self._option(OPTION_GO, struct.pack(">I", len(name)) + name + b"\0\0")
        for kind, data in self._replies(export):
            if kind == REPLY_INFO and struct.unpack(">H", data[:2])[0] == INFO_EXPORT:
                self.size = struct.unpack(">Q", data[2:10])[0]

    def list_exports(self):
        """The names of all exports."""
        self._option(OPTION_LIST, b"")
        names = []
        for kind, data in self._replies("the list"):
            if kind == REPLY_SERVER:
                length = struct.unpack(">I", data[:4])[0]
                names.append(data[4 : 4 + length].decode())
        return names

    def _option(self, option, data):
        self.socket.sendall(struct.pack(">QII", MAGIC_OPTION, option, len(data)) + data)

    def _replies(self, subject):
        while True:
            magic, _, kind, length = struct.unpack(">QIII", self.receive(20))
            if magic != MAGIC_OPTION_REPLY:
                raise Refused(f"{subject}: an option reply begins with {magic:#x}")
            data = self.receive(length)
            if kind & 0x80000000:
                raise Refused(f"{subject}: {kind:#x} {data.decode(errors='replace')}")
            if kind == REPLY_ACK:
                return
            yield kind, data

    def receive(self, count):
        """Exactly that many bytes; EOFError if the server ended before."""
        data = bytearray(count)
        view, filled = memoryview(data), 0
        while filled < count:
            part = self.socket.recv_into(view[filled:])
            if part == 0:
                raise EOFError
            filled += part
        return data

    def send(self, command, cookie, offset, length, payload=b"", flags=0):
        """Sends one request."""
        header = struct.pack(">IHHQQI", MAGIC_REQUEST, flags, command, cookie, offset, length)
        self.socket.sendall(header + payload)

    def receive_reply(self):
        """The next reply: (cookie, error); a read's data follows and is the caller's to receive."""
        magic, error, cookie = struct.unpack(">IIQ", self.receive(REPLY_LEN))
        if magic != MAGIC_REPLY:
            raise Refused(f"a reply begins with {magic:#x}")
        return cookie, error

    def read_all(self):
        """The whole content; nothing else may be in flight."""
        content = bytearray()
        while len(content) < self.size:
            length = min(READ_BYTES_MAX, self.size - len(content))
            self.send(READ, 1, len(content), length)
            _, error = self.receive_reply()
            if error:
                raise Refused(f"a read at {len(content)} failed with error {error}")
            content += self.receive(length)
        return bytes(content)

    def close(self):
        """Ends the session, in an orderly way where it is in transmission."""
        try:
            if self.size is not None:
                self.send(DISC, 0, 0, 0)
        except OSError:
            pass
        self.socket.close()


def list_exports(path):
    """The names of all exports of a server."""
    session = Session(path)
    try:
        return session.list_exports()
    finally:
        session.close()


def read_export(path, export):
    """The whole content of an export."""
    session = Session(path, export)
    try:
        return session.read_all()
    finally:
        session.close()
