"""Reads and writes, their limits, and the errors that requests must get."""

import time

from .connection import Connection, server_survives, simple, structured, structured_if_offered
from .protocol import (
    MIB,
    UNKNOWN_COMMAND_FLAG,
    Chunk,
    Command,
    CommandFlag,
    Error,
    Flag,
    request_header,
)
from .suite import FEATURE, MUST, SHOULD, Missing, check, random_bytes, target, test

OFFSET_MAX = 1 << 64


@test(MUST)
def write_and_read_back():
    session = simple()
    for offset, count, variant in (
        (0, 4096, 1),
        (4096 * 5, 65536, 2),
        (session.size - 4096, 4096, 3),
        (MIB + 512, 1536, 4),
    ):
        content = random_bytes(count, variant)
        session.write(offset, content)
        check(session.read(offset, count) == content, f"at {offset}")


@test(MUST)
def structured_read_of_data_and_holes():
    session = structured().needs(Flag.SEND_WRITE_ZEROES, "write zeroes")
    session.succeeds(Command.WRITE_ZEROES, 0, 4 * MIB)
    content = random_bytes(65536, 5)
    session.write(MIB, content)
    check(session.read(0, 4 * MIB) == bytes(MIB) + content + bytes(3 * MIB - 65536), "content")


@test(FEATURE)
def structured_read_tells_holes():
    session = structured().needs(Flag.SEND_WRITE_ZEROES, "write zeroes")
    session.succeeds(Command.WRITE_ZEROES, 8 * MIB, 4 * MIB)
    _, data, chunks = session.request(Command.READ, 8 * MIB, 4 * MIB)
    check(data == bytes(4 * MIB), "content")
    if not any(kind == Chunk.OFFSET_HOLE for kind, _ in chunks):
        raise Missing("NBD_REPLY_TYPE_OFFSET_HOLE")


@test(MUST)
def df_gives_one_chunk():
    session = structured().needs(Flag.SEND_DF, "NBD_FLAG_SEND_DF")
    if session.flags & Flag.SEND_WRITE_ZEROES:
        session.succeeds(Command.WRITE_ZEROES, 0, MIB)
    session.write(65536, b"x" * 65536)
    error, data, chunks = session.request(Command.READ, 0, 262144, CommandFlag.DF)
    check(error in (0, Error.EOVERFLOW), f"error {error}")
    if error == 0:
        content = [kind for kind, _ in chunks if kind in (Chunk.OFFSET_DATA, Chunk.OFFSET_HOLE)]
        check(len(content) == 1, "more than one content chunk")
        check(data[65536:131072] == b"x" * 65536, "content")


@test(SHOULD)
def read_past_the_end_is_einval():
    for session in (simple(), structured_if_offered()):
        for offset, count in (
            (session.size, 512),
            (session.size - 512, 1024),
            (1 << 62, 4096),
            (OFFSET_MAX - 4096, 4096),
            (OFFSET_MAX - 512, 1024),
        ):
            error = session.error_of(Command.READ, offset, count)
            check(error == Error.EINVAL, f"({offset},{count}): {error}")
        session.is_alive()


@test(SHOULD)
def write_past_the_end_is_enospc():
    session = simple()
    for offset, count in (
        (session.size, 512),
        (session.size - 512, 1024),
        (1 << 62, 4096),
        (OFFSET_MAX - 512, 1024),
    ):
        error = session.error_of(Command.WRITE, offset, count, 0, b"x" * count)
        check(error == Error.ENOSPC, f"({offset},{count}): {error}")
    session.is_alive()


@test(MUST)
def write_past_the_end_writes_nothing_and_payload_is_consumed():
    session = simple()
    last = session.size - 512
    session.write(last, b"A" * 512)
    check(session.error_of(Command.WRITE, last, 1024, 0, b"B" * 1024) != 0, "accepted")
    check(session.read(last, 512) == b"A" * 512, "a part was written")
    session.is_alive()


