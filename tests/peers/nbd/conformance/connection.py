"""One connection to the server: sends exactly what a test says, and judges everything that comes back.

A Connection checks each reply's framing by itself (magic, cookie, chunk coverage, descriptor counts); the tests say
what the content has to be.
"""

import contextlib
import random
import socket
import ssl
import struct
import time

from . import suite
from .protocol import (
    CHUNK_ERROR_BIT,
    CHUNK_FLAG_DONE,
    HANDSHAKE_FIXED_NEWSTYLE,
    HANDSHAKE_NO_ZEROES,
    MAGIC_GREETING,
    MAGIC_OPTION,
    MAGIC_OPTION_REPLY,
    MAGIC_REPLY_EXTENDED,
    MAGIC_REPLY_SIMPLE,
    MAGIC_REPLY_STRUCTURED,
    MIB,
    OPTION_ERROR_BIT,
    Chunk,
    Command,
    CommandFlag,
    Info,
    Option,
    OptionReply,
    info_payload,
    meta_payload,
    option_header,
    request_header,
    request_header_extended,
)
from .suite import Bad, Closed, Missing, check

OPTION_REPLY_BYTES_MAX = 64 * 1024
CHUNK_BYTES_MAX = 64 * MIB + 8
CLIENT_FLAGS_KNOWN = HANDSHAKE_FIXED_NEWSTYLE | HANDSHAKE_NO_ZEROES

SIMPLE = "simple"
"""The kind of a simple reply, where a structured one has a chunk type."""

opened = []
"""Every connection of the test that runs; the runner closes them."""


