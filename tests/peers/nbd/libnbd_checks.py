#!/usr/bin/python3
"""Checks of a server through libnbd's Python binding.

usage: libnbd_checks.py CHECK URI      CHECK: asynchronous, chunks, status, errors or threads
"""

import os
import random
import sys
import threading

import nbd

MIB = 1 << 20
BLOCK = 4096
ERRORS_PAST_THE_END = (5, 22, 28)


def connect(uri, *contexts):
    """A connected handle."""
    handle = nbd.NBD()
    for context in contexts:
        handle.add_meta_context(context)
    handle.connect_uri(uri)
    return handle


def asynchronous(uri):
    """256 writes in flight at once; every block read back."""
    handle, count = connect(uri), 256
    buffers = [nbd.Buffer.from_bytearray(bytearray(os.urandom(BLOCK))) for _ in range(count)]
    waiting = [handle.aio_pwrite(buffer, index * BLOCK) for index, buffer in enumerate(buffers)]
    while waiting:
        handle.poll(-1)
        waiting = [cookie for cookie in waiting if not handle.aio_command_completed(cookie)]
    handle.flush()
    for index, buffer in enumerate(buffers):
        assert handle.pread(BLOCK, index * BLOCK) == buffer.to_bytearray(), index
    handle.shutdown()


def chunks(uri):
    """A read over zeros and data: the chunks cover it."""
    handle, told = connect(uri), []
    handle.zero(4 * MIB, 0)
    handle.pwrite(b"d" * 65536, MIB)
    data = handle.pread_structured(
        4 * MIB, 0, lambda content, offset, state, error: told.append((offset, len(content), state))
    )
    assert data == bytes(MIB) + b"d" * 65536 + bytes(3 * MIB - 65536)
    assert sum(length for _, length, _ in told) == 4 * MIB, told
    handle.shutdown()


def status(uri):
    """base:allocation of the first 4 MiB."""
    handle, lengths = connect(uri, "base:allocation"), []
    assert handle.can_meta_context("base:allocation")
    handle.block_status(4 * MIB, 0, lambda context, offset, entries, error: lengths.extend(entries[0::2]))
    assert lengths
    handle.shutdown()


def errors(uri):
    """Past the end: an error, and the session goes on."""
    handle = nbd.NBD()
    handle.set_strict_mode(0)
    handle.connect_uri(uri)
    size = handle.get_size()
    for request in (lambda: handle.pread(512, size), lambda: handle.pwrite(b"x" * 512, size)):
        try:
            request()
        except nbd.Error as error:
            assert error.errnum in ERRORS_PAST_THE_END, error
        else:
            raise AssertionError("no error")
    handle.pread(512, 0)
    handle.shutdown()


def threads(uri):
    """Eight sessions, each on its own mebibyte."""
    finished = []

    def work(index):
        handle, chance, model = connect(uri), random.Random(index), bytearray(MIB)
        base = (8 + index) * MIB
        handle.pwrite(bytes(model), base)
        for _ in range(200):
            offset = chance.randrange(0, MIB - BLOCK) & ~511
            content = chance.randbytes(BLOCK)
            handle.pwrite(content, base + offset)
            model[offset : offset + BLOCK] = content
        assert handle.pread(MIB, base) == model
        handle.shutdown()
        finished.append(index)

    workers = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(finished) == len(workers), finished


if __name__ == "__main__":
    CHECKS = {check.__name__: check for check in (asynchronous, chunks, status, errors, threads)}
    CHECKS[sys.argv[1]](sys.argv[2])
