#!/usr/bin/env python3
"""Runs libiscsi's iscsi-test-cu against an iSCSI target, one process a test, and scores it.

usage: suite.py URL [--multipath URL] [--read-only URL] [--removable URL] [--chap URL] [--chap-hex URL]
                [--chap-base64 URL] [--tool PATH] [--only REGEX] [--logs FOLDER] [--timeout SECONDS]

DESTROYS THE LUNS' DATA: the tests that write and those that sanitize are run too.

Prints each test's verdict, a table by family, what did not pass and why; the last line is 'N passed, N failed, N
skipped'. A test that the tool skips, because the target lacks what it asks for, has not passed: the status is 0 only if
nothing was skipped and nothing failed but what UNPASSABLE names, with the very complaint that it names.

env: ISCSI_TEST_CU, another tool than that of PATH
"""

import argparse
import collections
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

BANNER = "CUnit - A unit testing"
TIME_STAMP = re.compile(r"^\s*\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\s*")
ASSERTION = re.compile(r"^\d+\.\s+\S+:\d+\s+-")
SUMMARY = re.compile(r"^\s*tests\s+\d+\s+(?:\d+|n/a)\s+(\d+)\s+(\d+)", re.MULTILINE)
UNPASSABLE = {
    # 1.19 asserts that the answer to the reset has come in the line after the one that puts it into its own queue.
    "iSCSI.iSCSITMF.LUNResetSimpleAsync": re.compile(
        r"test_async_lu_reset_simple.c:\d+ +- CU_ASSERT_EQUAL\((?:reconnect_succeeded|iscsi_out_queue_length)"
    ),
    # The newest asserts that a queued command still waits in its own queue, which it has sent already.
    "iSCSI.iSCSITMF.AbortTaskSimpleAsync": re.compile(
        r"test_async_abort_simple.c:\d+ +- CU_ASSERT_EQUAL\(iscsi_out_queue_length"
    ),
}
"""Tests that fail before the target was asked for anything, and the complaint that shows it."""
REMOVABLE_SUITES = ("PreventAllow", "StartStopUnit", "NoMedia")


@dataclasses.dataclass
class Test:
    """One test: its name as FAMILY.SUITE.TEST, and every family that has it."""

    name: str
    families: set
    verdict: str = ""
    reason: str = ""
    seconds: float = 0

    @property
    def suite(self):
        """The middle of the name."""
        return self.name.split(".")[1]


def list_tests(tool):
    """What the tool has. SCSI and iSCSI share out the tests, the other families group them anew."""
    told = subprocess.run([tool, "--list"], capture_output=True, text=True).stdout
    families = collections.OrderedDict()
    for name in (line.strip() for line in told.splitlines()):
        if name.count(".") == 2:
            family, rest = name.split(".", 1)
            families.setdefault(rest, set()).add(family)
    return [Test(f"{home_of(found)}.{rest}", found) for rest, found in families.items()]


def home_of(families):
    """The family under whose name a test is run."""
    return next((name for name in ("iSCSI", "SCSI") if name in families), min(families))


def urls_for(test, arguments):
    """The LUNs that a test is run on."""
    special = {
        "ReadOnly": arguments.read_only,
        "iSCSICHAP": arguments.chap,
        **dict.fromkeys(REMOVABLE_SUITES, arguments.removable),
    }
    by_end = {"HexName": arguments.chap_hex, "Base64Name": arguments.chap_base64}
    url = by_end.get(test.name.split(".")[2]) or special.get(test.suite) or arguments.url
    return [url, arguments.multipath] if test.suite == "MultipathIO" and arguments.multipath else [url]


def run(test, arguments):
    """Runs one test and judges it."""
    command = [arguments.tool, "-d", "-S", "-n", "-V", "-t", test.name, *urls_for(test, arguments)]
    started_s = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    status = None
    try:
        output, _ = process.communicate(timeout=arguments.timeout)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    output = output.decode(errors="replace")
    test.seconds = time.monotonic() - started_s
    test.verdict, test.reason = judge(status, output)
    if arguments.logs:
        (arguments.logs / f"{test.name}.log").write_text(output)


