"""Noise without coverage: inputs changed here and there, where atheris has no wheel."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

NASTY = (b"\0", b"\xff" * 4, b"\x80", b"9" * 20, b"-1", b"..", b"%00", b"null", b"[" * 40, b"1e999")


def mutated(rng: random.Random, seeds: list[bytes], max_bytes: int) -> bytes:
    """One of the seeds, with one to eight changes."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(data) + 1)
        size = min(rng.randint(1, 32), len(data) - at)
        match rng.randrange(6):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                data[at:at] = rng.randbytes(rng.randint(1, 8))
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = data[at : at + size]
            case 4:
                data[at : at + size] = rng.choice(NASTY)
            case _:
                other = rng.choice(seeds)
                data[at:] = other[rng.randrange(len(other) + 1) :]
    return bytes(data[:max_bytes])


def run(
    check: Callable[[bytes], None],
    seeds: list[bytes],
    max_bytes: int,
    *,
    seed: int,
    executions: int | None = None,
    seconds: float | None = None,
) -> int:
    """Check mutated inputs until a count or a time is reached; answers how many it were.

    What `check` raises comes through, with the input as a note.
    """
    rng = random.Random(seed)
    ends_at = None if seconds is None else time.monotonic() + seconds
    done = 0
    while (executions is None or done < executions) and (
        ends_at is None or time.monotonic() < ends_at
    ):
        data = seeds[done] if done < len(seeds) else mutated(rng, seeds, max_bytes)
        try:
            check(data)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} after input {data.hex()}") from error
        done += 1
    return done
