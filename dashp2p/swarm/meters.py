"""Rates measured, and rates kept."""

from __future__ import annotations

from attrs import define, field

DEFAULT_RATE_BPS = 8_000_000.0


@define
class RateMeter:
    """Bits per second of something that is busy only at times.

    `start` when it becomes busy and `stop` when it has nothing to do: idle time does not count.
    The average forgets with a half life of about `memory_s` of busy time.
    """

    memory_s: float = 1.0
    rate_bps: float = DEFAULT_RATE_BPS
    measured: bool = False
    _since: float | None = None
    _bytes: int = 0
    _busy_s: float = 0.0

    def start(self, now: float) -> None:
        """It has something to do from now on."""
        if self._since is None:
            self._since = now

    def stop(self, now: float) -> None:
        """It has nothing more to do."""
        if self._since is not None:
            self._busy_s += now - self._since
            self._since = None

    def slept(self, gap_s: float) -> None:
        """Time in which nobody here was awake does not count as busy."""
        if self._since is not None:
            self._since += gap_s

    def add(self, size_bytes: int, now: float) -> None:
        """So many bytes have passed."""
        self._bytes += size_bytes
        busy_s = self._busy_s + (now - self._since if self._since is not None else 0.0)
        if busy_s < 0.05:
            return
        sample = self._bytes * 8 / busy_s
        weight = min(1.0, busy_s / self.memory_s) if self.measured else 1.0
        self.rate_bps += weight * (sample - self.rate_bps)
        self.measured = True
        self._bytes = 0
        self._busy_s = 0.0
        if self._since is not None:
            self._since = now


@define
class TokenBucket:
    """`burst` at once, and `rate` a second in the long run."""

    rate: float
    burst: float
    level: float = field()
    _at: float | None = None

    @level.default
    def _full(self) -> float:
        return self.burst

    def available(self, now: float) -> float:
        """What may be taken now."""
        if self._at is not None and now > self._at:
            self.level = min(self.burst, self.level + (now - self._at) * self.rate)
        self._at = now
        return self.level

    def take(self, amount: float, now: float) -> bool:
        """Take it whole, or nothing."""
        if self.available(now) < amount:
            return False
        self.level -= amount
        return True

    def spend(self, amount: float, now: float) -> None:
        """Take it even where that leaves a debt, which is paid before the next."""
        self.available(now)
        self.level -= amount

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until so much (at most the burst) may be taken."""
        missing = min(amount, self.burst) - self.available(now)
        return max(0.0, missing / self.rate)
