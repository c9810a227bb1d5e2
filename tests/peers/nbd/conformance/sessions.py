"""Many requests, many sessions, and clients that end badly."""

import random
import socket
import struct
import threading
import time

from .connection import SIMPLE, server_survives, simple, structured_if_offered
from .protocol import (
    MIB,
    Chunk,
    Command,
    CommandFlag,
    Flag,
    Option,
    info_payload,
    meta_payload,
    option_header,
    request_header,
)
from .suite import FEATURE, MUST, Missing, check, random_bytes, target, test

BLOCK = 4096


@test(FEATURE)
def multi_conn_advertised():
    simple().needs(Flag.CAN_MULTI_CONN, "NBD_FLAG_CAN_MULTI_CONN")


@test(MUST)
def multi_conn_coherent():
    writer, reader = simple(), simple()
    writer.needs(Flag.CAN_MULTI_CONN, "NBD_FLAG_CAN_MULTI_CONN")
    for index in range(40):
        content = random_bytes(8192, index)
        writer.write(index * 8192, content)
        check(reader.read(index * 8192, 8192) == content, "a write is not seen by the other connection")
        writer, reader = reader, writer
    writer.succeeds(Command.FLUSH)


@test(FEATURE)
def sixteen_connections():
    try:
        sessions = [simple() for _ in range(16)]
    except Exception as error:
        raise Missing(f"16 connections ({error})") from error
    for index, session in enumerate(sessions):
        session.write(index * BLOCK, bytes([index]) * BLOCK)
    for index, session in enumerate(sessions):
        check(session.read(index * BLOCK, BLOCK) == bytes([index]) * BLOCK, "content")


