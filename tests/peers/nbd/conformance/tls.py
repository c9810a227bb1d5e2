"""A server that demands TLS, and optionally a client certificate."""

import ssl

from .connection import SIMPLE, TLS_ERRORS, Connection
from .protocol import MIB, Command, Option, OptionReply, info_payload, option_header
from .suite import FEATURE, MUST, SHOULD, Bad, Missing, check, random_bytes, target, test

V1_0, V1_1 = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def tls_context(with_certificate=True, versions=None):
    """The client's side; versions is (lowest, highest)."""
    if not target.tls_address:
        raise Missing("no --tls-at given")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(target.tls_ca)
    if with_certificate and target.tls_certificate:
        context.load_cert_chain(target.tls_certificate, target.tls_key)
    if versions:
        context.minimum_version, context.maximum_version = versions
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def over_tls(**options):
    """A negotiation over TLS."""
    context = tls_context(**options)
    return Connection(target.tls_address, tls=context)


def in_plain():
    """A negotiation that did not start TLS."""
    tls_context()
    return Connection(target.tls_address)


@test(FEATURE)
def tls_session():
    connection = over_tls()
    connection.ask(Option.LIST)
    connection.go()
    content = random_bytes(MIB, 9)
    connection.write(0, content)
    check(connection.read(0, MIB) == content, "content")
    connection.send_request(Command.DISC)


@test(MUST)
def tls_1_2_and_later():
    for version in (V1_2, V1_3):
        connection = over_tls(versions=(version, version))
        connection.go()
        connection.is_alive()


@test(SHOULD)
def tls_1_1_is_refused():
    try:
        over_tls(versions=(V1_0, V1_1)).go()
    except TLS_ERRORS:
        return
    raise Bad("TLS 1.1 accepted")


@test(MUST)
def tls_is_demanded():
    connection = in_plain()
    for option, data in (
        (Option.LIST, b""),
        (Option.INFO, info_payload(target.export)),
        (Option.GO, info_payload(target.export)),
        (Option.STRUCTURED_REPLY, b""),
        (0x4242, b""),
    ):
        kind = connection.ask_last(option, data)
        check(kind == OptionReply.ERR_TLS_REQD, f"option {option}: {kind:#x}")
    check(connection.ask_last(Option.ABORT) == OptionReply.ACK, "ABORT")


@test(MUST)
def tls_export_name_in_plain_ends_the_session():
    connection = in_plain()
    connection.send_option(Option.EXPORT_NAME, target.export.encode())
    check(connection.is_closed_within(), "the session goes on")


@test(MUST)
def starttls_twice_is_invalid():
    connection = over_tls()
    check(connection.ask_last(Option.STARTTLS) == OptionReply.ERR_INVALID, "no NBD_REP_ERR_INVALID")
    connection.go()
    connection.is_alive()


@test(MUST)
def plain_bytes_after_starttls_are_not_commands_in_tls():
    context = tls_context()
    connection = Connection(target.tls_address)
    connection.send(option_header(Option.STARTTLS, 0) + option_header(Option.LIST, 0))
    check(connection.receive_option_reply()[1] == OptionReply.ACK, "STARTTLS")
    try:
        connection.socket = context.wrap_socket(connection.socket, server_hostname="localhost")
        connection.socket.settimeout(2)
        answer = connection.socket.recv(20)
    except OSError:
        return
    check(not answer, "an option sent in plain was answered in TLS")


@test(MUST)
def tls_state_is_not_carried_over():
    context = tls_context()
    connection = Connection(target.tls_address)
    connection.ask_last(Option.STRUCTURED_REPLY)
    connection.start_tls(context)
    connection.go()
    _, _, chunks = connection.request(Command.READ, 0, 4096)
    check(chunks[0][0] == SIMPLE, "a structured reply that was negotiated before TLS")


@test(MUST)
def tls_without_client_certificate_is_refused():
    if not target.is_tls_mutual:
        raise Missing("no --tls-mutual given")
    try:
        over_tls(with_certificate=False).go()
    except TLS_ERRORS:
        return
    raise Bad("accepted")


@test(MUST)
def tls_garbage_handshake_ends_the_session():
    connection = in_plain()
    check(connection.ask_last(Option.STARTTLS) == OptionReply.ACK, "STARTTLS")
    connection.send(b"GET / HTTP/1.0\r\n\r\n" * 4)
    check(connection.is_closed_within(), "the session goes on")
    over_tls().go().is_alive()
