"""A small NBD client over a Unix socket: fixed newstyle, simple replies, as many requests in flight as one likes."""

import errno
import socket
import struct

from session import Refused, Reply, receive_exactly

MAGIC_OPTION = 0x49484156454F5054
MAGIC_OPTION_REPLY = 0x3E889045565A9
MAGIC_REQUEST = 0x25609513
MAGIC_REPLY = 0x67446698
OPTION_ABORT, OPTION_LIST, OPTION_GO = 2, 3, 7
REPLY_ACK, REPLY_SERVER, REPLY_INFO = 1, 2, 3
INFO_EXPORT = 0
READ, WRITE, DISC, FLUSH, WRITE_ZEROES = 0, 1, 2, 3, 6
FUA, NO_HOLE = 1, 2
REPLY_LEN = 16
READ_BYTES_MAX = 1 << 20
TIMEOUT_S = 60


class Session:
    """One connection to one export; without an export it stays in negotiation, for list_exports."""

    def __init__(self, path, export=None):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(str(path))
        flags = struct.unpack(">QQH", receive_exactly(self.socket, 18))[2]
        self.socket.sendall(struct.pack(">I", flags & 3))
        self.size = None
        self._lengths = {}
        """Of the reads in flight, by cookie."""
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
            magic, _, kind, length = struct.unpack(">QIII", receive_exactly(self.socket, 20))
            if magic != MAGIC_OPTION_REPLY:
                raise Refused(f"{subject}: an option reply begins with {magic:#x}")
            data = receive_exactly(self.socket, length)
            if kind & 0x80000000:
                raise Refused(f"{subject}: {kind:#x} {data.decode(errors='replace')}")
            if kind == REPLY_ACK:
                return
            yield kind, data

    def read(self, cookie, offset, length):
        """Sends a read."""
        self._lengths[cookie] = length
        self._send(READ, cookie, offset, length)

    def write(self, cookie, offset, data, is_durable=False):
        """Sends a write, with FUA if it must be durable when it is answered."""
        self._send(WRITE, cookie, offset, len(data), data, FUA if is_durable else 0)

    def zero(self, cookie, offset, length, may_unmap=True):
        """Sends a request to write zeroes."""
        self._send(WRITE_ZEROES, cookie, offset, length, flags=0 if may_unmap else NO_HOLE)

    def flush(self, cookie):
        """Sends a flush."""
        self._send(FLUSH, cookie, 0, 0)

    def _send(self, command, cookie, offset, length, payload=b"", flags=0):
        header = struct.pack(">IHHQQI", MAGIC_REQUEST, flags, command, cookie, offset, length)
        self.socket.sendall(header + payload)

    def receive_reply(self):
        """The answer to one of the requests in flight; EOFError at the session's end."""
        magic, error, cookie = struct.unpack(">IIQ", receive_exactly(self.socket, REPLY_LEN))
        if magic != MAGIC_REPLY:
            raise Refused(f"a reply begins with {magic:#x}")
        length = self._lengths.pop(cookie, 0)
        if error:
            return Reply(cookie, error=f"error {error}", is_ending=error == errno.ESHUTDOWN)
        return Reply(cookie, receive_exactly(self.socket, length))

    def read_all(self):
        """The whole content; nothing else may be in flight."""
        content = bytearray()
        while len(content) < self.size:
            length = min(READ_BYTES_MAX, self.size - len(content))
            self.read(1, len(content), length)
            reply = self.receive_reply()
            if reply.error:
                raise Refused(f"a read at {len(content)} failed: {reply.error}")
            content += reply.data
        return bytes(content)

    def close(self):
        """Ends the session, in an orderly way where it is in transmission."""
        try:
            if self.size is not None:
                self._send(DISC, 0, 0, 0)
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
