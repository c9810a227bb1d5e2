#!/usr/bin/env python3
"""Kills a real daemon under load, again and again, and judges what it holds afterwards.

usage: oracle.py [--door nbd|iscsi] [--rounds N] [--seed N] [--size MIB] [--keep]

Each round: sessions on that door write, read and flush on two volumes and a view, while marks and views come and go
through the command line; then SIGKILL, at a random moment or within a command; sometimes again during recovery,
sometimes SIGTERM instead. After the restart everything that was answered must be there: each write, each mark with the
content of one instant, each view; nothing that was removed may be back, and of what was under way only a whole or
nothing.

The seed is printed; it decides what is asked, the machine decides when.
"""

import argparse
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import nbd_client
from administrator import REFUSED, Administrator, Books
from appliance import Appliance, CommandFailed
from doors import DOORS
from history import History, Wrong
from load import Load
from session import Refused

VOLUMES = ("alpha", "beta")
SESSIONS_PER_VOLUME = 2
ROUND_S_MIN, ROUND_S_MAX = 0.05, 0.9
ORDERLY_SHARE, AIMED_SHARE, RECOVERY_KILL_SHARE, ROLLBACK_SHARE = 0.12, 0.4, 0.2, 0.2
JOURNAL_SIZE = "64M"
"""Small, so that it goes round many times and is applied under the load."""
MARKS_JUDGED_PER_ROUND = 4
SCRUB_EVERY = 10
OWN_MARK = re.compile(r"@m[0-9a-f]{12}$")
"""The marks that the administrator takes; the daemon takes some by itself, before a rollback."""


