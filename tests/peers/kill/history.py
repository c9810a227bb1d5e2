"""What was written, when it was answered, and what each disk may therefore hold.

Every event (a request goes out, an answer is in) gets the next number of one counter, so that 'answered before that
was sent' is a comparison of two numbers. At most one request is in flight on a block: what a block may hold after a
kill is then the last answered content, or that of the one request in flight.

Every sector that is written carries its disk, its own number and the number of the write, so that a sector tells by
itself who wrote it.
"""

import dataclasses
import struct
import threading

SECTOR = 512
BLOCK = 4096
ATOMIC_BYTES_MAX = 128 << 10
"""A write of up to this length is there as a whole or not at all."""

_STAMP = struct.Struct("<8sQQQ")
_STAMPS_PER_SECTOR = SECTOR // _STAMP.size


class Wrong(Exception):
    """The daemon broke a promise."""


@dataclasses.dataclass(eq=False)
class Write:
    """A write or zeroes request; event numbers, answered is None while it is in flight."""

    disk: str
    number: int
    offset: int
    data: bytes
    is_zeroes: bool
    issued: int
    answered: int = None
    survived: bool = None
    """Of a write in flight at a kill: whether its volume holds it afterwards; None if only some of its blocks."""

    @property
    def end(self):
        """One past its last byte."""
        return self.offset + len(self.data)

    @property
    def is_atomic(self):
        """Whether it must be there as a whole or not at all."""
        return not self.is_zeroes and len(self.data) <= ATOMIC_BYTES_MAX


class Window:
    """The time in which a mark is taken: its disks' content at the begin, and all writes that overlap it."""

    def __init__(self, images, writes):
        self.images = images
        self.writes = writes


class Disk:
    """A volume or a view: the answered content, and the blocks that a request in flight has."""

    def __init__(self, name, image):
        self.name = name
        self.image = bytearray(image)
        self.busy = set()
        self.in_flight = set()


class History:
    """All disks; every method may be called from any thread."""

    def __init__(self):
        self.disks = {}
        self._lock = threading.Lock()
        self._event = 0
        self._number = 0
        self._windows = []

    def add(self, name, image):
        """A disk appears with that content."""
        with self._lock:
            self.disks[name] = Disk(name, image)

    def remove(self, name):
        """A disk is gone, if it ever was known."""
        with self._lock:
            self.disks.pop(name, None)

    def replace(self, name, image):
        """A disk has another content all at once; nothing may be in flight on it."""
        with self._lock:
            assert not self.disks[name].in_flight
            self.disks[name].image = bytearray(image)

    def issue(self, name, offset, length, is_zeroes):
        """A write is about to be sent; None if another request has one of its blocks."""
        with self._lock:
            disk = self.disks[name]
            blocks = _blocks(offset, length)
            if not disk.busy.isdisjoint(blocks):
                return None
            disk.busy.update(blocks)
            self._number += 1
            data = bytes(length) if is_zeroes else stamp(name, self._number, offset, length)
            write = Write(name, self._number, offset, data, is_zeroes, self._next_event())
            disk.in_flight.add(write)
            for window in self._windows:
                if name in window.images:
                    window.writes.append(write)
            return write

    def answer(self, write):
        """The write's answer is in."""
        with self._lock:
            disk = self.disks[write.disk]
            disk.image[write.offset : write.end] = write.data
            disk.in_flight.discard(write)
            disk.busy.difference_update(_blocks(write.offset, len(write.data)))
            write.answered = self._next_event()

    def begin_read(self, name, offset, length):
        """A read is about to be sent: what it must answer, or None if a request has one of its blocks."""
        with self._lock:
            disk = self.disks[name]
            blocks = _blocks(offset, length)
            if not disk.busy.isdisjoint(blocks):
                return None
            disk.busy.update(blocks)
            return bytes(disk.image[offset : offset + length])

    def end_read(self, name, offset, length):
        """The read's answer is in."""
        with self._lock:
            self.disks[name].busy.difference_update(_blocks(offset, length))

    def open_window(self, names):
        """A mark of these disks is about to be asked for."""
        with self._lock:
            disks = [self.disks[name] for name in names]
            writes = sorted((write for disk in disks for write in disk.in_flight), key=lambda write: write.issued)
            window = Window({disk.name: bytes(disk.image) for disk in disks}, writes)
            self._windows.append(window)
            return window

    def close_window(self, window):
        """The mark is answered, or the daemon is dead: later writes cannot be in it."""
        with self._lock:
            self._windows.remove(window)

    def settle(self, name, content):
        """After a kill: judges a disk's content, and takes it for what the disk holds from now on.

        Raises Wrong if it is not the answered content with each write in flight there or not there.
        """
        with self._lock:
            disk = self.disks[name]
            if len(content) != len(disk.image):
                raise Wrong(f"{name} has {len(content)} bytes, not {len(disk.image)}")
            for write in disk.in_flight:
                _settle_write(disk, write, content)
            disk.in_flight.clear()
            disk.busy.clear()
            if content != disk.image:
                raise Wrong(f"{name}: {difference(disk.image, content)}")

    def _next_event(self):
        self._event += 1
        return self._event


def _settle_write(disk, write, content):
    step = len(write.data) if write.is_atomic else BLOCK
    outcomes = set()
    start = write.offset
    while start < write.end:
        # Blocks are counted from the disk's start: a request that begins inside one has a shorter first part.
        end = min(write.end, start + step if write.is_atomic else (start // BLOCK + 1) * BLOCK)
        old, new = disk.image[start:end], write.data[start - write.offset : end - write.offset]
        got = content[start:end]
        if got == new:
            outcomes.add(True)
            disk.image[start:end] = got
        elif got == old:
            outcomes.add(False)
        else:
            what = "write" if write.is_atomic else "block of a write"
            raise Wrong(
                f"{disk.name}: a {what} of {end - start} bytes at {start}, in flight at the kill, is neither "
                f"there nor not there: {difference(new, got, start)}"
            )
        start = end
    write.survived = outcomes.pop() if len(outcomes) == 1 else None


def stamp(disk, number, offset, length):
    """The content of a write."""
    name = disk.encode()[-8:].ljust(8, b"\0")
    first = offset // SECTOR
    return b"".join(
        _STAMP.pack(name, number, sector, number ^ sector) * _STAMPS_PER_SECTOR
        for sector in range(first, first + length // SECTOR)
    )


def describe(sector):
    """Who wrote a sector, as it says itself."""
    if not any(sector):
        return "zeros"
    name, number, at, check = _STAMP.unpack(bytes(sector[: _STAMP.size]))
    if number ^ at != check:
        return "foreign bytes"
    is_whole = bytes(sector) == bytes(sector[: _STAMP.size]) * _STAMPS_PER_SECTOR
    whole = "" if is_whole else ", torn"
    return f"write {number} to {name.rstrip(bytes(1)).decode(errors='replace')} at sector {at}{whole}"


def difference(expected, got, base=0):
    """Words for the first sectors in which two contents differ."""
    differing = [at for at in range(0, len(expected), SECTOR) if expected[at : at + SECTOR] != got[at : at + SECTOR]]
    examples = "; ".join(
        f"sector {(base + at) // SECTOR}: expected {describe(expected[at : at + SECTOR])}, "
        f"got {describe(got[at : at + SECTOR])}"
        for at in differing[:3]
    )
    return f"{len(differing)} sectors differ: {examples}"


def _blocks(offset, length):
    return range(offset // BLOCK, -(-(offset + length) // BLOCK))
