"""Compares what an IMAP server holds with the ledger, byte for byte."""

import dataclasses
import hashlib
import re

from messages import FOLDER, FOLDER_USER, LEDGER_HEADER, USERS

FETCH_COUNT = 50
_IDENTIFIER = re.compile(rb"^%s: (\S+)\r\n" % LEDGER_HEADER.encode(), re.MULTILINE)


@dataclasses.dataclass
class Findings:
    """What a comparison found; each list holds message ids."""

    found: int = 0
    expected: int = 0
    lost: list = dataclasses.field(default_factory=list)
    torn: list = dataclasses.field(default_factory=list)
    doubled: list = dataclasses.field(default_factory=list)
    misplaced: list = dataclasses.field(default_factory=list)
    foreign: list = dataclasses.field(default_factory=list)
    future: list = dataclasses.field(default_factory=list)

    def is_clean(self):
        """Whether nothing is wrong and there was something to find."""
        wrong = (self.lost, self.torn, self.doubled, self.misplaced, self.foreign, self.future)
        return self.expected > 0 and not any(wrong)

    def __str__(self):
        return (
            f"{self.expected} expected, {self.found} found, {len(self.lost)} lost, {len(self.torn)} torn, "
            f"{len(self.doubled)} doubled, {len(self.misplaced)} misplaced, {len(self.foreign)} foreign, "
            f"{len(self.future)} from the future"
        )


def compare(server, ledger, mark_started_s, mark_ended_s):
    """Reads every mailbox of the server.

    A message that was acknowledged before the mark was asked for must be there, whole, once, in its mailbox; one that
    was sent after the mark was answered must not be there; one between the two may be there, and is then whole.
    """
    findings = Findings()
    must = ledger.before(mark_started_s)
    must_not = ledger.after(mark_ended_s)
    seen = set()
    for user in USERS:
        for folder in ("INBOX", FOLDER) if user == FOLDER_USER else ("INBOX",):
            for content in _fetch_all(server, user, folder):
                _judge(findings, ledger.entries, seen, content, (user, folder))
    findings.found = len(seen)
    findings.expected = len(must)
    findings.lost = sorted(set(must) - seen)
    findings.future = sorted(set(must_not) & seen)
    return findings


def _judge(findings, entries, seen, content, place):
    header = _IDENTIFIER.search(content)
    identifier = header.group(1).decode(errors="replace") if header else "(none)"
    if identifier not in entries:
        findings.foreign.append(identifier)
        return
    entry = entries[identifier]
    if identifier in seen:
        findings.doubled.append(identifier)
    seen.add(identifier)
    if hashlib.sha256(content[header.start() :]).hexdigest() != entry.digest:
        findings.torn.append(identifier)
    if (entry.user, entry.folder) != place:
        findings.misplaced.append(identifier)


def _fetch_all(server, user, folder):
    session = server.log_in(user)
    status, answer = session.select(folder, readonly=True)
    if status != "OK":
        session.logout()
        return
    count = int(answer[0])
    for first in range(1, count + 1, FETCH_COUNT):
        last = min(count, first + FETCH_COUNT - 1)
        status, parts = session.fetch(f"{first}:{last}", "(BODY.PEEK[])")
        if status != "OK":
            raise RuntimeError(f"{user}/{folder}: FETCH {first}:{last} answered {status}")
        for part in parts:
            if isinstance(part, tuple):
                yield part[1]
    session.logout()
