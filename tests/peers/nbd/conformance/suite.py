"""What a test is, what it is pointed at, and how its verdict is reached.

Every test has a level. MUST and SHOULD are the protocol's words; FEATURE is an optional part that a server may lack:
it is then 'missing', which is neither passed nor failed.
"""

import dataclasses
import random

MUST, SHOULD, FEATURE = "MUST", "SHOULD", "FEATURE"
LEVELS = (MUST, SHOULD, FEATURE)


class Missing(Exception):
    """The server does not offer what the test is about."""


class Bad(AssertionError):
    """The server broke the rule that the test is about."""


class Closed(Exception):
    """The server closed the connection where it should have answered."""


@dataclasses.dataclass
class Target:
    """The server under test; one for the whole run."""

    address: tuple = ("127.0.0.1", 10809)
    export: str = ""
    size: int = None
    read_only_address: tuple = None
    read_only_export: str = None
    contexts: list = dataclasses.field(default_factory=list)
    tls_address: tuple = None
    tls_ca: str = None
    tls_certificate: str = None
    tls_key: str = None
    is_tls_mutual: bool = False
    is_quick: bool = False
    seed: int = 1
    retry_s: float = 0
    offers_structured: bool = False


target = Target()

tests = []


def test(level):
    """Registers a function as a test of that level; its name is the claim it checks."""

    def register(function):
        tests.append((level, function))
        return function

    return register


def check(condition, reason):
    """Fails the test for that reason unless the condition holds."""
    if not condition:
        raise Bad(reason)


def random_bytes(count, variant=0):
    """Reproducible content: the same for the same count, variant and seed."""
    return random.Random(variant ^ target.seed).randbytes(count)
