#!/usr/bin/env python3
"""Checks with an initiator of the project's own: who is let in, who sees what, what is told when something changes.

usage: checks.py PORTAL --lun N --open TARGET --guarded TARGET --digests LIST [--state FOLDER]

The guarded target demands CHAP: user `reader`, its own name `appliance`, secrets as below. With --state the checks also
command the daemon of that state directory: marks, views, masks, growth, sessions; the open target's first LUN is then
the volume `mail`.

The last line is 'N passed, N failed'; the status is 0 only if none failed.
"""

import argparse
import pathlib
import random
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kill"))

from appliance import Appliance, CommandFailed
from history import History
from iscsi_client import Chap, LoginRefused, Session
from load import Load
from marks import MarkRecord
from session import Refused

HERE = pathlib.Path(__file__).resolve().parent
SECRET, OWN_SECRET = "a-secret-of-16-b", "another-secret-b"
FRIEND = "iqn.2026-11.dev.tidemark.tests:friend"
CROWD, LOGINS, DELAY_MS_MAX = 200, 30, 100
LOGICAL_UNIT_NOT_SUPPORTED, CAPACITY_CHANGED, LUNS_CHANGED = 0x2500, 0x2A09, 0x3F0E
AUTHENTICATION_FAILED = 0x0201
INQUIRY = bytes([0x12, 0, 0, 0, 96, 0])
TEST_UNIT_READY = bytes(6)


