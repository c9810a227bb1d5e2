"""Negotiation: the greeting and the options that every server has."""

import contextlib
import struct
import time

from .connection import Connection, server_survives
from .protocol import (
    MIB,
    OPTION_ERROR_BIT,
    Command,
    Flag,
    Info,
    Option,
    OptionReply,
    info_payload,
    name_field,
    option_header,
    request_header,
)
from .suite import FEATURE, MUST, SHOULD, Missing, check, target, test

NO_SUCH_EXPORT = "no such export"
NAME_OVERRUNS = struct.pack(">I", 1000) + b"abc" + b"\0\0"


def still_negotiates(connection):
    """The server must answer a plain INFO after whatever came before."""
    check(connection.info()[0] == OptionReply.ACK, "no INFO after it")


@test(MUST)
def greeting_fixed_newstyle():
    flags = Connection().handshake_flags
    check(flags & 1, "NBD_FLAG_FIXED_NEWSTYLE not set")
    check(flags & ~3 == 0, f"unknown handshake flags {flags:#x}")


@test(FEATURE)
def greeting_no_zeroes():
    if not Connection().handshake_flags & 2:
        raise Missing("NBD_FLAG_NO_ZEROES")


@test(MUST)
def unknown_client_flag_drops_connection():
    connection = Connection(flags=0x103)
    connection.send_option(Option.LIST)
    check(connection.is_closed_within(), "the connection stays")


@test(MUST)
def unknown_option_is_unsup_and_parsing_goes_on():
    connection = Connection()
    for option in (0x4242, 99, 0x7FFFFFFF):
        check(connection.ask_last(option, b"x" * 77) == OptionReply.ERR_UNSUP, "not NBD_REP_ERR_UNSUP")
    still_negotiates(connection)


@test(SHOULD)
def peek_export_is_unsup():
    check(Connection().ask_last(Option.PEEK_EXPORT, b"abc") == OptionReply.ERR_UNSUP, "not NBD_REP_ERR_UNSUP")


@test(MUST)
def abort_is_acked():
    check(Connection().ask_last(Option.ABORT) == OptionReply.ACK, "no ACK")


@test(SHOULD)
def abort_with_data_is_acked():
    check(Connection().ask_last(Option.ABORT, b"data") == OptionReply.ACK, "no ACK")


@test(MUST)
def abort_then_close_leaves_the_server_up():
    connection = Connection()
    connection.send_option(Option.ABORT)
    connection.close()
    server_survives()


@test(MUST)
def list_names_the_export():
    replies = Connection().ask(Option.LIST)
    check(replies[-1][0] == OptionReply.ACK, f"LIST ended with {replies[-1][0]:#x}")
    names = []
    for kind, data in replies[:-1]:
        check(kind == OptionReply.SERVER, f"reply type {kind:#x} in LIST")
        (length,) = struct.unpack(">I", data[:4])
        check(length <= len(data) - 4, "name overruns")
        names.append(data[4 : 4 + length].decode())
    check(target.export in names, f"{target.export!r} is not in {names}")


@test(SHOULD)
def list_with_data_is_invalid():
    connection = Connection()
    check(connection.ask_last(Option.LIST, b"x") == OptionReply.ERR_INVALID, "not NBD_REP_ERR_INVALID")
    still_negotiates(connection)


@test(MUST)
def info_gives_the_export_and_stays_in_negotiation():
    connection = Connection()
    kind, told = connection.info()
    check(kind == OptionReply.ACK, f"INFO answered {kind:#x}")
    check(len(told.get(Info.EXPORT, b"")) == 10, "no NBD_INFO_EXPORT")
    size, flags = struct.unpack(">QH", told[Info.EXPORT])
    check(flags & Flag.HAS_FLAGS, "NBD_FLAG_HAS_FLAGS not set")
    check(not target.size or size == target.size, f"size {size}")
    check(connection.info()[0] == OptionReply.ACK, "second INFO")


