"""What was sent, when it was acknowledged, and what a store must therefore hold."""

import dataclasses
import json
import threading
import time


@dataclasses.dataclass
class Entry:
    """One message; times are of the monotonic clock, acknowledged_s is None until the server took it."""

    user: str
    folder: str
    message_id: str
    digest: str
    length: int
    sent_s: float
    acknowledged_s: float = None


class Ledger:
    """Entries by message id, kept in memory and line by line in a file."""

    def __init__(self, path):
        self.entries = {}
        self._lock = threading.Lock()
        self._file = path.open("w", encoding="utf-8")

    def sent(self, message):
        """Call before the first byte goes out."""
        entry = Entry(
            message.user,
            message.folder,
            message.identifier,
            message.digest,
            len(message.content),
            time.monotonic(),
        )
        with self._lock:
            self.entries[message.identifier] = entry

    def acknowledged(self, message):
        """Call when the server has answered 250; how many have been by now."""
        now = time.monotonic()
        with self._lock:
            entry = self.entries[message.identifier]
            entry.acknowledged_s = now
            self._file.write(json.dumps(dataclasses.asdict(entry)) + "\n")
            self._file.flush()
            return sum(1 for other in self.entries.values() if other.acknowledged_s is not None)

    def before(self, instant_s):
        """Everything that was acknowledged before that instant."""
        return {
            key: entry
            for key, entry in self.entries.items()
            if entry.acknowledged_s is not None and entry.acknowledged_s < instant_s
        }

    def after(self, instant_s):
        """Everything of which nothing was sent before that instant."""
        return {key: entry for key, entry in self.entries.items() if entry.sent_s > instant_s}

    def close(self):
        """Closes the file."""
        self._file.close()