class Connection:
    """A session from the greeting on. flags=None sends no client flags: the test does it."""

    def __init__(self, address=None, flags=CLIENT_FLAGS_KNOWN, tls=None, timeout_s=20):
        self.socket = _connect(address or suite.target.address, timeout_s)
        opened.append(self)
        self.is_structured = self.is_extended = False
        self.cookie = random.getrandbits(32) << 16
        self.contexts = {}
        self.size = self.flags = None
        self.block_size_min, self.block_size_max = 1, 32 * MIB
        magic, option_magic, self.handshake_flags = struct.unpack(">QQH", self.receive(18))
        check(magic == MAGIC_GREETING and option_magic == MAGIC_OPTION, "wrong magic in the greeting")
        if flags is not None:
            if flags <= CLIENT_FLAGS_KNOWN:
                flags &= self.handshake_flags | HANDSHAKE_FIXED_NEWSTYLE
            self.send(struct.pack(">I", flags))
        if tls:
            self.start_tls(tls)

    # ---------------------------------------------------------------- bytes

    def send(self, data):
        """Sends all of it."""
        self.socket.sendall(data)

    def receive(self, count):
        """Exactly that many bytes."""
        data = bytearray()
        while len(data) < count:
            try:
                part = self.socket.recv(min(count - len(data), MIB))
            except TimeoutError as error:
                raise Bad(f"no answer in time (wanted {count} bytes, got {len(data)})") from error
            except OSError as error:
                raise Closed(str(error)) from error
            if not part:
                raise Closed(f"the server closed (wanted {count} bytes, got {len(data)})")
            data += part
        return bytes(data)

    def is_closed_within(self, seconds=8):
        """Whether the server closes in that time; replies before that are dropped."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
            return True
        except TimeoutError:
            return False
        except OSError:
            return True

    def reset(self):
        """Closes with a TCP reset instead of an orderly end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        """Closes; a second time does nothing."""
        with contextlib.suppress(OSError):
            self.socket.close()

    # ---------------------------------------------------------------- options

    def send_option(self, option, data=b""):
        """Sends an option and waits for nothing."""
        self.send(option_header(option, len(data)) + data)

    def receive_option_reply(self):
        """One reply: (option, type, data)."""
        magic, option, kind, length = struct.unpack(">QIII", self.receive(20))
        check(magic == MAGIC_OPTION_REPLY, f"option reply magic {magic:#x}")
        check(length <= OPTION_REPLY_BYTES_MAX, f"option reply of {length} bytes")
        return option, kind, self.receive(length)

    def ask(self, option, data=b""):
        """Sends an option; all its replies as (type, data), the last being an ACK or an error."""
        self.send_option(option, data)
        replies = []
        while True:
            answered, kind, payload = self.receive_option_reply()
            check(answered == option, f"reply to option {answered}, asked {option}")
            replies.append((kind, payload))
            if kind == OptionReply.ACK or kind & OPTION_ERROR_BIT:
                return replies

    def ask_last(self, option, data=b""):
        """Sends an option; the type of its last reply."""
        return self.ask(option, data)[-1][0]

    def info(self, export=None, requests=(), option=Option.INFO):
        """NBD_OPT_INFO or GO: (type of the last reply, data by information type)."""
        export = suite.target.export if export is None else export
        replies = self.ask(option, info_payload(export, requests))
        told = {}
        for kind, data in replies:
            if kind == OptionReply.INFO:
                told[struct.unpack(">H", data[:2])[0]] = data[2:]
        return replies[-1][0], told

    def meta(self, option, export=None, queries=()):
        """LIST or SET_META_CONTEXT: (type of the last reply, [(id, name)])."""
        export = suite.target.export if export is None else export
        replies = self.ask(option, meta_payload(export, queries))
        contexts = [
            (struct.unpack(">I", data[:4])[0], data[4:].decode())
            for kind, data in replies
            if kind == OptionReply.META_CONTEXT
        ]
        return replies[-1][0], contexts

    def with_structured_replies(self):
        """Negotiates them, or the test is missing."""
        if self.ask_last(Option.STRUCTURED_REPLY) != OptionReply.ACK:
            raise Missing("structured replies")
        self.is_structured = True
        return self

    def with_extended_headers(self):
        """Negotiates them, or the test is missing."""
        if self.ask_last(Option.EXTENDED_HEADERS) != OptionReply.ACK:
            raise Missing("extended headers")
        self.is_extended = True
        return self

    def with_contexts(self, *names):
        """Selects metadata contexts, base:allocation unless others are named, or the test is missing."""
        names = names or ("base:allocation",)
        kind, contexts = self.meta(Option.SET_META_CONTEXT, queries=names)
        if kind != OptionReply.ACK or not contexts:
            raise Missing("metadata context " + ",".join(names))
        self.contexts = {name: identifier for identifier, name in contexts}
        return self

    def go(self, export=None, requests=(Info.BLOCK_SIZE,)):
        """Enters transmission."""
        kind, told = self.info(export, requests, Option.GO)
        check(kind != OptionReply.ERR_UNSUP, "NBD_OPT_GO is not supported")
        check(kind == OptionReply.ACK, f"GO answered {kind:#x}")
        check(Info.EXPORT in told, "GO without NBD_INFO_EXPORT")
        self.take_export(told[Info.EXPORT])
        if Info.BLOCK_SIZE in told:
            self.block_size_min, _, self.block_size_max = struct.unpack(">III", told[Info.BLOCK_SIZE])
        return self

    def take_export(self, data):
        """Keeps size and flags as EXPORT_NAME and NBD_INFO_EXPORT carry them."""
        self.size, self.flags = struct.unpack(">QH", data)

    def needs(self, flag, what):
        """The export must have this flag, or the test is missing."""
        if not self.flags & flag:
            raise Missing(what)
        return self

    def start_tls(self, context):
        """NBD_OPT_STARTTLS and the handshake."""
        kind = self.ask_last(Option.STARTTLS)
        check(kind == OptionReply.ACK, f"STARTTLS answered {kind:#x}")
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    # ---------------------------------------------------------------- requests

    def send_request(self, command, offset=0, length=0, flags=0, data=b"", cookie=None):
        """Sends a request in the negotiated form; its cookie."""
        if cookie is None:
            self.cookie += 1
            cookie = self.cookie
        if self.is_extended:
            if command == Command.WRITE:
                flags |= CommandFlag.PAYLOAD_LEN
            header = request_header_extended(command, offset, length, flags, cookie)
        else:
            header = request_header(command, offset, length, flags, cookie)
        self.send(header + data)
        return cookie

    def receive_chunk(self, in_flight):
        """One simple reply or chunk: (cookie, is_done, error, kind, payload).

        in_flight: cookie -> (is_read, offset, length) of every request without a whole reply.
        """
        (magic,) = struct.unpack(">I", self.receive(4))
        if magic == MAGIC_REPLY_SIMPLE:
            return self._receive_simple(in_flight)
        if magic == MAGIC_REPLY_STRUCTURED:
            check(self.is_structured and not self.is_extended, "a structured reply that was not negotiated")
            flags, kind, cookie, length = struct.unpack(">HHQI", self.receive(16))
        elif magic == MAGIC_REPLY_EXTENDED:
            check(self.is_extended, "an extended reply that was not negotiated")
            flags, kind, cookie, offset, length = struct.unpack(">HHQQQ", self.receive(28))
            check(cookie in in_flight, f"reply to an unknown cookie {cookie:#x}")
            check(offset == in_flight[cookie][1], "the reply's offset is not the request's")
        else:
            raise Bad(f"reply magic {magic:#x}")
        check(cookie in in_flight, f"reply to an unknown cookie {cookie:#x}")
        check(flags & ~CHUNK_FLAG_DONE == 0, f"reply flags {flags:#x}")
        check(length <= CHUNK_BYTES_MAX, f"chunk of {length} bytes")
        payload = self.receive(length)
        is_done = bool(flags & CHUNK_FLAG_DONE)
        if kind == Chunk.NONE:
            check(length == 0 and is_done, "bad NONE chunk")
        return cookie, is_done, _error_in_chunk(kind, payload), kind, payload

    def _receive_simple(self, in_flight):
        check(not self.is_extended, "a simple reply with extended headers")
        error, cookie = struct.unpack(">IQ", self.receive(12))
        check(cookie in in_flight, f"reply to an unknown cookie {cookie:#x}")
        is_read, _, length = in_flight[cookie]
        if is_read:
            check(not self.is_structured, "a simple reply to a read with structured replies")
        data = self.receive(length) if is_read and error == 0 else b""
        return cookie, True, error, SIMPLE, data

    def receive_reply(self, cookie, is_read, offset, length):
        """All of one request's reply, the only one in flight: (error, data, [(kind, payload)])."""
        content = ReadContent(offset, length) if is_read else None
        error, chunks = 0, []
        while True:
            _, is_done, chunk_error, kind, payload = self.receive_chunk({cookie: (is_read, offset, length)})
            chunks.append((kind, payload))
            error = error or chunk_error
            if kind == SIMPLE:
                return chunk_error, payload, chunks
            if kind in (Chunk.OFFSET_DATA, Chunk.OFFSET_HOLE):
                check(is_read, "a content chunk in a reply to no read")
                content.take(kind, payload)
            elif not kind & CHUNK_ERROR_BIT:
                check(kind in (Chunk.NONE, Chunk.BLOCK_STATUS, Chunk.BLOCK_STATUS_EXT), f"chunk type {kind}")
            if is_done:
                if is_read and not error:
                    check(content.is_whole(), "the chunks do not cover the request")
                return error, bytes(content.data) if is_read else b"", chunks

    def request(self, command, offset=0, length=0, flags=0, data=b""):
        """One request and its reply: (error, data, chunks)."""
        cookie = self.send_request(command, offset, length, flags, data)
        return self.receive_reply(cookie, command == Command.READ, offset, length)

    def error_of(self, command, offset=0, length=0, flags=0, data=b""):
        """The error of a request; 0 if it succeeded."""
        return self.request(command, offset, length, flags, data)[0]

    def succeeds(self, command, offset=0, length=0, flags=0):
        """A request without data that must succeed."""
        error = self.error_of(command, offset, length, flags)
        check(error == 0, f"command {command}({offset},{length},flags {flags}) error {error}")

    def read(self, offset, length, flags=0):
        """A read that must succeed; its data."""
        error, data, _ = self.request(Command.READ, offset, length, flags)
        check(error == 0, f"read({offset},{length}) error {error}")
        return data

    def write(self, offset, data, flags=0):
        """A write that must succeed."""
        error = self.error_of(Command.WRITE, offset, len(data), flags, data)
        check(error == 0, f"write({offset},{len(data)}) error {error}")

    def is_alive(self):
        """The session must still serve a read."""
        self.read(0, 4096)

    def status(self, offset, length, flags=0):
        """A block status that must succeed: extents [(length, flags)] by context id."""
        error, _, chunks = self.request(Command.BLOCK_STATUS, offset, length, flags)
        check(error == 0, f"block status error {error}")
        extents_by_context = {}
        for kind, payload in chunks:
            if kind not in (Chunk.BLOCK_STATUS, Chunk.BLOCK_STATUS_EXT):
                continue
            identifier, extents = self._parse_status(kind, payload)
            check(identifier in self.contexts.values(), "status of a context that was not selected")
            check(identifier not in extents_by_context, "two chunks for a context")
            check(all(extent for extent, _ in extents), "an extent of length 0")
            extents_by_context[identifier] = extents
        check(set(extents_by_context) == set(self.contexts.values()), "not one status chunk for each context")
        for extents in extents_by_context.values():
            if flags & CommandFlag.REQ_ONE:
                check(len(extents) == 1 and extents[0][0] <= length, "REQ_ONE not obeyed")
            else:
                check(sum(extent for extent, _ in extents[:-1]) < length, "extents past the request")
        return extents_by_context

    def _parse_status(self, kind, payload):
        if kind == Chunk.BLOCK_STATUS:
            check(not self.is_extended, "a compact status with extended headers")
            check((len(payload) - 4) % 8 == 0 and len(payload) > 4, "status chunk length")
            (identifier,) = struct.unpack(">I", payload[:4])
            return identifier, list(struct.iter_unpack(">II", payload[4:]))
        check(len(payload) > 8 and (len(payload) - 8) % 16 == 0, "status chunk length")
        identifier, count = struct.unpack(">II", payload[:8])
        extents = list(struct.iter_unpack(">QQ", payload[8:]))
        check(count == len(extents), "status descriptor count")
        return identifier, extents


