"""A private Dovecot: its own configuration, run folder and loopback ports; knows nothing of one that the host runs."""

import contextlib
import imaplib
import os
import pathlib
import shutil
import signal
import subprocess
import time

START_S_MAX = 30
STOP_S_MAX = 20
PASSWORD = "pw"
MAIL_UID = 5000

LOCATIONS = {
    "maildir": "maildir:~/Maildir",
    "mdbox": "mdbox:~/mdbox",
    "sdbox": "sdbox:~/sdbox",
}

CONFIGURATION = """\
base_dir = {run}/base
state_dir = {run}/state
log_path = {run}/dovecot.log
listen = 127.0.0.1
protocols = imap lmtp
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
first_valid_uid = 1
mail_location = {location}
# A delivery is answered only when it is stable.
mail_fsync = always
recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
lda_mailbox_autocreate = yes
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={uid} home={root}/%u allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp_port}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


class Dovecot:
    """One instance on the mail below `root`, in the format `layout`; its own files are in `run`."""

    def __init__(self, run, root, layout, ports):
        self.run, self.root = pathlib.Path(run), pathlib.Path(root)
        self.imap_port, self.lmtp_port = ports
        self.configuration = self.run / "dovecot.conf"
        self.master = None
        (self.run / "base").mkdir(parents=True)
        (self.run / "state").mkdir()
        self.configuration.write_text(
            CONFIGURATION.format(
                run=self.run,
                root=self.root,
                location=LOCATIONS[layout],
                password=PASSWORD,
                uid=MAIL_UID,
                imap_port=self.imap_port,
                lmtp_port=self.lmtp_port,
            )
        )

    def start(self):
        """Starts it and waits until IMAP answers."""
        self.root.mkdir(exist_ok=True)
        os.chown(self.root, MAIL_UID, MAIL_UID)
        self.master = subprocess.Popen(["dovecot", "-F", "-c", self.configuration], stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S_MAX
        while True:
            try:
                imaplib.IMAP4("127.0.0.1", self.imap_port).logout()
                return self
            except (OSError, imaplib.IMAP4.error):
                if time.monotonic() > deadline or self.master.poll() is not None:
                    raise RuntimeError(f"dovecot did not start:\n{self.log_end()}") from None
                time.sleep(0.05)

    def stop(self):
        """Ends it and everything that it started."""
        if self.master is None:
            return
        children = _children(self.master.pid)
        self.master.terminate()
        deadline = time.monotonic() + STOP_S_MAX
        while self.master.poll() is None or any(map(_is_alive, children)):
            if time.monotonic() > deadline:
                self.master.kill()
                _kill(children)
                self.master.wait()
                break
            time.sleep(0.05)
        self.master = None

    def administer(self, *arguments):
        """One doveadm command."""
        subprocess.run(["doveadm", "-c", self.configuration, *arguments], check=True)

    def log_in(self, user):
        """An IMAP session of this user."""
        session = imaplib.IMAP4("127.0.0.1", self.imap_port)
        session.login(user, PASSWORD)
        return session

    def log_end(self, count=15):
        """The last lines of the log."""
        try:
            return "\n".join((self.run / "dovecot.log").read_text(errors="replace").splitlines()[-count:])
        except OSError:
            return "(no log)"


def is_installed():
    """Whether this host can run it."""
    return all(shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin") for tool in ("dovecot", "doveadm"))


def remove_stale_locks(root):
    """Dotlocks that were held when the mark was taken; in a fresh view nobody can hold them."""
    count = 0
    for path in pathlib.Path(root).rglob("*.lock"):
        path.unlink()
        count += 1
    return count


def _children(parent):
    pids = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            pids.append(int(path.parent.name))
    return pids


def _is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _kill(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
