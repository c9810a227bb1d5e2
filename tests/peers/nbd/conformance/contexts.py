"""Structured replies, metadata contexts, block status and extended headers."""

import struct

from .connection import Connection, structured, with_status
from .handshake import still_negotiates
from .protocol import (
    MIB,
    STATE_HOLE,
    STATE_ZERO,
    Chunk,
    Command,
    CommandFlag,
    Error,
    Flag,
    Option,
    OptionReply,
    name_field,
    request_header_extended,
)
from .suite import FEATURE, MUST, SHOULD, Missing, check, random_bytes, target, test

LIST, SET = Option.LIST_META_CONTEXT, Option.SET_META_CONTEXT


def only(extents_by_context):
    """The extents of the one context that was selected."""
    return next(iter(extents_by_context.values()))


def list_contexts(connection, *queries):
    """The names that a LIST with these queries gives."""
    kind, contexts = connection.meta(LIST, queries=queries)
    if kind == OptionReply.ERR_UNSUP:
        raise Missing("metadata contexts")
    check(kind == OptionReply.ACK, f"LIST_META_CONTEXT{queries} answered {kind:#x}")
    return [name for _, name in contexts]


@test(SHOULD)
def structured_reply_with_data_is_invalid():
    connection = Connection()
    kind = connection.ask_last(Option.STRUCTURED_REPLY, b"xx")
    if kind == OptionReply.ERR_UNSUP:
        raise Missing("structured replies")
    check(kind == OptionReply.ERR_INVALID, f"{kind:#x}")
    still_negotiates(connection)


@test(FEATURE)
def structured_reply_twice():
    connection = Connection().with_structured_replies()
    kind = connection.ask_last(Option.STRUCTURED_REPLY)
    check(kind in (OptionReply.ACK, OptionReply.ERR_INVALID), f"{kind:#x}")
    connection.go().is_alive()


@test(SHOULD)
def set_meta_before_structured_is_invalid():
    connection = Connection()
    kind, _ = connection.meta(SET, queries=("base:allocation",))
    if kind == OptionReply.ERR_UNSUP:
        raise Missing("metadata contexts")
    check(kind in (OptionReply.ERR_INVALID, OptionReply.ERR_EXT_HEADER_REQD), f"{kind:#x}")
    still_negotiates(connection)


@test(FEATURE)
def list_meta_names_base_allocation():
    names = list_contexts(Connection().with_structured_replies())
    check("base:allocation" in names, f"{names}")


@test(MUST)
def list_meta_queries():
    connection = Connection().with_structured_replies()
    check(list_contexts(connection, "base:") == ["base:allocation"], "'base:' does not list its one leaf")
    check(list_contexts(connection, "x-none:abc") == [], "an unknown namespace is not ignored")
    check(list_contexts(connection, "base:none-such") == [], "an unknown leaf is not ignored")
    check(list_contexts(connection, "x-none:abc", "base:allocation") == ["base:allocation"], "two queries")


@test(SHOULD)
def list_meta_of_unknown_export_is_err_unknown():
    connection = Connection().with_structured_replies()
    kind, _ = connection.meta(LIST, "no such export")
    if kind == OptionReply.ERR_UNSUP:
        raise Missing("metadata contexts")
    check(kind == OptionReply.ERR_UNKNOWN, f"{kind:#x}")
    still_negotiates(connection)


@test(MUST)
def meta_with_bad_lengths_is_invalid():
    connection = Connection().with_structured_replies()
    export = name_field(target.export)
    malformed = (
        b"",
        struct.pack(">I", 500) + b"a",
        export + struct.pack(">I", 1),
        export + struct.pack(">II", 1, 4000) + b"base:",
        export + struct.pack(">I", 2) + name_field("base:allocation"),
    )
    for option in (LIST, SET):
        for data in malformed:
            kind = connection.ask_last(option, data)
            if kind == OptionReply.ERR_UNSUP:
                raise Missing("metadata contexts")
            check(kind == OptionReply.ERR_INVALID, f"option {option}, data {data[:20]!r}: {kind:#x}")
    still_negotiates(connection)


@test(MUST)
def set_meta_selects():
    connection = Connection().with_structured_replies().with_contexts()
    for queries, reason in (
        (("base:",), "'base:' selects in SET"),
        ((), "no query selects"),
        (("x-none:abc",), "an unknown namespace selects"),
    ):
        kind, contexts = connection.meta(SET, queries=queries)
        check(kind == OptionReply.ACK and not contexts, reason)
    connection.with_contexts()
    check(list(connection.contexts) == ["base:allocation"], "name")


@test(MUST)
def set_meta_is_replaced_by_a_later_one():
    connection = Connection().with_structured_replies().with_contexts()
    connection.meta(SET, queries=())
    connection.go()
    error = connection.error_of(Command.BLOCK_STATUS, 0, 65536)
    check(error != 0, "block status goes on after the contexts were taken back")


