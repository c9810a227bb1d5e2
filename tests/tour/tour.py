#!/usr/bin/env python3
"""Takes the README's tour: types every command of it, and compares what comes back with what is written.

Blocks fenced as `console` under the heading "A ten-minute tour" are the tour. A line that starts with `$ `
is typed into one shell that lives through the whole tour; the lines below it are its output. A block
fenced as `console daemon` holds one command that goes on running in another terminal; the tour goes on as
soon as it has said what is written, and stops it at the end.

Written and real output are compared as a reader would: a number or a size in a line stands for any other,
an id for any id, table rules and gaps may be longer or shorter, and a line `...` stands for any lines. A
device or a port stands for the one that was really said, also in commands that come later. A host whose
disk is nearly full is warned of that where others read that all is well. A command must succeed, unless
the next one asks for `$?`.

The tour runs in a folder of its own. `cargo run` there starts the programs in $TIDEMARK_BIN (by default
target/release), which must have been built before.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
HEADING = "## A ten-minute tour"
COMMAND_SECONDS_MAX = 120
SKIPPED = 77
AGO = r"\((?:now|[^()]* ago)\)"
ALL_IS_WELL = "all is well"
DISK_NEARLY_FULL = r"warning: [^:]+: where the pool lies \d+ % is used and .* free; .*"
PLACE = r"/dev/(?:loop|nbd)\d+|127\.0\.0\.1:\d+"

CARGO_DOUBLE = """#!/usr/bin/env bash
# Stands for `cargo run --release --bin NAME -- ...`: the program was built by an earlier stage.
set -euo pipefail
[[ "$1 $2 $3 $5" == "run --release --bin --" ]] || { echo "the tour may only 'cargo run'" >&2; exit 2; }
program=$4
shift 5
exec "$TIDEMARK_BIN/$program" "$@"
"""


@dataclass
class Step:
    """One command, the line of the README it stands on, and what is written below it."""

    line: int
    command: str
    is_daemon: bool
    expected: list[str] = field(default_factory=list)


class TourError(Exception):
    """The README says something else than the programs do."""


def steps_of(text: str) -> list[Step]:
    """The steps of the tour in a README."""
    steps: list[Step] = []
    inside = False
    fence = None
    for number, line in enumerate(text.splitlines(), start=1):
        if fence is None:
            if line.startswith("## "):
                inside = line == HEADING
            elif inside and line.startswith("```"):
                fence = line[3:].split()
        elif line == "```":
            fence = None
        elif fence[:1] == ["console"]:
            read_line(steps, number, line, "daemon" in fence)
    return steps


def read_line(steps: list[Step], number: int, line: str, is_daemon: bool) -> None:
    """Adds one line of a console block: a command, its continuation, or output."""
    if line.startswith("$ "):
        steps.append(Step(number, line[2:], is_daemon))
    elif not steps:
        raise TourError(f"README.md:{number}: output before the first command")
    elif steps[-1].command.endswith("\\") and not steps[-1].expected:
        steps[-1].command += "\n" + line.removeprefix("> ")
    else:
        steps[-1].expected.append(line)


def pattern_of(line: str) -> re.Pattern[str]:
    """What a written line of output stands for."""
    any_of = [
        (PLACE, f"(?:{PLACE})"),  # a device or a port
        (AGO, AGO),
        (r"[0-9a-f]{8,}(?:-[0-9a-f]+)*", r"[0-9a-f-]{8,}"),  # an id
        (r"(?:─+|-{3,}|=+|╌+|┄+)", r"[─=╌┄-]+"),  # a rule of a table
        (r"\d+(?:\.\d+)?[BKMGT]?", r"\d+(?:\.\d+)?[BKMGT]?"),  # a number or a size
        (r"\.\.\.|…", r".*"),
        (r"\s+", r"\s+"),
    ]
    finder = re.compile("|".join(f"({one})" for one, _ in any_of))
    pattern, at = "", 0
    stripped = line.strip()
    if stripped == ALL_IS_WELL:
        return re.compile(rf"\s*(?:{ALL_IS_WELL}|{DISK_NEARLY_FULL})\s*")
    if stripped.isdecimal():
        return re.compile(rf"\s*{stripped}\s*")
    for found in finder.finditer(stripped):
        stands_for = any_of[(found.lastindex or 1) - 1][1]
        pattern += re.escape(stripped[at : found.start()]) + stands_for
        at = found.end()
    return re.compile(r"\s*" + pattern + re.escape(stripped[at:]) + r"\s*")


def places_of(expected: list[str], actual: list[str]) -> dict[str, str]:
    """Which device or port each written one stands for."""
    lines = [line for line in expected if line.strip() not in ("...", "…", "")]
    # What comes before the first line that is written, such as a log, has places of its own.
    begin = next((at for at, line in enumerate(actual) if lines and pattern_of(lines[0]).fullmatch(line)), 0)
    actual = actual[begin:]
    written = re.findall(PLACE, "\n".join(expected))
    return dict(zip(written, re.findall(PLACE, "\n".join(actual)), strict=False))


def with_places(command: str, places: dict[str, str]) -> str:
    """A command with the devices and ports that were really said."""
    return re.sub(PLACE, lambda found: places.get(found[0], found[0]), command)


def difference(expected: list[str], actual: list[str]) -> str | None:
    """Where real output leaves what is written; nothing if it does not."""
    wanted = [line for line in expected if line.strip()]
    real = [line for line in actual if line.strip()]
    return _difference(wanted, real, 0)


def _difference(wanted: list[str], real: list[str], at: int) -> str | None:
    for index, line in enumerate(wanted):
        if line.strip() in ("...", "…"):
            rest = wanted[index + 1 :]
            if any(_difference(rest, real, start) is None for start in range(at, len(real) + 1)):
                return None
            return f"after '...' nothing matches {rest[:1]}"
        if at >= len(real):
            return f"written, but not said: {line!r}"
        if not pattern_of(line).fullmatch(real[at]):
            return f"written: {line!r}\n        said: {real[at]!r}"
        at += 1
    return None if at == len(real) else f"said, but not written: {real[at]!r}"


class Shell:
    """One bash that lives through the tour."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.mark = f"tour-{os.getpid()}-done"
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.status = 0

    def run(self, command: str) -> list[str]:
        """Types a command; returns what it says. Its exit status is kept."""
        assert self.process.stdin and self.process.stdout
        restore = f"(exit {self.status})"
        self.process.stdin.write(f"{restore}; {{ {command}\n}} </dev/null; printf '\\n%s %s\\n' {self.mark} $?\n")
        self.process.stdin.flush()
        said = []
        signal.alarm(COMMAND_SECONDS_MAX)
        for line in self.process.stdout:
            if line.startswith(self.mark):
                self.status = int(line.split()[1])
                break
            said.append(line.rstrip("\n"))
        else:
            raise TourError(f"the shell ended in {command!r}")
        signal.alarm(0)
        return said

    def close(self) -> None:
        """Ends the shell."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait(timeout=COMMAND_SECONDS_MAX)


class Daemon:
    """A command in another terminal."""

    def __init__(self, step: Step, folder: Path, environment: dict[str, str]) -> None:
        self.step = step
        self.log = folder / f".terminal-{step.line}"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                ["bash", "-c", "exec " + step.command],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until_said(self) -> list[str]:
        """Waits until it has said what is written; returns what it has said."""
        deadline = time.monotonic() + COMMAND_SECONDS_MAX
        while True:
            said = self.log.read_text().splitlines()
            wrong = difference([*self.step.expected, "..."], said)
            if wrong is None:
                return said
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise TourError(f"{wrong}\n        all of it: {said}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stops it as Ctrl-C does; it must end by itself, without an error."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise TourError(f"{self.step.command!r} did not stop within 30 s") from None
        if status != 0:
            raise TourError(f"{self.step.command!r} ended with {status}")


def take(steps: list[Step], folder: Path, environment: dict[str, str]) -> None:
    """Takes the tour in a folder."""
    daemons: list[Daemon] = []
    places: dict[str, str] = {}
    shell = Shell(folder, environment)
    try:
        for index, step in enumerate(steps):
            print(f"README.md:{step.line}: $ {step.command}", flush=True)
            try:
                if step.is_daemon:
                    daemons.append(Daemon(step, folder, environment))
                    places.update(places_of(step.expected, daemons[-1].wait_until_said()))
                    continue
                said = shell.run(with_places(step.command, places))
                places.update(places_of(step.expected, said))
                print("\n".join(f"    {line}" for line in said if line), flush=True)
                wrong = difference(step.expected, said)
                if wrong:
                    raise TourError(wrong)
                follows = steps[index + 1].command if index + 1 < len(steps) else ""
                if shell.status != 0 and "$?" not in follows:
                    raise TourError(f"it failed with status {shell.status}")
            except TourError as error:
                raise TourError(f"README.md:{step.line}: $ {step.command}\n        {error}") from None
        while daemons:
            daemons.pop().stop()
    finally:
        for daemon in daemons:
            if daemon.process.poll() is None:
                daemon.process.terminate()
                daemon.process.wait(timeout=30)
        shell.close()


def clear(folder: Path) -> None:
    """Removes the folder, and first what a tour that broke off left mounted in it."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((one for one in mounts if one.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def check_the_judge() -> None:
    """A comparison that cannot fail proves nothing: it must tell these apart before it judges."""
    same = [
        (["volume mail, 4G"], ["volume mail, 10G"]),
        (["a  b", "──────"], ["a      b", "", "────────────"]),
        (["id 0123456789abcdef"], ["id fedcba9876543210"]),
        (["x", "...", "z"], ["x", "y", "y", "z"]),
        (["took 3 ms"], ["took 0.25 ms"]),
        (["first is /dev/loop0"], ["first is /dev/nbd12"]),
        (["at 10:00 (now)", "0B"], ["at 12:00 (3 seconds ago)", "1.5G"]),
        ([], [""]),
        ([ALL_IS_WELL], ["warning: pool: where the pool lies 97 % is used and 2G free; add space"]),
    ]
    other = [
        (["volume mail"], ["volume web"]),
        (["x"], ["x", "y"]),
        (["x", "y"], ["x"]),
        (["x", "...", "z"], ["x", "y"]),
        (["1"], ["0"]),
        ([], ["error: no"]),
        (["a.b"], ["axb"]),
        (["is /dev/loop0"], ["is /dev/sda"]),
        ([ALL_IS_WELL], ["warning: first: the last flush failed"]),
        ([ALL_IS_WELL], ["FAILURE: pool: where the pool lies 97 % is used and 2G free; add space"]),
    ]
    for expected, actual in same:
        assert difference(expected, actual) is None, (expected, actual)
    for expected, actual in other:
        assert difference(expected, actual) is not None, (expected, actual)
    text = f"{HEADING}\n```console\n$ a \\\n> b\nc\n$ d\n```\n## Next\n```console\n$ e\n```\n"
    assert [(s.command, s.expected) for s in steps_of(text)] == [("a \\\nb", ["c"]), ("d", [])]


