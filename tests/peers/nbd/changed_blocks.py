#!/usr/bin/env python3
"""Whether the contexts of a mark tell exactly what changed since it.

usage: changed_blocks.py SERVER_URI VOLUME MARK [EXACT_FROM]

Compares VOLUME with VOLUME@MARK block by block, and both with what 'tidemark:since:MARK' and 'qemu:dirty-bitmap:MARK'
say of VOLUME: every block that differs must be told as changed, and the two contexts must agree. Blocks past EXACT_FROM
(optional, in bytes) must be told as unchanged if they do not differ: nobody wrote there since the mark.
"""

import json
import subprocess
import sys

BLOCK = 4096
FLAG_CHANGED = 1


def content(uri):
    """All of an export."""
    return subprocess.run(["nbdcopy", uri, "-"], check=True, stdout=subprocess.PIPE).stdout


def changed_blocks(uri, context):
    """The numbers of the blocks that a context tells as changed; the extents must cover the export."""
    answer = subprocess.run(["nbdinfo", f"--map={context}", "--json", uri], check=True, stdout=subprocess.PIPE).stdout
    changed, position = set(), 0
    for extent in json.loads(answer):
        assert extent["offset"] == position, f"{context}: a gap at {position}"
        assert extent["offset"] % BLOCK == 0, f"{context}: an extent inside a block at {position}"
        position += extent["length"]
        if extent["type"] & FLAG_CHANGED:
            changed.update(range(extent["offset"] // BLOCK, -(-position // BLOCK)))
    return changed, position


def main():
    """Prints the counts; the exit status."""
    server, volume, mark = sys.argv[1:4]
    exact_from = int(sys.argv[4]) // BLOCK if len(sys.argv) > 4 else None
    uri = f"{server}/{volume}"
    now, then = content(uri), content(f"{uri}@{mark}")
    assert len(now) == len(then), "the mark has another size"
    differing = {at // BLOCK for at in range(0, len(now), BLOCK) if now[at : at + BLOCK] != then[at : at + BLOCK]}
    since, length = changed_blocks(uri, f"tidemark:since:{mark}")
    bitmap, _ = changed_blocks(uri, f"qemu:dirty-bitmap:{mark}")
    failures = []
    if length != len(now):
        failures.append(f"the context covers {length} bytes of {len(now)}")
    if differing - since:
        failures.append(f"{len(differing - since)} changed blocks are not told")
    if exact_from is not None and {block for block in since - differing if block >= exact_from}:
        failures.append("blocks that nobody wrote are told as changed")
    if since != bitmap:
        failures.append("the two contexts differ")
    for failure in failures:
        print("not ok -", failure)
    print(f"{len(differing)} blocks differ, {len(since)} are told as changed")
    print(f"{4 - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
