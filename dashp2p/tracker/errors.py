"""What the tracker answers when it does not do what it was asked."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - it says what happened
    """A call that is not served. `sentence` tells the caller what to do; `status` is HTTP's."""

    def __init__(
        self, sentence: str, status: int = 400, *, retry_after_s: float | None = None
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status
        self.retry_after_s = retry_after_s
