"""Sessions that write, read and flush at random until the daemon is gone or they are told to stop."""

import random
import socket
import threading
import time

from history import BLOCK, SECTOR, Wrong, difference
from session import Refused

DEPTH = 16
READ_SHARE, ZEROES_SHARE, FLUSH_SHARE = 0.15, 0.05, 0.02
FUA_SHARE = 0.1
LENGTHS = (SECTOR, BLOCK, BLOCK, BLOCK, 2 * BLOCK, 16 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10)


class Load:
    """One session on one disk: a thread that sends and a thread that takes answers."""

    def __init__(self, session, disk, history, seed):
        self._session = session
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

    def finish(self):
        """Sends nothing more, waits for the answers to what was sent, and hangs up."""
        self.stop()
        sender, receiver = self._threads
        sender.join()
        while self._requests and receiver.is_alive():
            time.sleep(0.002)
        self._session.socket.shutdown(socket.SHUT_RDWR)
        receiver.join()
        self._session.socket.close()

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
        except (Wrong, Refused) as error:
            self.failures.append(str(error))
            self.stop()

    def _send(self):
        while True:
            self._slots.acquire()
            if self._is_stopping.is_set():
                return
            if not self._send_one():
                self._slots.release()

    def _send_one(self):
        """Sends a request, entered under its cookie; not if its blocks are taken."""
        session, chance, kind = self._session, self._chance, self._chance.random()
        self._cookie += 1
        if kind < FLUSH_SHARE:
            self._requests[self._cookie] = None
            session.flush(self._cookie)
            return True
        length = chance.choice(LENGTHS)
        unit = SECTOR if length == SECTOR else BLOCK
        offset = chance.randrange(0, (session.size - length) // unit + 1) * unit
        if kind < FLUSH_SHARE + READ_SHARE:
            expected = self._history.begin_read(self._disk, offset, length)
            if expected is None:
                return False
            self._requests[self._cookie] = (offset, expected)
            session.read(self._cookie, offset, length)
            return True
        is_zeroes = kind < FLUSH_SHARE + READ_SHARE + ZEROES_SHARE
        write = self._history.issue(self._disk, offset, length, is_zeroes)
        if write is None:
            return False
        self._requests[self._cookie] = write
        if is_zeroes:
            session.zero(self._cookie, offset, length, may_unmap=chance.random() < 0.5)
        else:
            session.write(self._cookie, offset, write.data, is_durable=chance.random() < FUA_SHARE)
        return True

    def _receive(self):
        while True:
            reply = self._session.receive_reply()
            request = self._requests.pop(reply.cookie)
            if reply.error:
                # An answer that the daemon is going away is none; anything else is a failure.
                if not reply.is_ending:
                    raise Wrong(f"{self._disk}: a request failed: {reply.error}")
            elif isinstance(request, tuple):
                offset, expected = request
                if reply.data != expected:
                    what = f"{self._disk}: a read of {len(expected)} bytes at {offset} under load"
                    raise Wrong(f"{what}: {difference(expected, reply.data, offset)}")
                self._history.end_read(self._disk, offset, len(expected))
            elif request is not None:
                self._history.answer(request)
            self.answered += 1
            self._slots.release()
