"""Delivers messages by LMTP from several sessions at once, and keeps the ledger."""

import queue
import smtplib
import threading

SENDER = "load@sender.example"
SESSIONS = 4
TIMEOUT_S = 120


class Delivery:
    """A delivery in progress. `watch` is called with the count after each acknowledgement."""

    def __init__(self, port, messages, ledger, watch):
        self._port, self._ledger, self._watch = port, ledger, watch
        self._waiting = queue.SimpleQueue()
        for message in messages:
            self._waiting.put(message)
        self._failures = []
        self._threads = [threading.Thread(target=self._send_all, daemon=True) for _ in range(SESSIONS)]

    def start(self):
        """Begins."""
        for thread in self._threads:
            thread.start()

    def wait(self):
        """Until everything is delivered.

        Raises RuntimeError if the server refused or lost anything.
        """
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise RuntimeError(f"{len(self._failures)} deliveries failed, the first: {self._failures[0]}")

    def _send_all(self):
        try:
            with smtplib.LMTP("127.0.0.1", self._port, timeout=TIMEOUT_S) as session:
                while True:
                    try:
                        message = self._waiting.get_nowait()
                    except queue.Empty:
                        return
                    self._ledger.sent(message)
                    session.sendmail(SENDER, [message.recipient], message.content)
                    self._watch(self._ledger.acknowledged(message))
        except (OSError, smtplib.SMTPException) as error:
            self._failures.append(repr(error))