class Oracle:
    """The daemon, the load, and the books about both."""

    def __init__(self, scratch, door, seed, size):
        self.chance = random.Random(seed)
        self.socket = scratch / "nbd"
        self.appliance = Appliance(scratch / "state", nbd_socket=self.socket)
        self.appliance.state.mkdir(mode=0o700)
        (self.appliance.state / "tidemark.toml").write_text(f'[pool]\njournal_size = "{JOURNAL_SIZE}"\n')
        self.door = DOORS[door](self.appliance)
        self.history, self.books = History(), Books()
        self.size = size
        self.counts = dict.fromkeys(
            ("requests", "commands", "marks judged", "kills", "kills in recovery", "orderly ends", "rollbacks"), 0
        )

    def prepare(self):
        """A pool with two empty volumes."""
        self.appliance.start()
        for name in VOLUMES:
            self.appliance.run("volume", "create", name, "--size", f"{self.size >> 20}M")
            self.history.add(name, bytes(self.size))
        self.door.open(VOLUMES)

    def round(self, number):
        """One load, one end, one judgement."""
        if self.chance.random() < ROLLBACK_SHARE:
            self.roll_back()
        self.load_and_end()
        self.restart()
        self.judge(everything=number % SCRUB_EVERY == 0)

    # ---------------------------------------------------------------- load

    def load_and_end(self):
        """Load on everything, and the daemon's end in the middle of it."""
        chance, books = self.chance, self.books
        books.loaded_view = chance.choice(sorted(books.views)) if books.views else None
        disks = [name for name in VOLUMES for _ in range(SESSIONS_PER_VOLUME)]
        if books.loaded_view:
            disks.append(f"view/{books.loaded_view}")
        self.door.serve(f"view/{books.loaded_view}" if books.loaded_view else None)
        loads = [Load(self.door.session(disk), disk, self.history, chance.getrandbits(64)) for disk in disks]
        administrator = Administrator(self.appliance, self.history, books, list(VOLUMES), chance.getrandbits(64))
        time.sleep(chance.uniform(ROUND_S_MIN, ROUND_S_MAX))
        if chance.random() < AIMED_SHARE:
            administrator.has_begun.clear()
            administrator.has_begun.wait(5)
            time.sleep(chance.uniform(0, 0.06))
        died_by_itself = not self.appliance.is_running()
        administrator.stop()
        if chance.random() < ORDERLY_SHARE:
            self.counts["orderly ends"] += 1
            status = self.appliance.stop()
            if status != 0:
                raise Wrong(f"SIGTERM under load: the daemon ended with status {status}")
        else:
            self.counts["kills"] += 1
            self.appliance.kill()
        for load in loads:
            load.join()
        administrator.join()
        self.counts["requests"] += sum(load.answered for load in loads)
        self.counts["commands"] += administrator.answered
        failures = administrator.failures + [failure for load in loads for failure in load.failures]
        if died_by_itself:
            failures.insert(0, "the daemon ended by itself")
        if failures:
            raise Wrong("; ".join(failures[:3]))

    def roll_back(self):
        """A volume back to one of its marks; the copying goes on in the background and is killed with the rest."""
        records = [record for record in self.books.marks.values() if record.window is None]
        if not records:
            return
        record = self.chance.choice(records)
        name = self.chance.choice(record.disks)
        content = nbd_client.read_export(self.socket, f"{name}@{record.name}")
        if not self.try_to_run("rollback", f"{name}@{record.name}"):
            return
        self.history.replace(name, content)
        self.counts["rollbacks"] += 1

    def restart(self):
        """Starts again, sometimes only at the second attempt."""
        while self.chance.random() < RECOVERY_KILL_SHARE:
            self.appliance.start_without_waiting()
            time.sleep(self.chance.uniform(0, 0.3))
            self.appliance.kill()
            self.counts["kills in recovery"] += 1
        self.appliance.start()

    # ---------------------------------------------------------------- judgement

    def judge(self, everything):
        """Everything that exists against the books."""
        exports = set(nbd_client.list_exports(self.socket))
        self.judge_existence(exports)
        for name in VOLUMES:
            self.history.settle(name, self.door.content(name))
        self.judge_marks(everything)
        self.judge_views()
        self.remove_marks_of_rollbacks(exports)
        if everything:
            for name in VOLUMES:
                self.appliance.run("scrub", name)

    def judge_existence(self, exports):
        """What was answered exists, what is gone stays gone, and no mark of a group is there without the others."""
        books = self.books
        for name in VOLUMES:
            if name not in exports:
                raise Wrong(f"volume {name} is gone")
            listed = {f"{name}@{mark['name']}" for mark in self.appliance.run_json("mark", "ls", name)}
            served = {export for export in exports if export.startswith(f"{name}@")}
            if listed != served:
                raise Wrong(f"`mark ls {name}` and the exports differ by {sorted(listed ^ served)}")
        for record in books.marks.values():
            missing = set(record.exports()) - exports
            if missing:
                raise Wrong(f"answered marks are gone: {sorted(missing)}")
        for name, record in list(books.marks_uncertain.items()):
            self.settle_mark(name, record, exports)
        for name in books.views:
            if f"view/{name}" not in exports:
                raise Wrong(f"view {name} was answered and is gone")
        for name, origin in books.views_uncertain.items():
            if f"view/{name}" in exports:
                books.views[name] = origin
            else:
                self.history.remove(f"view/{name}")
        books.views_uncertain.clear()
        self.forbid_strangers(exports)

    def settle_mark(self, name, record, exports):
        """A mark that was being taken, or being removed, at the end."""
        books = self.books
        present = [disk for disk in record.disks if f"{disk}@{name}" in exports]
        if not record.is_answered and 0 < len(present) < len(record.disks):
            raise Wrong(f"mark {name} is there on {present} only, not on all of {list(record.disks)}")
        del books.marks_uncertain[name]
        if present:
            record.keep(present)
            books.marks[name] = record

    def forbid_strangers(self, exports):
        """Nothing exists that was never asked for, or was removed."""
        books = self.books
        known = {export for record in books.marks.values() for export in record.exports()}
        ours = {export for export in exports if OWN_MARK.search(export)}
        if ours - known:
            raise Wrong(f"removed marks are back: {sorted(ours - known)}")
        views = {export for export in exports if export.startswith("view/") and "@" not in export}
        strangers = views - {f"view/{name}" for name in books.views}
        if strangers:
            raise Wrong(f"removed views are back: {sorted(strangers)}")

    def judge_marks(self, everything):
        """All new marks, and some or all of the old ones."""
        new = [record for record in self.books.marks.values() if not record.digests]
        old = [record for record in self.books.marks.values() if record.digests]
        if not everything:
            old = self.chance.sample(old, min(len(old), MARKS_JUDGED_PER_ROUND))
        for record in new + old:
            contents = {disk: nbd_client.read_export(self.socket, f"{disk}@{record.name}") for disk in record.disks}
            record.judge(contents)
            self.counts["marks judged"] += len(contents)

    def judge_views(self):
        """New views hold their mark's content; the others what was answered."""
        for name, (disk, mark) in self.books.views.items():
            export = f"view/{name}"
            content = self.door.content(export)
            if export in self.history.disks:
                self.history.settle(export, content)
            else:
                self.books.marks[mark].judge_one(disk, content, export)
                self.history.add(export, content)

    def remove_marks_of_rollbacks(self, exports):
        """Marks that the daemon took by itself before a rollback; some are kept, so that they grow old too."""
        for name in VOLUMES:
            marks = sorted(export for export in exports if export.startswith(f"{name}@"))
            for export in [mark for mark in marks if not OWN_MARK.search(mark)][:-2]:
                self.try_to_run("mark", "rm", export)

    def try_to_run(self, *arguments):
        """Whether a command was done; it may be refused while an earlier rollback is still being copied."""
        try:
            self.appliance.run(*arguments)
        except CommandFailed as error:
            if error.status != REFUSED:
                raise
            return False
        return True


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--door", choices=sorted(DOORS), default="nbd")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--size", type=int, default=16, help="MiB of each volume")
    parser.add_argument("--keep", action="store_true", help="keep the state directory after a failure")
    return parser.parse_args()


def main():
    """Runs the rounds; the exit status."""
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-kill."))
    oracle = Oracle(scratch, arguments.door, arguments.seed, arguments.size << 20)
    print(f"{arguments.door}, seed {arguments.seed}, {arguments.rounds} rounds", flush=True)
    number, started_s, is_good = 0, time.monotonic(), False
    try:
        oracle.prepare()
        for number in range(1, arguments.rounds + 1):
            oracle.round(number)
        oracle.judge(everything=True)
        is_good = True
    except (Wrong, CommandFailed, Refused, RuntimeError, OSError, EOFError) as error:
        print(f"FAILED in round {number} of seed {arguments.seed}: {error}")
        print(f"the end of the daemon's log:\n{oracle.appliance.log_end()}")
    finally:
        oracle.appliance.kill()
        if is_good or not arguments.keep:
            shutil.rmtree(scratch, ignore_errors=True)
        else:
            print(f"kept {scratch}")
    told = ", ".join(f"{count} {what}" for what, count in oracle.counts.items())
    run = f"{arguments.door}, seed {arguments.seed}: {number} rounds in {time.monotonic() - started_s:.0f} s"
    print(f"result: {run}: {told}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
