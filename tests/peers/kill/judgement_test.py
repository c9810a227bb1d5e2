"""The oracle's own tests: each kind of broken promise must be seen."""

import unittest

from history import BLOCK, SECTOR, History, Wrong
from marks import MarkRecord

SIZE = 64 * BLOCK
DISK, OTHER = "alpha", "beta"


def patched(image, *writes):
    """An image with writes laid over it."""
    content = bytearray(image)
    for write in writes:
        content[write.offset : write.end] = write.data
    return bytes(content)


class AfterAKill(unittest.TestCase):
    """What a disk may hold."""

    def setUp(self):
        self.history = History()
        self.history.add(DISK, bytes(SIZE))
        self.first = self.history.issue(DISK, 0, 4 * BLOCK, False)
        self.history.answer(self.first)
        self.base = patched(bytes(SIZE), self.first)

    def test_answered_writes_are_there(self):
        self.history.settle(DISK, self.base)

    def test_a_lost_write_is_seen(self):
        with self.assertRaisesRegex(Wrong, "expected write 1 to alpha.*got zeros"):
            self.history.settle(DISK, bytes(SIZE))

    def test_an_older_content_is_seen(self):
        again = self.history.issue(DISK, 0, BLOCK, False)
        self.history.answer(again)
        with self.assertRaisesRegex(Wrong, "expected write 2.*got write 1"):
            self.history.settle(DISK, self.base)

    def test_a_write_in_flight_may_be_there_or_not_and_then_stays(self):
        for is_there in (False, True):
            with self.subTest(is_there=is_there):
                self.setUp()
                write = self.history.issue(DISK, BLOCK, 8 * BLOCK, False)
                content = patched(self.base, write) if is_there else self.base
                self.history.settle(DISK, content)
                self.assertEqual(write.survived, is_there)
                with self.assertRaises(Wrong):
                    self.history.settle(DISK, self.base if is_there else patched(self.base, write))

    def test_a_part_of_an_atomic_write_is_seen(self):
        write = self.history.issue(DISK, BLOCK, 8 * BLOCK, False)
        content = bytearray(self.base)
        content[BLOCK : 3 * BLOCK] = write.data[: 2 * BLOCK]
        with self.assertRaisesRegex(Wrong, "neither there nor not there"):
            self.history.settle(DISK, bytes(content))

    def test_a_long_write_may_be_there_in_part_but_no_block_of_it(self):
        write = self.history.issue(DISK, 0, 48 * BLOCK, False)
        content = bytearray(self.base)
        content[8 * BLOCK : 9 * BLOCK] = write.data[8 * BLOCK : 9 * BLOCK]
        self.history.settle(DISK, bytes(content))
        self.setUp()
        write = self.history.issue(DISK, 0, 48 * BLOCK, False)
        content[8 * BLOCK : 9 * BLOCK] = write.data[8 * BLOCK : 8 * BLOCK + SECTOR] + bytes(BLOCK - SECTOR)
        with self.assertRaisesRegex(Wrong, "block of a write"):
            self.history.settle(DISK, bytes(content))

    def test_a_foreign_byte_anywhere_is_seen(self):
        content = bytearray(self.base)
        content[SIZE - 1] = 1
        with self.assertRaisesRegex(Wrong, "1 sectors differ"):
            self.history.settle(DISK, bytes(content))

    def test_blocks_of_a_request_in_flight_are_not_given_twice(self):
        self.assertIsNotNone(self.history.issue(DISK, 0, SECTOR, False))
        self.assertIsNone(self.history.issue(DISK, SECTOR, SECTOR, False))
        self.assertIsNone(self.history.begin_read(DISK, 0, BLOCK))


class OfAMark(unittest.TestCase):
    """What a mark may hold."""

    def setUp(self):
        self.history = History()
        self.history.add(DISK, bytes(SIZE))
        self.history.add(OTHER, bytes(SIZE))
        self.before = self.history.issue(DISK, 0, 4 * BLOCK, False)
        self.history.answer(self.before)
        self.base = patched(bytes(SIZE), self.before)
        self.overlapping = self.history.issue(DISK, 8 * BLOCK, 2 * BLOCK, False)
        self.window = self.history.open_window([DISK, OTHER])
        self.early = self.history.issue(DISK, 16 * BLOCK, 2 * BLOCK, False)
        self.history.answer(self.early)
        self.late = self.history.issue(OTHER, 0, 2 * BLOCK, False)
        self.history.answer(self.late)
        self.history.close_window(self.window)
        self.record = MarkRecord("m", [DISK, OTHER], self.window)

    def judge(self, *writes):
        """Judges a mark that holds exactly these of the overlapping writes."""
        self.record.judge(
            {
                DISK: patched(self.base, *[write for write in writes if write.disk == DISK]),
                OTHER: patched(bytes(SIZE), *[write for write in writes if write.disk == OTHER]),
            }
        )

    def test_any_instant_of_the_window_is_right(self):
        for names in ((), ("overlapping",), ("early",), ("early", "late"), ("overlapping", "early")):
            with self.subTest(names=names):
                self.setUp()
                self.judge(*(getattr(self, name) for name in names))

    def test_a_later_write_without_an_earlier_one_is_no_instant(self):
        with self.assertRaisesRegex(Wrong, "of no instant"):
            self.judge(self.late)

    def test_a_write_answered_before_the_mark_must_be_in_it(self):
        with self.assertRaisesRegex(Wrong, "expected write 1"):
            self.record.judge({DISK: bytes(SIZE), OTHER: bytes(SIZE)})

    def test_a_write_after_the_mark_must_not_be_in_it(self):
        after = self.history.issue(DISK, 30 * BLOCK, BLOCK, False)
        with self.assertRaises(Wrong):
            self.judge(after)

    def test_a_part_of_a_write_is_seen(self):
        content = bytearray(self.base)
        content[16 * BLOCK : 17 * BLOCK] = self.early.data[:BLOCK]
        with self.assertRaisesRegex(Wrong, "only a part of write"):
            self.record.judge({DISK: bytes(content), OTHER: bytes(SIZE)})

    def test_a_mark_that_changes_is_seen(self):
        self.judge(self.early)
        self.record.judge({DISK: patched(self.base, self.early)})
        with self.assertRaisesRegex(Wrong, "has changed"):
            self.judge(self.early, self.late)

    def test_a_mark_holds_nothing_that_its_volume_lost(self):
        self.history.settle(DISK, patched(self.base, self.early))
        self.assertIs(self.overlapping.survived, False)
        with self.assertRaisesRegex(Wrong, "which its volume has lost"):
            self.judge(self.overlapping)

    def test_zeroes_that_may_have_been_there_before_prove_nothing(self):
        window = self.history.open_window([OTHER])
        self.history.answer(self.history.issue(OTHER, 32 * BLOCK, BLOCK, True))
        written = self.history.issue(OTHER, 40 * BLOCK, BLOCK, False)
        self.history.close_window(window)
        base = patched(bytes(SIZE), self.late)
        MarkRecord("n", [OTHER], window).judge({OTHER: patched(base, written)})


if __name__ == "__main__":
    unittest.main()
