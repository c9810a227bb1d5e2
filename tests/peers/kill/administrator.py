"""Takes and removes marks and views through the command line, at random, while the load runs."""

import random
import threading
import time

from appliance import CommandFailed
from marks import MarkRecord

MARKS_MAX = 10
VIEWS_MAX = 3
PAUSE_S_MAX = 0.05
REFUSED = 4
"""The exit status of a command that may not be done now, such as the removal of a mark that a rollback still needs."""


class Books:
    """What exists, as far as answers tell; what was asked for without an answer is in the uncertain ones."""

    def __init__(self):
        self.marks = {}
        self.views = {}
        """View name: (disk, mark) that it was made of."""
        self.marks_uncertain = {}
        self.views_uncertain = {}
        self.loaded_view = None
        """The view that the load is on; it is not removed meanwhile."""

    def marks_in_use(self):
        """The names of marks that a view stands on."""
        stands_on = [*self.views.values(), *self.views_uncertain.values()]
        return {mark for _, mark in stands_on}


class Administrator:
    """A thread that gives one command after the other; `has_begun` is set at each command's begin."""

    def __init__(self, appliance, history, books, volumes, seed):
        self._appliance, self._history, self._books = appliance, history, books
        self._volumes, self._chance = volumes, random.Random(seed)
        self._is_stopping = threading.Event()
        self._was_refused = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.has_begun = threading.Event()
        self.failures = []
        self.answered = 0
        self._thread.start()

    def stop(self):
        """After the command under way, no other; call it before the daemon is ended."""
        self._is_stopping.set()

    def join(self):
        """Waits for the command under way."""
        self._thread.join()

    def _work(self):
        while not self._is_stopping.is_set():
            time.sleep(self._chance.uniform(0, PAUSE_S_MAX))
            command = self._chance.choices(
                (self._take_mark, self._remove_mark, self._create_view, self._remove_view), (6, 3, 2, 2)
            )[0]
            command()

    def _run(self, *arguments, may_be_refused=False):
        """Whether the command was answered well; another failure than the daemon's end is kept."""
        self.has_begun.set()
        self._was_refused = False
        try:
            self._appliance.run(*arguments)
        except CommandFailed as error:
            self._was_refused = may_be_refused and error.status == REFUSED
            if not self._was_refused and not self._is_stopping.is_set():
                self.failures.append(str(error))
            return False
        self.answered += 1
        return True

    def _take_mark(self):
        books = self._books
        if len(books.marks) >= MARKS_MAX or self._is_stopping.is_set():
            return
        count = self._chance.choice((1, len(self._volumes)))
        disks = sorted(self._chance.sample(self._volumes, count))
        name = f"m{self._chance.getrandbits(48):012x}"
        window = self._history.open_window(disks)
        record = MarkRecord(name, disks, window)
        books.marks_uncertain[name] = record
        is_answered = self._run("mark", "take", ",".join(disks), "--name", name)
        self._history.close_window(window)
        if is_answered:
            record.is_answered = True
            books.marks[name] = books.marks_uncertain.pop(name)

    def _remove_mark(self):
        books = self._books
        free = sorted(set(books.marks) - books.marks_in_use())
        if len(free) < 2:
            return
        name = self._chance.choice(free)
        record = books.marks_uncertain[name] = books.marks.pop(name)
        while record.disks:
            if not self._run("mark", "rm", record.exports()[0], may_be_refused=True):
                if self._was_refused:
                    books.marks[name] = books.marks_uncertain.pop(name)
                return
            record.keep(record.disks[1:])
        del books.marks_uncertain[name]

    def _create_view(self):
        books = self._books
        if len(books.views) >= VIEWS_MAX or not books.marks:
            return
        mark = books.marks[self._chance.choice(sorted(books.marks))]
        disk = self._chance.choice(mark.disks)
        name = f"v{self._chance.getrandbits(48):012x}"
        books.views_uncertain[name] = (disk, mark.name)
        if self._run("view", "create", name, f"{disk}@{mark.name}"):
            books.views[name] = books.views_uncertain.pop(name)

    def _remove_view(self):
        books = self._books
        free = sorted(set(books.views) - {books.loaded_view})
        if not free:
            return
        name = self._chance.choice(free)
        books.views_uncertain[name] = books.views.pop(name)
        if self._run("view", "rm", name):
            del books.views_uncertain[name]
            self._history.remove(f"view/{name}")
