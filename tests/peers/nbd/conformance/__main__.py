"""Runs the suite against a server.

usage: python3 -m conformance HOST:PORT [EXPORT] [options]      (from the folder tests/peers/nbd)

DESTROYS THE EXPORT'S DATA; it needs at least 48 MiB. The last line is 'N passed, N failed, N missing'; the status is
0 only if none failed and, with --complete, none is missing.
"""

import argparse
import re
import sys
import time

from . import connection, contexts, handshake, sessions, suite, tls, transmission, zeroes
from .protocol import Option, OptionReply

MODULES = (handshake, contexts, transmission, zeroes, sessions, tls)

PASSED, FAILED, MISSING = "ok", "not ok", "missing"


def main():
    """Runs what the command line names; the exit status."""
    arguments = parse_arguments()
    take_target(arguments)
    try:
        probe = connection.Connection()
        suite.target.offers_structured = probe.ask_last(Option.STRUCTURED_REPLY) == OptionReply.ACK
        probe.close()
    except Exception as error:
        print(f"no session: {error!r}\n0 passed, 1 failed, 0 missing")
        return 1
    verdicts = []
    for level, function in suite.tests:
        if arguments.only and not re.search(arguments.only, function.__name__):
            continue
        started = time.monotonic()
        verdict, reason = run(function)
        verdicts.append((level, verdict))
        seconds = time.monotonic() - started
        print(f"{verdict:8} {level:8} {function.__name__:58} {seconds:6.2f}s {reason[:150]}", flush=True)
    return report(verdicts, arguments.complete)


def run(function):
    """One test: (verdict, reason)."""
    try:
        function()
        return PASSED, ""
    except suite.Missing as error:
        return MISSING, str(error)
    except (suite.Bad, suite.Closed) as error:
        return FAILED, f"{type(error).__name__}: {error}"
    except Exception as error:
        return FAILED, repr(error)
    finally:
        while connection.opened:
            connection.opened.pop().close()


def report(verdicts, must_be_complete):
    """The table by level and the last line; the exit status."""
    counts = {verdict: sum(1 for _, v in verdicts if v == verdict) for verdict in (PASSED, FAILED, MISSING)}
    print("\nlevel     tests passed failed missing")
    for level in suite.LEVELS:
        of_level = [verdict for verdict_level, verdict in verdicts if verdict_level == level]
        print(
            f"{level:9} {len(of_level):5} {of_level.count(PASSED):6} "
            f"{of_level.count(FAILED):6} {of_level.count(MISSING):7}"
        )
    print(f"\n{counts[PASSED]} passed, {counts[FAILED]} failed, {counts[MISSING]} missing")
    is_good = counts[PASSED] and not counts[FAILED] and not (must_be_complete and counts[MISSING])
    return 0 if is_good else 1


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="conformance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("address", metavar="HOST:PORT")
    add("export", nargs="?", default="")
    add("--size", type=int, help="the export's size must be this")
    add("--ro", help="a read-only export of the same server")
    add("--ro-at", metavar="HOST:PORT", help="... at another address")
    add("--context", action="append", default=[], help="a further metadata context that must be offered")
    add("--tls-at", metavar="HOST:PORT", help="a server of the export that demands TLS")
    add("--tls-ca", metavar="FILE")
    add("--tls-cert", metavar="FILE")
    add("--tls-key", metavar="FILE")
    add("--tls-mutual", action="store_true", help="the server demands a client certificate")
    add("--complete", action="store_true", help="a missing test is a failure")
    add("--quick", action="store_true", help="smaller random tests")
    add("--seed", type=int, default=1)
    add("--retry", type=float, default=0, help="seconds to wait for a server that is being restarted")
    add("--only", metavar="REGEX", help="only the tests whose name matches")
    return parser.parse_args()


def take_target(arguments):
    """Fills the suite's target from the command line."""
    target = suite.target
    target.address = address_of(arguments.address)
    target.export, target.size = arguments.export, arguments.size
    target.read_only_export = arguments.ro
    target.read_only_address = address_of(arguments.ro_at) or target.address
    target.contexts = arguments.context
    target.tls_address = address_of(arguments.tls_at)
    target.tls_ca, target.tls_certificate = arguments.tls_ca, arguments.tls_cert
    target.tls_key, target.is_tls_mutual = arguments.tls_key, arguments.tls_mutual
    target.is_quick, target.seed, target.retry_s = arguments.quick, arguments.seed, arguments.retry


def address_of(text):
    """HOST:PORT as a pair; None for None."""
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)


if __name__ == "__main__":
    sys.exit(main())
