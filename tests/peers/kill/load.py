"""Sessions that write, read and flush at random until the daemon is gone or they are told to stop."""

import random
import threading

import nbd_client
from history import BLOCK, SECTOR, Wrong, difference

DEPTH = 16
READ_SHARE, ZEROES_SHARE, FLUSH_SHARE = 0.15, 0.05, 0.02
FUA_SHARE = 0.1
LENGTHS = (SECTOR, BLOCK, BLOCK, BLOCK, 2 * BLOCK, 16 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10)


class Load:
    """One session on one disk: a thread that sends and a thread that takes answers."""

    def __init__(self, path, disk, history, seed):
        self._session = nbd_client.Session(path, disk)
        self._disk, self._history, self._chance = disk, history, random.Random(seed)
        self._slots = threading.Semaphore(DEPTH)
        self._requests, self._cookie = {}, 0
        self._is_stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._guard, args=(work,), daemon=True) for work in (self._send, self._receive)
        ]
        self.failures = []
        self.answered = 0
        for thread in self._threads:
            thread.start()

    def stop(self):
        """Sends nothing more; what is in flight is still answered."""
        self._is_stopping.set()
        self._slots.release()

    def join(self):
        """Waits for the end, which comes with the daemon's."""
        for thread in self._threads:
            thread.join()
        self._session.close()

    def _guard(self, work):
        try:
            work()
        except (EOFError, OSError):
            self.stop()
        except (Wrong, nbd_client.Refused) as error:
            self.failures.append(str(error))
            self.stop()

    def _send(self):
        while True:
            self._slots.acquire()
            if self._is_stopping.is_set():
                return
            request = self._choose()
            if request is None:
                self._slots.release()
                continue
            command, offset, length, payload, flags = request
            self._session.send(command, self._cookie, offset, length, payload, flags)

    def _choose(self):
        """The next request, entered under its cookie; None if its blocks are taken."""
        chance, kind = self._chance, self._chance.random()
        self._cookie += 1
        if kind < FLUSH_SHARE:
            self._requests[self._cookie] = None
            return nbd_client.FLUSH, 0, 0, b"", 0
        length = chance.choice(LENGTHS)
        unit = SECTOR if length == SECTOR else BLOCK
        offset = chance.randrange(0, (self._session.size - length) // unit + 1) * unit
        if kind < FLUSH_SHARE + READ_SHARE:
            expected = self._history.begin_read(self._disk, offset, length)
            if expected is None:
                return None
            self._requests[self._cookie] = (offset, expected)
            return nbd_client.READ, offset, length, b"", 0
        is_zeroes = kind < FLUSH_SHARE + READ_SHARE + ZEROES_SHARE
        write = self._history.issue(self._disk, offset, length, is_zeroes)
        if write is None:
            return None
        self._requests[self._cookie] = write
        flags = nbd_client.FUA if chance.random() < FUA_SHARE else 0
        if is_zeroes:
            if chance.random() < 0.5:
                flags |= nbd_client.NO_HOLE
            return nbd_client.WRITE_ZEROES, offset, length, b"", flags
        return nbd_client.WRITE, offset, length, write.data, flags

    def _receive(self):
        while True:
            cookie, error = self._session.receive_reply()
            request = self._requests.pop(cookie)
            if error:
                # An answer that the daemon is going away is none; anything else is a failure.
                if error != nbd_client.ESHUTDOWN:
                    raise Wrong(f"{self._disk}: a request failed with error {error}")
            elif isinstance(request, tuple):
                offset, expected = request
                content = self._session.receive(len(expected))
                if content != expected:
                    what = f"{self._disk}: a read of {len(expected)} bytes at {offset} under load"
                    raise Wrong(f"{what}: {difference(expected, content, offset)}")
                self._history.end_read(self._disk, offset, len(expected))
            elif request is not None:
                self._history.answer(request)
            self.answered += 1
            self._slots.release()