def main() -> int:
    """Takes the tour of the README, or of the file given."""
    check_the_judge()
    readme = Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT / "README.md"
    steps = steps_of(readme.read_text())
    if not steps:
        print(f"there is no tour in {readme}")
        return 1
    if os.geteuid() != 0:
        print("skip: the tour mounts file systems, which needs root")
        return SKIPPED
    programs = Path(os.environ.get("TIDEMARK_BIN", PROJECT / "target" / "release")).resolve()
    folder = Path(tempfile.mkdtemp(prefix="tidemark-tour-"))
    try:
        doubles = folder / ".doubles"
        doubles.mkdir()
        (doubles / "cargo").write_text(CARGO_DOUBLE)
        (doubles / "cargo").chmod(0o755)
        (folder / "target").mkdir()
        (folder / "target" / "release").symlink_to(programs)
        environment = dict(os.environ, TIDEMARK_BIN=str(programs), LC_ALL="C.UTF-8", COLUMNS="100")
        environment["PATH"] = f"{doubles}:{environment['PATH']}"
        environment.pop("TIDEMARK_STATE", None)
        take(steps, folder, environment)
    except TourError as error:
        print(f"\nthe tour is not as written:\n    {error}")
        return 1
    finally:
        clear(folder)
    print(f"result: {len(steps)} commands of the tour, all as written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
