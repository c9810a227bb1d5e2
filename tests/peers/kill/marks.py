"""Whether the content of a mark is that of one instant in the time in which the mark was taken."""

import hashlib

from history import SECTOR, Wrong, difference


class MarkRecord:
    """A mark over one or several disks. digests: sha256 by disk, once its content was judged."""

    def __init__(self, name, disks, window):
        self.name, self.disks = name, tuple(disks)
        self.window = window
        self.digests = {}
        self.is_answered = False
        """Whether the daemon said that it is taken; until then it may be there as a whole or not at all."""

    def exports(self):
        """The exports that hold it."""
        return [f"{disk}@{self.name}" for disk in self.disks]

    def judge(self, contents):
        """Judges the contents by disk: the first time against the window, from then on by digest.

        Raises Wrong if they are not of one instant, or are not what they were.
        """
        for disk, content in contents.items():
            digest = hashlib.sha256(content).hexdigest()
            if self.digests.setdefault(disk, digest) != digest:
                raise Wrong(f"{disk}@{self.name} has changed: its sha256 was {self.digests[disk]}, is {digest}")
        if self.window is not None:
            judge_instant(self.name, self.window, contents)
            self.window = None

    def judge_one(self, disk, content, export):
        """Judges the first content of an export that was made of this mark."""
        if hashlib.sha256(content).hexdigest() != self.digests[disk]:
            raise Wrong(f"{export} does not hold what {disk}@{self.name} held")

    def keep(self, disks):
        """It is there on these of its disks; the others were removed."""
        self.disks = tuple(disks)
        self.is_answered = True


def judge_instant(name, window, contents):
    """Judges the contents of a mark's disks against the window in which it was taken.

    - Where no write overlapped the window, the content is that at its begin.
    - Elsewhere every sector is that at the begin, or of one of those writes.
    - An atomic write is in as a whole or not at all.
    - If a write is in, everything that was answered before it was sent is in too, on all disks.
    - A write in flight at a kill that is in the mark is on its volume too: a mark is its volume's past.
    """
    is_in, is_out = set(), set()
    for disk, content in contents.items():
        writes = [write for write in window.writes if write.disk == disk]
        _sort_out(f"{disk}@{name}", window.images[disk], content, writes, (is_in, is_out))
    for write in is_in & is_out:
        if write.is_atomic:
            raise Wrong(f"{write.disk}@{name} holds only a part of write {write.number}")
    answered_and_out = [write for write in is_out if write.answered is not None]
    if answered_and_out:
        first = min(answered_and_out, key=lambda write: write.answered)
        for write in is_in:
            if write.issued > first.answered:
                raise Wrong(
                    f"mark {name} is of no instant: it holds write {write.number} to {write.disk}, but not write "
                    f"{first.number} to {first.disk}, which was answered before the other was sent"
                )
    for write in is_in - is_out:
        if write.survived is False:
            raise Wrong(f"{write.disk}@{name} holds write {write.number}, which its volume has lost")


def _sort_out(export, image, content, writes, sides):
    """Sorts the writes into those that are surely in the content and those that surely are not."""
    is_in, is_out = sides
    if len(content) != len(image):
        raise Wrong(f"{export} has {len(content)} bytes, not {len(image)}")
    by_sector = {}
    for order, write in enumerate(writes):
        for at in range(write.offset, write.end, SECTOR):
            by_sector.setdefault(at, []).append((order, write))
    untouched = bytearray(image)
    for at, candidates in by_sector.items():
        got = content[at : at + SECTOR]
        untouched[at : at + SECTOR] = got
        # Several may have written the same (zeros): then only what is true of all of them is sure.
        possible = [order for order, write in candidates if _sector_of(write, at) == got]
        if image[at : at + SECTOR] == got:
            possible.append(-1)
        if not possible:
            raise Wrong(f"{export}: neither old nor of a write: {difference(image[at : at + SECTOR], got, at)}")
        for order, write in candidates:
            if possible == [order]:
                is_in.add(write)
            if max(possible) < order:
                is_out.add(write)
    if untouched != content:
        raise Wrong(f"{export}: {difference(untouched, content)}")


def _sector_of(write, at):
    return write.data[at - write.offset : at - write.offset + SECTOR]
