#!/usr/bin/env python3
"""The mail test: real mail on a Tidemark volume is marked under load, damaged, and recovered.

usage: recovery.py --file-system ext4|xfs --layout maildir|mdbox|sdbox [--messages N] [--seed N] [--keep]

A volume is attached and mounted, a real Dovecot serves on it, mail is delivered over LMTP; a mark is taken under way.
Then a mailbox is deleted, a user's mail is removed, and the file system's superblock is overwritten. A view of the
mark, served by a second Dovecot, must hold every message that was acknowledged before the mark, byte for byte; so must
the volume after a rollback; and both file systems must check clean.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers"))

import dovecot
import messages
import verify
from appliance import Appliance, CommandFailed
from delivery import Delivery
from ledger import Ledger
from ports import free_port

VOLUME, MARK, VIEW = "mail", "monday", "recovered"
VOLUME_SIZE = "1G"
SUPERBLOCK_BYTES = 128 << 10
"""Overwritten at the start: the first superblock of ext4, superblock and first headers of XFS."""
MARK_AFTER = 0.6
"""The share of the messages that is acknowledged when the mark is asked for."""

MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
CHECK = {"ext4": ["e2fsck", "-f", "-n"], "xfs": ["xfs_repair", "-n"]}


class Failed(Exception):
    """The test found something wrong."""


class MailTest:
    """One run, in one scratch folder."""

    def __init__(self, arguments, scratch):
        self.file_system, self.layout = arguments.file_system, arguments.layout
        self.count, self.seed = arguments.messages, arguments.seed
        self.scratch = pathlib.Path(scratch)
        self.appliance = Appliance(self.scratch / "appliance")
        self.ledger = Ledger(self.scratch / "ledger.jsonl")
        self.servers, self.attached = [], []
        self.mark_started_s = self.mark_ended_s = None

    def run(self):
        """The whole story."""
        self.appliance.start()
        self.appliance.run("volume", "create", VOLUME, "--size", VOLUME_SIZE)
        self.format()
        self.deliver_and_mark()
        self.damage()
        self.recover_from_a_view()
        self.recover_by_rollback()
        say("scrub finds nothing")
        self.appliance.run("scrub", VOLUME)
        if self.appliance.stop() != 0:
            raise Failed("the daemon did not stop in an orderly way")

    # ---------------------------------------------------------------- steps

    def format(self):
        """A file system on the attached volume."""
        device = self.attach(VOLUME)
        subprocess.run([*MAKE[self.file_system], device], check=True)
        self.detach(VOLUME)

    def deliver_and_mark(self):
        """Delivers everything and takes the mark in the middle of it, while deliveries go on."""
        server = self.serve(VOLUME, "live")
        is_due = threading.Event()
        due_count = int(self.count * MARK_AFTER)
        generated = list(messages.generate(self.count, self.seed))
        size = sum(len(message.content) for message in generated)
        delivery = Delivery(server.lmtp_port, generated, self.ledger, lambda count: count >= due_count and is_due.set())
        started_s = time.monotonic()
        delivery.start()
        if not is_due.wait(600):
            raise Failed("the deliveries do not get on")
        self.mark_started_s = time.monotonic()
        self.appliance.run("mark", "take", VOLUME, "--name", MARK)
        self.mark_ended_s = time.monotonic()
        delivery.wait()
        seconds = time.monotonic() - started_s
        before, after = len(self.ledger.before(self.mark_started_s)), len(self.ledger.after(self.mark_ended_s))
        say(
            f"{self.count} messages ({size >> 20} MiB) acknowledged in {seconds:.1f} s; "
            f"{before} before the mark, which took {1000 * (self.mark_ended_s - self.mark_started_s):.0f} ms, "
            f"{self.count - before - after} around it, {after} after it"
        )
        if before == 0 or after == 0:
            raise Failed("the mark was not taken under load")
        everything = verify.compare(server, self.ledger, float("inf"), float("inf"))
        self.expect_clean(everything, "the live server")

    def damage(self):
        """Deletes a mailbox, removes a user's mail, and overwrites the superblock."""
        server = self.servers[-1]
        server.administer("mailbox", "delete", "-u", messages.FOLDER_USER, "-s", messages.FOLDER)
        shutil.rmtree(server.root / messages.USERS[0])
        os.sync()
        self.retire(VOLUME)
        device = self.attach(VOLUME)
        with open(device, "r+b", buffering=0) as disk:
            disk.write(os.urandom(SUPERBLOCK_BYTES))
            os.fsync(disk.fileno())
        self.detach(VOLUME)
        try:
            self.attach(VOLUME, mounted_as="ruined")
        except CommandFailed:
            say("the damaged volume does not mount any more")
        else:
            raise Failed("the damaged volume still mounts: the damage was none")

    def recover_from_a_view(self):
        """Every message that was acknowledged before the mark, out of a view of it."""
        started_s = time.monotonic()
        self.appliance.run("view", "create", VIEW, f"{VOLUME}@{MARK}")
        self.find_everything(f"view/{VIEW}", "view")
        say(f"view: created, served and compared in {time.monotonic() - started_s:.1f} s")
        self.lose_one_on_purpose()
        self.retire(f"view/{VIEW}")
        self.expect_sound(f"view/{VIEW}")
        self.appliance.run("view", "rm", VIEW)

    def lose_one_on_purpose(self):
        """The comparison must see that a message is gone; and writes to a view must not reach the mark."""
        server = self.servers[-1]
        victim = next(user for user in messages.USERS if user != messages.FOLDER_USER)
        session = server.log_in(victim)
        session.select("INBOX")
        session.store("1", "+FLAGS", "\\Deleted")
        session.expunge()
        session.logout()
        findings = verify.compare(server, self.ledger, self.mark_started_s, self.mark_ended_s)
        if len(findings.lost) != 1:
            raise Failed(f"a message that was expunged in the view is not missed: {findings}")

    def recover_by_rollback(self):
        """The volume itself, back at the mark."""
        self.appliance.run("rollback", f"{VOLUME}@{MARK}")
        self.find_everything(VOLUME, "rollback")
        self.retire(VOLUME)
        self.expect_sound(VOLUME)

    # ---------------------------------------------------------------- parts

    def find_everything(self, disk, name):
        """Serves a disk and compares it with the ledger."""
        server = self.serve(disk, name)
        findings = verify.compare(server, self.ledger, self.mark_started_s, self.mark_ended_s)
        self.expect_clean(findings, name)

    def expect_clean(self, findings, name):
        """Says what was found; fails unless it is all there."""
        say(f"{name}: {findings}")
        if not findings.is_clean():
            raise Failed(f"{name}: {findings}\n{self.servers[-1].log_end()}")

    def expect_sound(self, disk):
        """The file system's own check must find nothing."""
        device = self.attach(disk)
        check = subprocess.run(
            [*CHECK[self.file_system], device], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.detach(disk)
        if check.returncode != 0:
            raise Failed(f"the check of {disk} finds:\n{check.stdout[-2000:]}")
        say(f"the check of {disk} finds nothing")

    def serve(self, disk, name):
        """Attaches, mounts and serves a disk."""
        mount = self.scratch / name
        self.attach(disk, mounted_as=name)
        dovecot.remove_stale_locks(mount)
        server = dovecot.Dovecot(self.scratch / f"{name}.run", mount / "mail", self.layout, (free_port(), free_port()))
        self.servers.append(server)
        return server.start()

    def retire(self, disk):
        """Ends the newest server and detaches its disk."""
        self.servers.pop().stop()
        self.detach(disk)

    def attach(self, disk, mounted_as=None):
        """Attaches a disk; the path of the block device."""
        options = ["--mount", str(self.scratch / mounted_as)] if mounted_as else []
        answer = self.appliance.run_json("attach", disk, *options)
        self.attached.append(disk)
        return answer["device"]

    def detach(self, disk):
        """Detaches it."""
        self.appliance.run("detach", disk)
        self.attached.remove(disk)

    def clean_up(self):
        """Ends whatever still runs, in any state."""
        for server in self.servers:
            server.stop()
        if self.appliance.is_running():
            for disk in reversed(self.attached):
                try:
                    self.appliance.run("detach", disk)
                except (CommandFailed, subprocess.TimeoutExpired) as error:
                    say(f"note: {error}")
            self.appliance.stop()
        self.ledger.close()
        release_below(self.scratch)


def release_below(folder):
    """Unmounts what is mounted below a folder, and frees loop devices whose file is there."""
    mounts = [
        re.sub(r"\\([0-7]{3})", lambda code: chr(int(code.group(1), 8)), line.split()[4])
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    ]
    below = sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), key=len, reverse=True)
    for loop in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if loop.read_text().startswith(f"{folder}/"):
                subprocess.run(["losetup", "-d", f"/dev/{loop.parts[3]}"], check=False)
        except OSError:
            pass
    for mount in below:
        subprocess.run(["umount", "-l", mount], check=False)


def say(text):
    """A line of the report."""
    print(text, flush=True)


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file-system", choices=sorted(MAKE), required=True)
    parser.add_argument("--layout", choices=sorted(dovecot.LOCATIONS), required=True)
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the scratch folder")
    return parser.parse_args()


def main():
    """Runs one story; the exit status."""
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scratch = tempfile.mkdtemp(prefix="tidemark-mail.")
    os.chmod(scratch, 0o755)
    test = MailTest(arguments, scratch)
    try:
        test.run()
        return 0
    except (Failed, CommandFailed, RuntimeError, OSError, subprocess.SubprocessError) as error:
        say(f"FAILED: {error}")
        if test.appliance.log_path.exists():
            say(f"the end of the daemon's log:\n{test.appliance.log_end()}")
        return 1
    finally:
        test.clean_up()
        if arguments.keep:
            say(f"kept {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
