"""Where trackers keep what they share, as --registry says it."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from attrs import field, frozen

from dashp2p.coercers import documented

MEMORY = "memory"
DEFAULT_PORT = 6379
MAX_DATABASE = 1_000_000


@frozen
class RedisAddress:
    """A database of a Redis."""

    host: str
    port: int = DEFAULT_PORT
    database: int = 0
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis://{host}:{self.port}/{self.database}"


@documented("memory, or redis://HOST:PORT/DATABASE (redis://:PASSWORD@... where it asks for one)")
def registry_place(text: str) -> RedisAddress | None:
    """A coercer: None for `memory`. Raises ValueError."""
    if text.strip() == MEMORY:
        return None
    wrong = ValueError(f"{text.strip()[:60]!r} is neither memory nor redis://HOST:PORT/DATABASE")
    try:
        parts = urlsplit(text.strip())
        port = parts.port or DEFAULT_PORT
    except ValueError:
        raise wrong from None
    database = parts.path.removeprefix("/") or "0"
    extra = parts.query or parts.fragment or parts.username
    if parts.scheme != "redis" or not parts.hostname or extra:
        raise wrong
    if not (database.isascii() and database.isdigit() and int(database[:9]) <= MAX_DATABASE):
        raise wrong
    password = None if parts.password is None else unquote(parts.password)
    return RedisAddress(parts.hostname, port, int(database), password)
