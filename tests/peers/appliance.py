"""A real daemon in a scratch state directory, for the suites that are written in Python.

It starts the programs as anybody would: `tidemarkd --state DIR --nbd ... --iscsi ...`, `tidemark --state DIR COMMAND`.
Nothing here knows anything else of the project.
"""

import json
import os
import pathlib
import select
import signal
import subprocess

from ports import free_port

PROJECT = pathlib.Path(__file__).resolve().parents[2]
READY_S_MAX = 60
STOP_S_MAX = 60
COMMAND_S_MAX = 300


class CommandFailed(Exception):
    """A command of the command line ended with another status than 0."""

    def __init__(self, arguments, status, output):
        super().__init__(f"tidemark {' '.join(arguments)}: status {status}: {output.strip()}")
        self.status = status


def program(name):
    """The path of one of the project's programs."""
    folder = pathlib.Path(os.environ.get("TIDEMARK_BIN") or PROJECT / "target/debug")
    path = (folder / name).resolve()
    if not os.access(path, os.X_OK):
        raise SystemExit(f"{path} is missing: build the project first")
    return str(path)


class Appliance:
    """The daemon on one state directory. Its log is beside the directory, all runs in one file."""

    def __init__(self, state, nbd_socket=None):
        self.state = pathlib.Path(state)
        self.nbd_socket = nbd_socket
        self.iscsi_port = free_port()
        self.log_path = self.state.with_name(self.state.name + ".log")
        self.daemon = None

    def start_without_waiting(self):
        """Starts the daemon."""
        door = f"unix:{self.nbd_socket}" if self.nbd_socket else f"127.0.0.1:{free_port()}"
        with open(self.log_path, "ab") as log:
            self.daemon = subprocess.Popen(
                [
                    *(program("tidemarkd"), "--state", str(self.state)),
                    # The iSCSI door is on the same port at each start.
                    *("--nbd", door, "--iscsi", f"127.0.0.1:{self.iscsi_port}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def start(self):
        """Starts the daemon and waits until it says that it is ready."""
        self.start_without_waiting()
        readable, _, _ = select.select([self.daemon.stdout], [], [], READY_S_MAX)
        if not readable or not self.daemon.stdout.readline():
            self.kill()
            raise RuntimeError(f"tidemarkd did not become ready; the end of its log:\n{self.log_end()}")
        return self

    def is_running(self):
        """Whether the daemon has neither ended nor been ended."""
        return self.daemon is not None and self.daemon.poll() is None

    def kill(self):
        """SIGKILL, and waits for the end."""
        if self.daemon:
            self.daemon.kill()
            self.daemon.wait()
            self.daemon.stdout.close()
            self.daemon = None

    def stop(self):
        """SIGTERM, and waits for the orderly end; its exit status."""
        if not self.daemon:
            return 0
        self.daemon.terminate()
        try:
            status = self.daemon.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL
        self.daemon.stdout.close()
        self.daemon = None
        return status

    def run(self, *arguments):
        """One command; its standard output.

        Raises CommandFailed with what it said if its status is not 0.
        """
        done = subprocess.run(
            [program("tidemark"), "--state", str(self.state), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_S_MAX,
            text=True,
        )
        if done.returncode != 0:
            raise CommandFailed(arguments, done.returncode, done.stderr + done.stdout)
        return done.stdout

    def run_json(self, *arguments):
        """One command with --json; what it answered."""
        return json.loads(self.run(*arguments, "--json"))

    def log_end(self, count=20):
        """The last lines of the log."""
        with open(self.log_path, errors="replace") as log:
            return "".join(log.readlines()[-count:])
