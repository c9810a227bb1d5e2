"""The numbers of the NBD protocol, named as its text names them."""

import enum
import struct

MIB = 1 << 20

MAGIC_GREETING = 0x4E42444D41474943
MAGIC_OPTION = 0x49484156454F5054
MAGIC_OPTION_REPLY = 0x3E889045565A9
MAGIC_REQUEST = 0x25609513
MAGIC_REQUEST_EXTENDED = 0x21E41C71
MAGIC_REPLY_SIMPLE = 0x67446698
MAGIC_REPLY_STRUCTURED = 0x668E33EF
MAGIC_REPLY_EXTENDED = 0x6E8A278C

HANDSHAKE_FIXED_NEWSTYLE = 1
HANDSHAKE_NO_ZEROES = 2


class Option(enum.IntEnum):
    """NBD_OPT_*"""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    PEEK_EXPORT = 4
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10
    EXTENDED_HEADERS = 11


class OptionReply(enum.IntEnum):
    """NBD_REP_*"""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    ERR_UNSUP = 0x80000001
    ERR_POLICY = 0x80000002
    ERR_INVALID = 0x80000003
    ERR_PLATFORM = 0x80000004
    ERR_TLS_REQD = 0x80000005
    ERR_UNKNOWN = 0x80000006
    ERR_SHUTDOWN = 0x80000007
    ERR_BLOCK_SIZE_REQD = 0x80000008
    ERR_TOO_BIG = 0x80000009
    ERR_EXT_HEADER_REQD = 0x8000000A


OPTION_ERROR_BIT = 0x80000000


class Info(enum.IntEnum):
    """NBD_INFO_*"""

    EXPORT = 0
    NAME = 1
    DESCRIPTION = 2
    BLOCK_SIZE = 3


class Flag(enum.IntFlag):
    """NBD_FLAG_*, the transmission flags of an export"""

    HAS_FLAGS = 1 << 0
    READ_ONLY = 1 << 1
    SEND_FLUSH = 1 << 2
    SEND_FUA = 1 << 3
    ROTATIONAL = 1 << 4
    SEND_TRIM = 1 << 5
    SEND_WRITE_ZEROES = 1 << 6
    SEND_DF = 1 << 7
    CAN_MULTI_CONN = 1 << 8
    SEND_RESIZE = 1 << 9
    SEND_CACHE = 1 << 10
    SEND_FAST_ZERO = 1 << 11
    BLOCK_STATUS_PAYLOAD = 1 << 12


class Command(enum.IntEnum):
    """NBD_CMD_*"""

    READ = 0
    WRITE = 1
    DISC = 2
    FLUSH = 3
    TRIM = 4
    CACHE = 5
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7
    RESIZE = 8


class CommandFlag(enum.IntFlag):
    """NBD_CMD_FLAG_*"""

    FUA = 1 << 0
    NO_HOLE = 1 << 1
    DF = 1 << 2
    REQ_ONE = 1 << 3
    FAST_ZERO = 1 << 4
    PAYLOAD_LEN = 1 << 5


UNKNOWN_COMMAND_FLAG = 0x4000


class Chunk(enum.IntEnum):
    """NBD_REPLY_TYPE_*"""

    NONE = 0
    OFFSET_DATA = 1
    OFFSET_HOLE = 2
    BLOCK_STATUS = 5
    BLOCK_STATUS_EXT = 6


CHUNK_FLAG_DONE = 1
CHUNK_ERROR_BIT = 0x8000

STATE_HOLE = 1
STATE_ZERO = 2


class Error(enum.IntEnum):
    """NBD_E*"""

    EPERM = 1
    EIO = 5
    ENOMEM = 12
    EINVAL = 22
    ENOSPC = 28
    EOVERFLOW = 75
    ENOTSUP = 95
    ESHUTDOWN = 108


def option_header(option, length, magic=MAGIC_OPTION):
    """The fixed part of an option, length being that of the data to follow."""
    return struct.pack(">QII", magic, option, length)


def request_header(command, offset, length, flags=0, cookie=1, magic=MAGIC_REQUEST):
    """A compact request."""
    return struct.pack(">IHHQQI", magic, flags, command, cookie, offset, length)


def request_header_extended(command, offset, length, flags=0, cookie=1):
    """A request with extended headers."""
    return struct.pack(">IHHQQQ", MAGIC_REQUEST_EXTENDED, flags, command, cookie, offset, length)


def name_field(name):
    """A name as options carry it: length, then UTF-8."""
    encoded = name.encode()
    return struct.pack(">I", len(encoded)) + encoded


def info_payload(export, requests=()):
    """The data of NBD_OPT_INFO and NBD_OPT_GO."""
    return name_field(export) + struct.pack(f">H{len(requests)}H", len(requests), *requests)


def meta_payload(export, queries):
    """The data of NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT."""
    return name_field(export) + struct.pack(">I", len(queries)) + b"".join(map(name_field, queries))