class Checks:
    """Each method is a claim; those that begin with `with_state_` need the command line."""

    def __init__(self, arguments):
        host, port = arguments.portal.rsplit(":", 1)
        self.portal = (host, int(port))
        self.arguments = arguments
        self.appliance = Appliance(arguments.state) if arguments.state else None

    def session(self, target, lun=None, **more):
        """A session with a target, on its first LUN."""
        return Session(self.portal, target, self.arguments.lun if lun is None else lun, **more)

    # ---------------------------------------------------------------- who is let in

    def discovery_tells_the_targets(self):
        with Session(self.portal) as session:
            told = session.targets()
        assert self.arguments.open in told, told

    def each_chap_digest_lets_in(self):
        for digest in self.arguments.digests.split(","):
            self.session(self.arguments.guarded, chap=Chap("reader", SECRET, digest)).close()

    def a_wrong_secret_is_refused(self):
        for digest in self.arguments.digests.split(","):
            self.refused(self.arguments.guarded, AUTHENTICATION_FAILED, Chap("reader", "not-the-secret-x", digest))

    def an_unknown_user_is_refused(self):
        digest = self.arguments.digests.split(",")[0]
        self.refused(self.arguments.guarded, AUTHENTICATION_FAILED, Chap("nobody", SECRET, digest))

    def no_authentication_is_refused(self):
        self.refused(self.arguments.guarded, None, None)

    def the_target_proves_itself(self):
        for digest in self.arguments.digests.split(","):
            chap = Chap("reader", SECRET, digest, "appliance", OWN_SECRET)
            self.session(self.arguments.guarded, chap=chap).close()

    def a_target_that_cannot_prove_itself_is_noticed(self):
        digest = self.arguments.digests.split(",")[0]
        chap = Chap("reader", SECRET, digest, "appliance", "not-its-secret-x")
        try:
            self.session(self.arguments.guarded, chap=chap).close()
        except Refused as error:
            assert "could not prove itself" in str(error), error
        else:
            raise AssertionError("any proof is taken")

    def refused(self, target, status, chap):
        """A login that must be refused, with that status."""
        try:
            self.session(target, chap=chap).close()
        except LoginRefused as error:
            assert status is None or error.status == status, error
            assert error.status >> 8 == 2, error
        else:
            raise AssertionError("the login was not refused")

    def a_hostile_crowd_delays_no_login(self):
        alone = self.login_times()
        crowd = subprocess.Popen(
            [sys.executable, HERE / "hostile.py", self.arguments.portal, self.arguments.guarded, "--count", str(CROWD)],
            stdout=subprocess.PIPE,
        )
        try:
            assert crowd.stdout.readline() == b"ready\n"
            time.sleep(1)
            beside = self.login_times()
            assert crowd.poll() is None
        finally:
            crowd.kill()
            crowd.wait()
            crowd.stdout.close()
        medians = [statistics.median(times) for times in (alone, beside)]
        print(
            f"result: login: median {medians[0]:.1f} ms, worst {max(alone):.1f} ms; beside {CROWD} idle and hostile "
            f"connections: median {medians[1]:.1f} ms, worst {max(beside):.1f} ms"
        )
        assert max(beside) - medians[0] <= DELAY_MS_MAX, "a login was delayed for too long"

    def login_times(self):
        """How long some good logins take, with the first command, in ms."""
        times = []
        for _ in range(LOGINS):
            started_s = time.monotonic()
            session = self.session(self.arguments.open)
            session.run(INQUIRY, expected=96)
            times.append((time.monotonic() - started_s) * 1000)
            session.close()
        return times

    # ---------------------------------------------------------------- with the command line

    def with_state_md5_is_refused_where_it_is_off(self):
        self.appliance.run("target", "set", "guarded", "--chap-md5", "off")
        try:
            self.session(self.arguments.guarded, chap=Chap("reader", SECRET, "5")).close()
        except Refused:
            pass
        else:
            raise AssertionError("MD5 was taken")
        finally:
            self.appliance.run("target", "set", "guarded", "--chap-md5", "on")
        self.session(self.arguments.guarded, chap=Chap("reader", SECRET, "7")).close()

    def with_state_a_target_that_is_not_for_it_looks_like_none(self):
        self.appliance.run("target", "create", "closed")
        self.appliance.run("initiator", "allow", "closed", FRIEND)
        closed = name_of("closed")
        statuses = []
        for target in (closed, name_of("not-there")):
            try:
                self.session(target).close()
            except LoginRefused as error:
                statuses.append(error.status)
        assert len(statuses) == 2, "a stranger was let in"
        assert statuses[0] == statuses[1], statuses
        with Session(self.portal) as session:
            assert closed not in session.targets()
        with Session(self.portal, initiator=FRIEND) as session:
            assert closed in session.targets()
        self.session(closed, initiator=FRIEND).close()

    def with_state_a_masked_lun_is_not_there(self):
        self.appliance.run("volume", "create", "masked", "--size", "16M")
        with self.session(self.arguments.open) as stranger:
            stranger.run(TEST_UNIT_READY)
            self.appliance.run("lun", "map", "open", "masked", "--lun", "7", "--only", FRIEND)
            assert 7 not in stranger.luns()
        with self.session(self.arguments.open, lun=7) as stranger:
            self.fails(stranger, TEST_UNIT_READY, LOGICAL_UNIT_NOT_SUPPORTED)
            self.fails(stranger, bytes([0x28, *bytes(7), 1, 0]), LOGICAL_UNIT_NOT_SUPPORTED, expected=512)
        with self.session(self.arguments.open, lun=7, initiator=FRIEND) as friend:
            assert 7 in friend.luns()
            assert friend.measure().size == 16 << 20

    def with_state_a_new_lun_is_told(self):
        with self.session(self.arguments.open) as session:
            session.run(TEST_UNIT_READY)
            session.attentions.clear()
            self.appliance.run("volume", "create", "late", "--size", "16M")
            self.appliance.run("lun", "map", "open", "late", "--lun", "8")
            session.run(TEST_UNIT_READY)
            assert LUNS_CHANGED in session.attentions, session.attentions
            assert 8 in session.luns()
            self.appliance.run("lun", "unmap", "open", "8", "--force")
            assert 8 not in session.luns()

    def with_state_growth_is_told(self):
        self.appliance.run("volume", "create", "growing", "--size", "16M")
        self.appliance.run("lun", "map", "open", "growing", "--lun", "9")
        with self.session(self.arguments.open, lun=9) as session:
            assert session.measure().size == 16 << 20
            session.attentions.clear()
            self.appliance.run("volume", "grow", "growing", "--size", "24M")
            session.run(TEST_UNIT_READY)
            assert session.attentions == [CAPACITY_CHANGED], session.attentions
            assert session.measure().size == 24 << 20

    def with_state_a_killed_session_ends_and_may_come_back(self):
        with self.session(self.arguments.open, initiator=FRIEND + "-to-kill") as session:
            session.run(TEST_UNIT_READY)
            listed = self.appliance.run_json("session", "ls")
            found = [entry for entry in listed if (entry["iscsi"] or {}).get("initiator") == FRIEND + "-to-kill"]
            assert len(found) == 1, listed
            self.appliance.run("session", "kill", str(found[0]["id"]))
            try:
                session.run(TEST_UNIT_READY)
            except (EOFError, OSError):
                pass
            else:
                raise AssertionError("the session goes on")
        with self.session(self.arguments.open, initiator=FRIEND + "-to-kill") as session:
            session.run(TEST_UNIT_READY)

    def with_state_a_mark_under_load_is_of_one_instant_and_its_view_another_initiators_lun(self):
        history, chance = History(), random.Random(11)
        with self.session(self.arguments.open) as session:
            history.add("mail", session.measure().read_all())
        loads = [
            Load(self.session(self.arguments.open).measure(), "mail", history, chance.getrandbits(64)) for _ in range(2)
        ]
        time.sleep(0.5)
        window = history.open_window(["mail"])
        self.appliance.run("mark", "take", "mail", "--name", "during")
        history.close_window(window)
        self.appliance.run("view", "create", "looking", "mail@during")
        self.appliance.run("lun", "map", "open", "view/looking", "--lun", "5", "--only", FRIEND)
        with self.session(self.arguments.open, lun=5, initiator=FRIEND) as friend:
            content = friend.measure().read_all()
        MarkRecord("during", ["mail"], window).judge({"mail": content})
        # The view is written too, while the volume still is.
        history.add("view/looking", content)
        loads.append(
            Load(
                self.session(self.arguments.open, lun=5, initiator=FRIEND).measure(),
                "view/looking",
                history,
                chance.getrandbits(64),
            )
        )
        time.sleep(0.5)
        for load in loads:
            load.stop()
        for load in loads:
            load.finish()
            assert not load.failures, load.failures
            assert load.answered > 0
        with self.session(self.arguments.open) as session:
            history.settle("mail", session.measure().read_all())
        with self.session(self.arguments.open, lun=5, initiator=FRIEND) as friend:
            history.settle("view/looking", friend.measure().read_all())

    def fails(self, session, cdb, code, expected=0):
        """A command that must fail with that additional sense code."""
        try:
            session.run(cdb, expected=expected)
        except Refused as error:
            assert f"/{code:04x}" in str(error), error
        else:
            raise AssertionError(f"command {cdb[0]:#x} was done")


def name_of(target):
    """The full name of a target of the appliance."""
    return f"iqn.2026-11.dev.tidemark:{target}"


def main():
    """Runs the checks; the exit status."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("portal")
    parser.add_argument("--lun", type=int, default=0)
    parser.add_argument("--open", required=True)
    parser.add_argument("--guarded", required=True)
    parser.add_argument("--digests", default="7")
    parser.add_argument("--state")
    checks = Checks(parser.parse_args())
    helpers = ("session", "refused", "login_times", "fails")
    passed = failed = 0
    for name, check in [(name, check) for name, check in vars(Checks).items() if not name.startswith("_")]:
        if name in helpers or (name.startswith("with_state_") and not checks.appliance):
            continue
        claim = name.removeprefix("with_state_").replace("_", " ")
        try:
            check(checks)
        except (AssertionError, Refused, CommandFailed, EOFError, OSError, KeyError) as error:
            failed += 1
            print(f"not ok - {claim}: {type(error).__name__} {error}", flush=True)
        else:
            passed += 1
            print(f"ok - {claim}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