@test(MUST)
def info_and_go_agree():
    connection = Connection()
    requests = (Info.BLOCK_SIZE,)
    info = connection.info(requests=requests)
    go = connection.info(requests=requests, option=Option.GO)
    check(info == go and go[0] == OptionReply.ACK, "INFO and GO differ")
    connection.take_export(go[1][Info.EXPORT])
    connection.is_alive()


@test(MUST)
def unknown_export_is_err_unknown():
    connection = Connection()
    for option in (Option.INFO, Option.GO):
        kind, _ = connection.info(NO_SUCH_EXPORT, option=option)
        check(kind == OptionReply.ERR_UNKNOWN, f"option {option} answered {kind:#x}")
    connection.go().is_alive()


@test(MUST)
def unknown_info_requests_are_ignored():
    kind, told = Connection().info(requests=(0x7777, Info.BLOCK_SIZE, 0x1234))
    check(kind == OptionReply.ACK and Info.EXPORT in told, "not accepted")


@test(MUST)
def info_with_overlong_name_is_refused():
    connection = Connection()
    check(connection.ask_last(Option.INFO, NAME_OVERRUNS) & OPTION_ERROR_BIT, "accepted")
    still_negotiates(connection)


@test(SHOULD)
def info_with_overlong_name_is_err_invalid():
    kind = Connection().ask_last(Option.INFO, NAME_OVERRUNS)
    check(kind == OptionReply.ERR_INVALID, f"{kind:#x}")


@test(SHOULD)
def info_with_short_request_list_is_refused():
    connection = Connection()
    announced_five_sent_one = struct.pack(">HH", 5, Info.BLOCK_SIZE)
    kind = connection.ask_last(Option.INFO, name_field(target.export) + announced_five_sent_one)
    check(kind == OptionReply.ERR_INVALID, f"{kind:#x}")
    still_negotiates(connection)


@test(SHOULD)
def info_with_no_data_is_refused():
    connection = Connection()
    kind = connection.ask_last(Option.INFO)
    check(kind == OptionReply.ERR_INVALID, f"{kind:#x}")
    still_negotiates(connection)


@test(FEATURE)
def info_block_size():
    _, told = Connection().info(requests=(Info.BLOCK_SIZE,))
    if Info.BLOCK_SIZE not in told:
        raise Missing("NBD_INFO_BLOCK_SIZE")
    check(len(told[Info.BLOCK_SIZE]) == 12, "length")
    smallest, preferred, largest = struct.unpack(">III", told[Info.BLOCK_SIZE])
    check(smallest & (smallest - 1) == 0 and 1 <= smallest <= 65536, f"minimum {smallest}")
    check(preferred & (preferred - 1) == 0 and preferred >= max(smallest, 512), f"preferred {preferred}")
    check(largest >= preferred and largest >= MIB, f"maximum {largest}")
    size, _ = struct.unpack(">QH", told[Info.EXPORT])
    check(size % smallest == 0, "size is no multiple of the minimum")


@test(FEATURE)
def info_name_of_the_export():
    _, told = Connection().info(requests=(Info.NAME,))
    if Info.NAME not in told:
        raise Missing("NBD_INFO_NAME")
    check(told[Info.NAME].decode() == target.export, "another name")


@test(FEATURE)
def info_description_of_the_export():
    _, told = Connection().info(requests=(Info.DESCRIPTION,))
    if Info.DESCRIPTION not in told:
        raise Missing("NBD_INFO_DESCRIPTION")
    told[Info.DESCRIPTION].decode()


@test(MUST)
def go_sends_no_padding():
    Connection().go().is_alive()


@test(MUST)
def export_name_with_no_zeroes():
    connection = Connection()
    if not connection.handshake_flags & 2:
        raise Missing("NBD_FLAG_NO_ZEROES")
    connection.send_option(Option.EXPORT_NAME, target.export.encode())
    connection.take_export(connection.receive(10))
    connection.is_alive()