def judge(status, output):
    """(verdict, reason) from what the tool printed; without a status it ran out of time."""
    # What comes before the banner are probes of the set-up.
    body = output.partition(BANNER)[2] or output
    lines = [TIME_STAMP.sub("", line).strip() for line in body.splitlines()]
    complaints = [line for line in lines if "[FAILED]" in line or "[FAIL]" in line]
    complaints += [line for line in lines if ASSERTION.match(line)]
    skips = [line for line in lines if "[SKIPPED]" in line]
    summary = SUMMARY.search(output)
    if status is None:
        return "failed", " ".join(["out of time", *complaints[:1]])
    if not summary:
        last = [line for line in lines if line][-1:] or [""]
        return "failed", f"did not run (status {status}): {last[0]}"
    tests_passed, tests_failed = int(summary[1]), int(summary[2])
    if tests_failed or status:
        return "failed", complaints[0] if complaints else f"status {status}"
    if tests_passed == 0:
        return "skipped", "ran no test"
    if skips:
        return "skipped", skips[0].replace("[SKIPPED]", "").strip()
    return "passed", ""


def is_unpassable(test):
    """Whether it failed by the tool's own fault."""
    complaint = UNPASSABLE.get(test.name)
    return test.verdict == "failed" and complaint is not None and complaint.search(test.reason) is not None


def print_scores(tests):
    """The table by family, and what did not pass; the counts."""
    rows = {
        "SCSI": lambda test: test.name.startswith("SCSI."),
        "iSCSI": lambda test: test.name.startswith("iSCSI."),
        "Multipath": lambda test: test.suite == "MultipathIO",
        "LINUX": lambda test: "LINUX" in test.families,
        "ALL": lambda test: "ALL" in test.families,
        "distinct": lambda test: True,
    }
    print("\nfamily      tests  passed  failed  skipped")
    for family, belongs in rows.items():
        verdicts = [test.verdict for test in tests if belongs(test)]
        counts = [verdicts.count(verdict) for verdict in ("passed", "failed", "skipped")]
        print(f"{family:10} {len(verdicts):6} {counts[0]:7} {counts[1]:7} {counts[2]:8}")
    for verdict in ("failed", "skipped"):
        found = [test for test in tests if test.verdict == verdict]
        if found:
            print(f"\n{verdict}:")
            for test in found:
                print(f"  {test.name}  {test.reason}")
    print(f"\n{counts[0]} passed, {counts[1]} failed, {counts[2]} skipped")
    return counts


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("url")
    for name in ("multipath", "read-only", "removable", "chap", "chap-hex", "chap-base64"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--tool", default=os.environ.get("ISCSI_TEST_CU") or "iscsi-test-cu")
    parser.add_argument("--only", type=re.compile)
    parser.add_argument("--logs", type=pathlib.Path)
    parser.add_argument("--timeout", type=float, default=60)
    return parser.parse_args()


def main():
    """Runs what was asked for; the exit status."""
    arguments = parse_arguments()
    if arguments.logs:
        arguments.logs.mkdir(parents=True, exist_ok=True)
    tests = list_tests(arguments.tool)
    if arguments.only:
        tests = [test for test in tests if arguments.only.search(test.name)]
    if not tests:
        print(f"{arguments.tool} has no such tests\n0 passed, 1 failed, 0 skipped")
        return 1
    for test in tests:
        run(test, arguments)
        print(f"{test.verdict:8} {test.name:55} {test.seconds:6.2f} s  {test.reason[:160]}", flush=True)
    unpassable = [test for test in tests if is_unpassable(test)]
    for test in unpassable:
        print(f"\nnote: {test.name} fails whatever the target does: {test.reason}")
    _, failed, skipped = print_scores(tests)
    return 1 if failed > len(unpassable) or skipped else 0


if __name__ == "__main__":
    sys.exit(main())