@test(SHOULD)
def zero_length_requests_do_not_disconnect():
    session = simple()
    session.request(Command.READ, 0, 0)
    session.request(Command.WRITE, 0, 0)
    if session.flags & Flag.SEND_TRIM:
        session.request(Command.TRIM, 0, 0)
    if session.flags & Flag.SEND_WRITE_ZEROES:
        session.request(Command.WRITE_ZEROES, 0, 0)
    session.is_alive()


@test(SHOULD)
def unknown_command_is_einval():
    session = simple()
    for command in (9, 77, 0xFFFF):
        error = session.error_of(command)
        check(error == Error.EINVAL, f"command {command}: {error}")
    session.is_alive()


@test(SHOULD)
def unknown_flags_are_einval():
    session = simple()
    error = session.error_of(Command.READ, 0, 512, UNKNOWN_COMMAND_FLAG)
    check(error == Error.EINVAL, f"read: {error}")
    error = session.error_of(Command.WRITE, 0, 512, UNKNOWN_COMMAND_FLAG, b"x" * 512)
    check(error == Error.EINVAL, f"write: {error}")
    session.is_alive()


@test(SHOULD)
def flags_of_other_commands_are_einval():
    session = simple()
    error = session.error_of(Command.READ, 0, 512, CommandFlag.NO_HOLE)
    check(error == Error.EINVAL, f"read+NO_HOLE: {error}")
    error = session.error_of(Command.WRITE, 0, 512, CommandFlag.REQ_ONE, b"x" * 512)
    check(error == Error.EINVAL, f"write+REQ_ONE: {error}")
    error = session.error_of(Command.READ, 0, 512, CommandFlag.DF)
    check(error == Error.EINVAL, f"read+DF, structured replies not negotiated: {error}")
    session.is_alive()


@test(SHOULD)
def unadvertised_commands_are_einval():
    """What the flags do not offer. A resize is offered by no server; block status never without structured replies."""
    session = simple()
    commands = [
        (Flag.SEND_FLUSH, Command.FLUSH, 0),
        (Flag.SEND_TRIM, Command.TRIM, 512),
        (Flag.SEND_WRITE_ZEROES, Command.WRITE_ZEROES, 512),
        (Flag.SEND_CACHE, Command.CACHE, 512),
        (Flag.SEND_RESIZE, Command.RESIZE, 0),
    ]
    unadvertised = [(command, count) for flag, command, count in commands if not session.flags & flag]
    for command, count in [*unadvertised, (Command.BLOCK_STATUS, 512)]:
        error = session.error_of(command, 0, count)
        check(error == Error.EINVAL, f"command {command}: {error}")
    check(session.size == simple().size, "the size changed")
    session.is_alive()


@test(FEATURE)
def flush():
    session = simple().needs(Flag.SEND_FLUSH, "flush")
    session.write(0, b"f" * 4096)
    session.succeeds(Command.FLUSH)
    session.is_alive()


@test(FEATURE)
def fua_write():
    session = simple().needs(Flag.SEND_FUA, "FUA")
    session.write(4096, b"g" * 4096, CommandFlag.FUA)
    check(session.read(4096, 4096) == b"g" * 4096, "content")


@test(MUST)
def fua_is_accepted_on_all_commands():
    session = simple().needs(Flag.SEND_FUA, "FUA")
    session.read(0, 4096, CommandFlag.FUA)
    if session.flags & Flag.SEND_FLUSH:
        session.succeeds(Command.FLUSH, 0, 0, CommandFlag.FUA)
    if session.flags & Flag.SEND_TRIM:
        session.succeeds(Command.TRIM, 0, 65536, CommandFlag.FUA)
    if session.flags & Flag.SEND_WRITE_ZEROES:
        session.succeeds(Command.WRITE_ZEROES, 0, 65536, CommandFlag.FUA)


@test(SHOULD)
def payload_of_32_mib():
    session = simple()
    if session.block_size_max < 32 * MIB:
        raise Missing(f"(maximum payload {session.block_size_max})")
    content = random_bytes(32 * MIB, 8)
    session.write(0, content)
    check(session.read(0, 32 * MIB) == content, "content")