@test(MUST)
def export_name_with_zeroes():
    connection = Connection(flags=1)
    connection.send_option(Option.EXPORT_NAME, target.export.encode())
    answer = connection.receive(134)
    check(answer[10:] == bytes(124), "not 124 zeros")
    connection.is_alive()


@test(MUST)
def export_name_unknown_ends_the_session():
    connection = Connection()
    connection.send_option(Option.EXPORT_NAME, NO_SUCH_EXPORT.encode())
    check(connection.is_closed_within(), "the session goes on")


@test(FEATURE)
def default_export_is_served():
    kind, _ = Connection().info("")
    if kind != OptionReply.ACK:
        raise Missing("a default export")


@test(SHOULD)
def option_with_bad_magic_ends_the_session():
    connection = Connection()
    connection.send(option_header(Option.LIST, 0, magic=0x1122334455667788))
    check(connection.is_closed_within(), "the session goes on")
    server_survives()


@test(MUST)
def huge_option_does_not_hurt_the_server():
    connection = Connection()
    connection.send(option_header(Option.INFO, 0x7FFFFFF0) + b"A" * 4096)
    connection.socket.settimeout(2)
    with contextlib.suppress(OSError):
        connection.socket.recv(100)
    connection.close()
    server_survives()


@test(SHOULD)
def name_over_4096_bytes_is_refused():
    connection = Connection()
    kind = connection.ask_last(Option.INFO, info_payload("n" * 5000))
    refusals = (OptionReply.ERR_INVALID, OptionReply.ERR_TOO_BIG, OptionReply.ERR_UNKNOWN)
    check(kind in refusals, f"{kind:#x}")
    still_negotiates(connection)


def client_flags_of(connection):
    """The four bytes that a client sends first."""
    return struct.pack(">I", 3 & (connection.handshake_flags | 1))


@test(MUST)
def options_in_one_segment():
    connection = Connection(flags=None)
    asked = ((Option.LIST, b""), (0x4242, b"zz"), (Option.INFO, info_payload(target.export)))
    connection.send(
        client_flags_of(connection) + b"".join(option_header(option, len(data)) + data for option, data in asked)
    )
    answered = []
    while len(answered) < len(asked):
        option, kind, _ = connection.receive_option_reply()
        if kind == OptionReply.ACK or kind & OPTION_ERROR_BIT:
            answered.append(option)
    check(answered == [option for option, _ in asked], "answers out of order")


@test(MUST)
def options_byte_by_byte():
    connection = Connection(flags=None)
    data = info_payload(target.export)
    for byte in client_flags_of(connection) + option_header(Option.GO, len(data)) + data:
        connection.send(bytes([byte]))
        time.sleep(0.001)
    while connection.receive_option_reply()[1] != OptionReply.ACK:
        pass
    connection.is_alive()


@test(MUST)
def close_at_every_step_leaves_the_server_up():
    data = info_payload(target.export)
    whole = (
        struct.pack(">I", 3)
        + option_header(Option.GO, len(data))
        + data
        + request_header(Command.WRITE, 0, 4096)
        + b"x" * 100
    )
    for count in range(0, len(whole), 7):
        connection = Connection(flags=None)
        with contextlib.suppress(OSError):
            connection.send(whole[:count])
        if count % 2:
            connection.reset()
        else:
            connection.close()
    server_survives()


@test(SHOULD)
def starttls_when_not_served():
    connection = Connection()
    kind = connection.ask_last(Option.STARTTLS)
    if kind == OptionReply.ACK:
        raise Missing("(the server serves TLS here)")
    refusals = (OptionReply.ERR_UNSUP, OptionReply.ERR_POLICY, OptionReply.ERR_PLATFORM)
    check(kind in refusals, f"{kind:#x}")
    still_negotiates(connection)


@test(SHOULD)
def starttls_with_data_is_refused():
    connection = Connection()
    check(connection.ask_last(Option.STARTTLS, b"x") & OPTION_ERROR_BIT, "accepted")
    still_negotiates(connection)
