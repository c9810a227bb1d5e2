"""Trim, write zeroes and cache."""

from .connection import simple, with_status
from .contexts import only
from .protocol import (
    MIB,
    STATE_HOLE,
    STATE_ZERO,
    UNKNOWN_COMMAND_FLAG,
    Command,
    CommandFlag,
    Error,
    Flag,
)
from .suite import FEATURE, MUST, SHOULD, Missing, check, test

LENGTH_MAX = 0xFFFFF000


def with_trim():
    """A session on an export that offers trim."""
    return simple().needs(Flag.SEND_TRIM, "trim")


def with_zeroes():
    """A session on an export that offers write zeroes."""
    return simple().needs(Flag.SEND_WRITE_ZEROES, "write zeroes")


@test(SHOULD)
def trim_past_the_end_is_einval():
    session = with_trim()
    error = session.error_of(Command.TRIM, session.size - 512, 1024)
    check(error == Error.EINVAL, f"{error}")
    session.is_alive()


@test(SHOULD)
def zeroes_past_the_end_is_enospc():
    session = with_zeroes()
    error = session.error_of(Command.WRITE_ZEROES, session.size - 512, 1024)
    check(error == Error.ENOSPC, f"{error}")
    session.is_alive()


@test(FEATURE)
def trim():
    session = with_trim()
    session.write(MIB, b"t" * MIB)
    session.succeeds(Command.TRIM, MIB, MIB)
    session.read(MIB, MIB)
    session.write(MIB, b"u" * 4096)
    check(session.read(MIB, 4096) == b"u" * 4096, "write after trim")


@test(FEATURE)
def trim_frees_and_reads_zero():
    session = with_status().needs(Flag.SEND_TRIM, "trim")
    session.write(2 * MIB, b"t" * MIB)
    session.succeeds(Command.TRIM, 2 * MIB, MIB)
    _, state = only(session.status(2 * MIB, MIB, CommandFlag.REQ_ONE))[0]
    if not state & STATE_HOLE:
        raise Missing("a hole after trim")
    if state & STATE_ZERO:
        check(session.read(2 * MIB, MIB) == bytes(MIB), "said to be zeros, are not")


@test(FEATURE)
def write_zeroes():
    session = with_zeroes()
    session.write(0, b"z" * MIB)
    session.succeeds(Command.WRITE_ZEROES, 4096, 65536)
    check(session.read(0, MIB) == b"z" * 4096 + bytes(65536) + b"z" * (MIB - 69632), "content")


@test(MUST)
def write_zeroes_no_hole():
    session = with_zeroes()
    session.write(0, b"z" * MIB)
    session.succeeds(Command.WRITE_ZEROES, 0, MIB, CommandFlag.NO_HOLE)
    check(session.read(0, MIB) == bytes(MIB), "content")


@test(SHOULD)
def no_hole_is_not_told_as_a_hole():
    session = with_status().needs(Flag.SEND_WRITE_ZEROES, "write zeroes")
    session.write(0, b"z" * MIB)
    session.succeeds(Command.WRITE_ZEROES, 0, MIB, CommandFlag.NO_HOLE)
    _, state = only(session.status(0, MIB, CommandFlag.REQ_ONE))[0]
    check(not state & STATE_HOLE, "a hole after NO_HOLE")


@test(MUST)
def write_zeroes_unaligned():
    session = with_zeroes()
    if session.block_size_min > 1:
        raise Missing("byte granularity")
    session.write(0, b"z" * 131072)
    session.succeeds(Command.WRITE_ZEROES, 4097, 65531)
    check(session.read(0, 131072) == b"z" * 4097 + bytes(65531) + b"z" * (131072 - 69628), "content")


@test(FEATURE)
def fast_zero():
    session = simple().needs(Flag.SEND_FAST_ZERO, "NBD_FLAG_SEND_FAST_ZERO")
    session.write(0, b"q" * MIB)
    error = session.error_of(Command.WRITE_ZEROES, 0, MIB, CommandFlag.FAST_ZERO)
    check(error in (0, Error.ENOTSUP), f"{error}")
    check(session.read(0, MIB) == (bytes(MIB) if error == 0 else b"q" * MIB), "content")
    session.succeeds(Command.WRITE_ZEROES, 0, MIB)


@test(SHOULD)
def fast_zero_unadvertised_is_einval():
    """On write zeroes where the export does not offer it; on any other command, for which it never exists, always."""
    session = with_zeroes()
    session.write(0, b"k" * 4096)
    if not session.flags & Flag.SEND_FAST_ZERO:
        error = session.error_of(Command.WRITE_ZEROES, 0, 4096, CommandFlag.FAST_ZERO)
        check(error == Error.EINVAL, f"write zeroes: {error}")
    error = session.error_of(Command.WRITE, 0, 4096, CommandFlag.FAST_ZERO, b"w" * 4096)
    check(error == Error.EINVAL, f"write: {error}")
    if session.flags & Flag.SEND_TRIM:
        error = session.error_of(Command.TRIM, 0, 4096, CommandFlag.FAST_ZERO)
        check(error == Error.EINVAL, f"trim: {error}")
    check(session.read(0, 4096) == b"k" * 4096, "a refused request changed the export")


@test(SHOULD)
def write_zeroes_of_the_whole_export():
    session = with_zeroes()
    count = min(session.size, LENGTH_MAX)
    error = session.error_of(Command.WRITE_ZEROES, 0, count)
    check(error in (0, Error.EINVAL, Error.EOVERFLOW), f"{error}")
    if error == 0:
        check(session.read(count - 65536, 65536) == bytes(65536), "content")
    session.is_alive()


@test(SHOULD)
def trim_of_the_whole_export_does_not_disconnect():
    session = with_trim()
    error = session.error_of(Command.TRIM, 0, min(session.size, LENGTH_MAX))
    check(error in (0, Error.EINVAL, Error.EOVERFLOW), f"{error}")
    session.is_alive()


@test(FEATURE)
def cache():
    session = simple().needs(Flag.SEND_CACHE, "NBD_FLAG_SEND_CACHE")
    session.succeeds(Command.CACHE, 0, MIB)
    session.is_alive()


@test(MUST)
def cache_with_unknown_flags_is_refused():
    session = simple().needs(Flag.SEND_CACHE, "NBD_FLAG_SEND_CACHE")
    check(session.error_of(Command.CACHE, 0, 4096, UNKNOWN_COMMAND_FLAG) != 0, "accepted")
    session.is_alive()
