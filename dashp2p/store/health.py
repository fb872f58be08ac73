"""Whether the disk takes writes, and when to try again after it didn't."""

from attrs import define

from dashp2p.store.limits import RETRY_FIRST_S, RETRY_MAX_S

__all__ = ["Health"]


@define
class Health:
    """Degraded after a failed write, until a write succeeds.

    While degraded one write is let through at the end of each wait; the waits double from
    RETRY_FIRST_S to RETRY_MAX_S. `reason` is a sentence for a person, None while all is well.
    """

    reason: str | None = None
    retry_at_s: float = 0.0
    _wait_s: float = 0.0
    _trying: bool = False

    @property
    def degraded(self) -> bool:
        """Whether the last write failed."""
        return self.reason is not None

    def failed(self, reason: str, now: float) -> None:
        """A write failed at `now`. Writes that were under way together count once."""
        if not self.degraded or self._trying:
            self._wait_s = min(RETRY_MAX_S, max(RETRY_FIRST_S, 2 * self._wait_s))
            self.retry_at_s = now + self._wait_s
            self._trying = False
        self.reason = reason

    def may_write(self, now: float) -> bool:
        """Whether a write may be tried at `now`. Saying yes while degraded uses up the trial."""
        if not self.degraded:
            return True
        if now < self.retry_at_s:
            return False
        self.retry_at_s = now + self._wait_s
        self._trying = True
        return True

    def recovered(self) -> None:
        """A write succeeded."""
        self.reason = None
        self.retry_at_s = self._wait_s = 0.0
        self._trying = False