@test(MUST)
def payload_over_the_maximum_does_not_hurt_the_server():
    session = simple()
    try:
        session.send_request(Command.WRITE, 0, 0xFFFFF000, 0, b"x" * 65536)
        session.send_request(Command.READ, 0, 0xFFFFF000)
        session.socket.settimeout(2)
        session.socket.recv(100)
    except OSError:
        pass
    session.close()
    server_survives()


@test(MUST)
def unaligned_requests():
    session = simple()
    smallest = session.block_size_min
    if smallest == 1:
        session.write(0, bytes(8192))
        session.write(511, b"abc")
        session.write(4095, b"xy")
        check(session.read(510, 5) == b"\0abc\0", "content over a sector's edge")
        check(session.read(4094, 4) == b"\0xy\0", "content over a block's edge")
        check(len(session.read(3, 1)) == 1, "one byte")
    else:
        check(session.error_of(Command.READ, 1, smallest) == Error.EINVAL, "unaligned read")
        error = session.error_of(Command.WRITE, 1, smallest, 0, b"x" * smallest)
        check(error == Error.EINVAL, "unaligned write")
        session.is_alive()


@test(MUST)
def request_byte_by_byte():
    session = simple()
    if session.block_size_min > 1:
        raise Missing("byte granularity")
    content = b"0123456789abcdef"
    for byte in request_header(Command.WRITE, 8192, len(content), cookie=7) + content:
        session.send(bytes([byte]))
        time.sleep(0.002)
    check(session.receive_reply(7, False, 8192, len(content))[0] == 0, "error")
    check(session.read(8192, len(content)) == content, "content")


@test(MUST)
def cookies_are_opaque():
    session = simple()
    for cookie in (0, (1 << 64) - 1, 0x0102030405060708, 0):
        session.send_request(Command.READ, 0, 512, cookie=cookie)
        check(session.receive_reply(cookie, True, 0, 512)[0] == 0, "error")


@test(MUST)
def error_values_are_in_the_list():
    session = structured_if_offered()
    for command, offset, count in (
        (Command.READ, session.size, 512),
        (Command.WRITE, session.size, 512),
        (0x55, 0, 0),
    ):
        payload = b"x" * count if command == Command.WRITE else b""
        error = session.error_of(command, offset, count, 0, payload)
        check(error in list(Error), f"error {error}")


@test(SHOULD)
def bad_request_magic_ends_the_session():
    session = simple()
    session.send(request_header(Command.READ, 0, 512, magic=0x11111111))
    check(session.is_closed_within(), "the session goes on")
    server_survives()


# -------------------------------------------------------------------- read-only export


def read_only():
    """A session on the read-only export."""
    if target.read_only_export is None:
        raise Missing("no --ro given")
    return Connection(target.read_only_address).go(target.read_only_export)


@test(MUST)
def ro_flag():
    check(read_only().flags & Flag.READ_ONLY, "NBD_FLAG_READ_ONLY not set")


@test(SHOULD)
def ro_writes_are_eperm():
    session = read_only()
    before = session.read(0, 4096)
    error = session.error_of(Command.WRITE, 0, 4096, 0, b"w" * 4096)
    check(error == Error.EPERM, f"write: {error}")
    check(session.read(0, 4096) == before, "it was written")
    for command in (Command.TRIM, Command.WRITE_ZEROES):
        error = session.error_of(command, 0, 4096)
        check(error in (Error.EPERM, Error.EINVAL), f"command {command}: {error}")
    check(session.read(0, 4096) == before, "it was changed")


@test(SHOULD)
def ro_trim_and_zeroes_are_eperm():
    session = read_only()
    for command in (Command.TRIM, Command.WRITE_ZEROES):
        error = session.error_of(command, 0, 4096)
        check(error == Error.EPERM, f"command {command}: {error}")