class ReadContent:
    """Puts the chunks of a structured read together; they may neither overlap nor leave a gap."""

    def __init__(self, offset, length):
        self.offset, self.length = offset, length
        self.data = bytearray(length)
        self.parts = []

    def take(self, kind, payload):
        """One OFFSET_DATA or OFFSET_HOLE chunk."""
        check(len(payload) >= 8, "a content chunk without an offset")
        (offset,) = struct.unpack(">Q", payload[:8])
        if kind == Chunk.OFFSET_DATA:
            content = payload[8:]
            check(content, "empty data chunk")
        else:
            check(len(payload) == 12, "bad hole chunk")
            (length,) = struct.unpack(">I", payload[8:])
            check(0 < length <= self.length, "hole outside of the request")
            content = bytes(length)
        end = offset + len(content)
        check(self.offset <= offset and end <= self.offset + self.length, "chunk outside of the request")
        for part_offset, part_end in self.parts:
            check(end <= part_offset or offset >= part_end, "chunks overlap")
        self.parts.append((offset, end))
        self.data[offset - self.offset : end - self.offset] = content

    def is_whole(self):
        """Whether every byte of the request was told."""
        return sum(end - offset for offset, end in self.parts) == self.length


def _error_in_chunk(kind, payload):
    if not kind & CHUNK_ERROR_BIT:
        return 0
    check(len(payload) >= 6, "error chunk too short")
    error, message_length = struct.unpack(">IH", payload[:6])
    check(error != 0, "error chunk with error 0")
    check(message_length <= len(payload) - 6, "error message overruns")
    return error


def _connect(address, timeout_s):
    deadline = time.monotonic() + suite.target.retry_s
    while True:
        try:
            connected = socket.create_connection(address, timeout=timeout_s)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connected
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def simple():
    """A session in transmission, with simple replies."""
    return Connection().go()


def structured():
    """A session in transmission, with structured replies."""
    return Connection().with_structured_replies().go()


def structured_if_offered():
    """A session in transmission, with structured replies where the server has them."""
    return structured() if suite.target.offers_structured else simple()


def with_status():
    """A session in transmission, with structured replies and base:allocation."""
    return Connection().with_structured_replies().with_contexts().go()


def server_survives():
    """A new session must be served."""
    session = simple()
    session.is_alive()
    session.send_request(Command.DISC)
    session.close()


TLS_ERRORS = (Closed, ssl.SSLError, OSError)
"""What a client sees when a server refuses a TLS session."""