@test(FEATURE)
def further_contexts_are_offered():
    if not target.contexts:
        raise Missing("no --context given")
    connection = Connection().with_structured_replies()
    connection.with_contexts("base:allocation", *target.contexts)
    check(set(connection.contexts) == {"base:allocation", *target.contexts}, f"{connection.contexts}")
    check(len(set(connection.contexts.values())) == len(connection.contexts), "ids not unique")
    connection.go()
    connection.status(0, MIB)


@test(FEATURE)
def extended_headers():
    connection = Connection().with_extended_headers()
    kind = connection.ask_last(Option.STRUCTURED_REPLY)
    check(kind == OptionReply.ERR_EXT_HEADER_REQD, "structured replies after extended headers")
    connection.go()
    content = random_bytes(65536)
    connection.write(0, content)
    check(connection.read(0, 65536) == content, "data")
    error = connection.error_of(Command.WRITE, connection.size, 512, 0, b"x" * 512)
    check(error == Error.ENOSPC, f"a write past the end: {error}")
    connection.is_alive()


@test(FEATURE)
def extended_headers_with_data_is_invalid():
    kind = Connection().ask_last(Option.EXTENDED_HEADERS, b"x")
    if kind == OptionReply.ERR_UNSUP:
        raise Missing("extended headers")
    check(kind == OptionReply.ERR_INVALID, f"{kind:#x}")


@test(FEATURE)
def extended_status_and_zeroes():
    connection = Connection().with_extended_headers().with_contexts().go()
    connection.needs(Flag.SEND_WRITE_ZEROES, "write zeroes")
    connection.succeeds(Command.WRITE_ZEROES, 0, connection.size)
    extents = only(connection.status(0, connection.size))
    check(sum(length for length, _ in extents) >= min(connection.size, 65536), "status")
    check(connection.read(connection.size - 65536, 65536) == bytes(65536), "not zeros")


@test(FEATURE)
def extended_write_without_payload_flag_is_invalid():
    connection = Connection().with_extended_headers().go()
    cookie = 77
    connection.send(request_header_extended(Command.WRITE, 0, 512, 0, cookie))
    error, _, _ = connection.receive_reply(cookie, False, 0, 512)
    check(error == Error.EINVAL, "no EINVAL")
    connection.is_alive()


@test(FEATURE)
def extended_status_with_payload():
    connection = Connection().with_extended_headers().with_contexts().go()
    connection.needs(Flag.BLOCK_STATUS_PAYLOAD, "NBD_FLAG_BLOCK_STATUS_PAYLOAD")
    identifier = next(iter(connection.contexts.values()))
    payload = struct.pack(">QI", 65536, identifier)
    cookie = connection.send_request(Command.BLOCK_STATUS, 0, len(payload), CommandFlag.PAYLOAD_LEN, payload)
    error, _, chunks = connection.receive_reply(cookie, False, 0, 0)
    check(error == 0 and any(kind == Chunk.BLOCK_STATUS_EXT for kind, _ in chunks), "no status")


@test(FEATURE)
def status_tells_data_from_holes():
    whole, data_offset = 16 * MIB, 4 * MIB
    connection = with_status().needs(Flag.SEND_WRITE_ZEROES, "write zeroes")
    connection.succeeds(Command.WRITE_ZEROES, 0, whole)
    connection.write(data_offset, random_bytes(MIB, 7))
    position, extents = 0, []
    while position < whole:
        for length, state in only(connection.status(position, whole - position)):
            extents.append((position, length, state))
            position += length
    for offset, length, state in extents:
        if state & STATE_ZERO:
            end = min(offset + length, whole)
            check(connection.read(offset, end - offset) == bytes(end - offset), f"zeros at {offset} are not")
        if offset < data_offset + MIB and offset + length > data_offset:
            check(not state & (STATE_HOLE | STATE_ZERO), "data is called a hole or zero")
    if not any(state & STATE_HOLE for _, _, state in extents):
        raise Missing("holes in base:allocation")


@test(MUST)
def status_req_one():
    connection = with_status()
    connection.status(0, 3 * MIB, CommandFlag.REQ_ONE)
    connection.status(4096, 8192, CommandFlag.REQ_ONE)
    connection.status(connection.size - 512, 512)


@test(MUST)
def status_walks_the_whole_export():
    connection = with_status()
    position = steps = 0
    while position < connection.size and steps < 5000:
        extents = only(connection.status(position, min(connection.size - position, 0xFFFFF000)))
        position += sum(length for length, _ in extents)
        steps += 1
        check(position <= connection.size, "extents past the export's end")
    check(position == connection.size, "the walk does not end")


@test(SHOULD)
def status_past_the_end_is_einval():
    connection = with_status()
    error = connection.error_of(Command.BLOCK_STATUS, connection.size, 512)
    check(error == Error.EINVAL, f"{error}")
    connection.is_alive()


@test(SHOULD)
def zero_length_status_does_not_disconnect():
    connection = with_status()
    connection.request(Command.BLOCK_STATUS, 0, 0)
    connection.is_alive()


@test(SHOULD)
def status_without_context_is_einval():
    connection = structured()
    error = connection.error_of(Command.BLOCK_STATUS, 0, 65536)
    check(error == Error.EINVAL, f"{error}")
    connection.is_alive()
