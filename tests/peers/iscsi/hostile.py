#!/usr/bin/env python3
"""A crowd that connects to a target and never logs in, until it is killed.

usage: hostile.py HOST:PORT TARGET [--count N]

Some say nothing, some send half a PDU, garbage, a PDU that announces 16 MiB, or a wrong CHAP response. Whoever is sent
away comes back a little later. They come from many addresses of the loopback. Prints 'ready' once all have connected.
"""

import argparse
import asyncio
import itertools
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import iscsi_pdu as pdu

PAUSE_S = 0.5
ADDRESSES = 25
ISID = b"\x80\0\0\0\0\x01"


def login_keys(target):
    """What a good login begins with."""
    return {
        "InitiatorName": "iqn.2026-11.dev.tidemark.tests:stranger",
        "SessionType": "Normal",
        "TargetName": target,
        "AuthMethod": "CHAP,None",
    }


async def say_nothing(*_):
    """An idle connection."""


async def send_half(_, writer, target):
    """The first half of a login request."""
    request = pdu.login(ISID, 0, None, login_keys(target), pdu.Numbers())
    writer.write(request[: len(request) // 2])


async def send_garbage(_, writer, target):
    """What is no PDU at all."""
    writer.write(random.Random(target).randbytes(8192))


async def announce_much(_, writer, target):
    """A login request whose text is said to have almost 16 MiB, and none of them."""
    request = bytearray(pdu.login(ISID, 0, None, login_keys(target), pdu.Numbers())[: pdu.HEAD_LEN])
    request[5:8] = b"\xff\xff\xff"
    writer.write(request)


async def guess(reader, writer, target):
    """A login with a wrong CHAP response."""
    numbers = pdu.Numbers()
    for keys in ({"AuthMethod": "CHAP"}, {"CHAP_A": "5,7"}, {"CHAP_N": "nobody", "CHAP_R": "0x" + "00" * 16}):
        is_first = "AuthMethod" in keys
        writer.write(pdu.login(ISID, 0, None, login_keys(target) | keys if is_first else keys, numbers))
        head = await reader.readexactly(pdu.HEAD_LEN)
        length = int.from_bytes(head[5:8])
        await reader.readexactly(length + -length % 4)
        numbers.learn(head)


KINDS = (say_nothing, send_half, send_garbage, announce_much, guess)


async def one(number, arguments, connected):
    """One of the crowd."""
    host, port = arguments.portal.rsplit(":", 1)
    behave = KINDS[number % len(KINDS)]
    source = f"127.0.0.{2 + number % ADDRESSES}"
    for attempt in itertools.count():
        try:
            reader, writer = await asyncio.open_connection(host, int(port), local_addr=(source, 0))
            if attempt == 0:
                connected.release()
            await behave(reader, writer, arguments.target)
            await writer.drain()
            while await reader.read(65536):
                pass
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            pass
        await asyncio.sleep(PAUSE_S)


async def crowd(arguments):
    """All of them."""
    connected = asyncio.Semaphore(0)
    everybody = [asyncio.create_task(one(number, arguments, connected)) for number in range(arguments.count)]
    for _ in everybody:
        await connected.acquire()
    print("ready", flush=True)
    await asyncio.gather(*everybody)


def main():
    """Runs until it is killed."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("portal")
    parser.add_argument("target")
    parser.add_argument("--count", type=int, default=200)
    asyncio.run(crowd(parser.parse_args()))


if __name__ == "__main__":
    main()