@test(MUST)
def requests_in_flight():
    """64 writes at once, then 64 reads at once in another order; replies may come in any order and in pieces."""
    session, count = structured_if_offered(), 64
    model = [random_bytes(BLOCK, index) for index in range(count)]
    in_flight = {}
    for index in range(count):
        cookie = session.send_request(Command.WRITE, index * BLOCK, BLOCK, 0, model[index])
        in_flight[cookie] = (False, index * BLOCK, BLOCK)
    collect(session, in_flight)

    order = list(range(count))
    random.Random(target.seed).shuffle(order)
    in_flight = {}
    for index in order:
        cookie = session.send_request(Command.READ, index * BLOCK, BLOCK)
        in_flight[cookie] = (True, index * BLOCK, BLOCK)
    for cookie, content in collect(session, in_flight).items():
        check(content == model[in_flight[cookie][1] // BLOCK], "content")


def collect(session, in_flight):
    """Takes all replies; the content of the reads by cookie."""
    contents = {cookie: bytearray(length) for cookie, (_, _, length) in in_flight.items()}
    left = set(in_flight)
    while left:
        cookie, is_done, error, kind, payload = session.receive_chunk(in_flight)
        check(error == 0, f"error {error}")
        check(cookie in left, "a reply goes on after its end")
        if kind == SIMPLE and payload:
            contents[cookie][:] = payload
        elif kind == Chunk.OFFSET_DATA:
            at = struct.unpack(">Q", payload[:8])[0] - in_flight[cookie][1]
            contents[cookie][at : at + len(payload) - 8] = payload[8:]
        if is_done:
            left.discard(cookie)
    return contents


@test(MUST)
def disc_completes_outstanding_writes():
    count, length, offset = 32, 65536, 16 * MIB
    session = simple()
    contents = [random_bytes(length, 100 + index) for index in range(count)]
    for index, content in enumerate(contents):
        session.send_request(Command.WRITE, offset + index * length, length, 0, content)
    session.send_request(Command.DISC)
    check(session.is_closed_within(), "no close after NBD_CMD_DISC")
    session = simple()
    for index, content in enumerate(contents):
        check(session.read(offset + index * length, length) == content, f"write {index} is lost")


@test(MUST)
def disc_closes():
    session = simple()
    session.send_request(Command.DISC)
    check(session.is_closed_within(), "no close")


@test(MUST)
def abrupt_close_in_a_payload():
    """The half that came may have been written, or nothing; never anything else."""
    session = simple()
    session.write(0, b"k" * 8192)
    session.send_request(Command.WRITE, 0, 8192, 0, b"L" * 4096)
    session.reset()
    time.sleep(0.3)
    content = simple().read(0, 8192)
    check(content in (b"k" * 8192, b"L" * 4096 + b"k" * 4096), "something else was written")


@test(MUST)
def random_operations_against_a_model():
    session, length = structured_if_offered(), 8 * MIB
    chance = random.Random(target.seed + 1)
    model = bytearray(session.read(0, length))
    for index in range(300 if target.is_quick else 1500):
        random_operation(session, chance, model, index)
    check(session.read(0, length) == bytes(model), "the whole differs at the end")


def random_operation(session, chance, model, index):
    """One write, zeroes, trim, flush or read, on the server and on the model."""
    unit = max(1, session.block_size_min)
    offset = chance.randrange(0, len(model) // unit) * unit
    count = chance.choice((unit, 512, 4096, 5000, 65536, 200000)) // unit * unit or unit
    count = min(len(model) - offset, count)
    end, kind = offset + count, chance.random()
    if kind < 0.45:
        content = chance.randbytes(count)
        is_stable = session.flags & Flag.SEND_FUA and kind < 0.05
        session.write(offset, content, CommandFlag.FUA if is_stable else 0)
        model[offset:end] = content
    elif kind < 0.6 and session.flags & Flag.SEND_WRITE_ZEROES:
        session.succeeds(Command.WRITE_ZEROES, offset, count, CommandFlag.NO_HOLE if kind < 0.5 else 0)
        model[offset:end] = bytes(count)
    elif kind < 0.65 and session.flags & Flag.SEND_TRIM:
        session.succeeds(Command.TRIM, offset, count)
        after = session.read(offset, count)
        check(
            all(new in (0, old) for new, old in zip(after, model[offset:end], strict=True)),
            f"operation {index}: trim({offset},{count}) left neither zeros nor what was there",
        )
        model[offset:end] = after
    elif kind < 0.67 and session.flags & Flag.SEND_FLUSH:
        session.succeeds(Command.FLUSH)
    else:
        check(session.read(offset, count) == model[offset:end], f"operation {index}: read({offset},{count}) differs")


@test(MUST)
def parallel_writers_on_their_own_ranges():
    failures = []

    def write_and_compare(index):
        try:
            session, chance, model = simple(), random.Random(index), bytearray(MIB)
            base = (20 + index) * MIB
            session.write(base, bytes(MIB))
            for _ in range(60 if target.is_quick else 200):
                offset = chance.randrange(0, MIB - 8192) // 512 * 512
                content = chance.randbytes(chance.choice((512, 4096, 8192)))
                session.write(base + offset, content)
                model[offset : offset + len(content)] = content
            check(session.read(base, MIB) == bytes(model), f"range {index} differs")
        except Exception as error:
            failures.append(repr(error))

    writers = [threading.Thread(target=write_and_compare, args=(index,)) for index in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    check(not failures, "; ".join(failures[:2]))


@test(MUST)
def garbage_does_not_hurt_the_server():
    chance = random.Random(target.seed + 2)
    for index in range(60 if target.is_quick else 200):
        try:
            with socket.create_connection(target.address, 5) as client:
                client.settimeout(0.05)
                client.recv(18)
                send_garbage(client, chance, index % 4)
                client.recv(4096)
        except OSError:
            pass
    server_survives()


def send_garbage(client, chance, kind):
    """Noise, a noisy option, a garbled context query, or a noisy request, by kind."""
    client_flags = struct.pack(">I", 3)
    if kind == 0:
        client.sendall(chance.randbytes(chance.randrange(1, 400)))
    elif kind == 1:
        header = option_header(chance.randrange(1, 13), chance.randrange(0, 200))
        client.sendall(client_flags + header + chance.randbytes(chance.randrange(0, 300)))
    elif kind == 2:
        data = bytearray(meta_payload(target.export, ("base:allocation",)))
        data[chance.randrange(len(data))] = chance.randrange(256)
        option = chance.choice((Option.LIST_META_CONTEXT, Option.SET_META_CONTEXT))
        structured_reply = option_header(Option.STRUCTURED_REPLY, 0)
        client.sendall(client_flags + structured_reply + option_header(option, len(data)) + bytes(data))
    else:
        data = info_payload(target.export)
        client.sendall(client_flags + option_header(Option.GO, len(data)) + data)
        time.sleep(0.005)
        command = chance.choice((0, 3, 4, 5, 6, 7, chance.getrandbits(16)))
        header = request_header(command, chance.getrandbits(64), chance.getrandbits(32), chance.getrandbits(16))
        client.sendall(header + chance.randbytes(chance.randrange(0, 64)))


@test(MUST)
def a_stalled_reader_does_not_stop_others():
    stalled = simple()
    for _ in range(64):
        stalled.send_request(Command.READ, 0, MIB)
    other = simple()
    started = time.monotonic()
    for _ in range(20):
        other.read(0, 65536)
    check(time.monotonic() - started < 10, "others are slow")
    stalled.close()
