"""What can go wrong with stored bytes, told apart by what the caller should do next."""
# ruff: noqa: N818 (named by what is the case, as the rest of the project's errors)

__all__ = [
    "AssemblyRefused",
    "BlocksMissing",
    "DigestMismatch",
    "FolderBusy",
    "SegmentDamaged",
    "SegmentMissing",
    "SegmentUnverified",
    "StoreBusy",
    "StoreError",
    "StoreUnavailable",
]


class StoreError(Exception):
    """Base of all below."""


class StoreUnavailable(StoreError):
    """Can't keep (or now not read) this segment; go on without. The text is for a person."""


class StoreBusy(StoreError):
    """Another process uses this folder. The text says which option to change."""


class FolderBusy(OSError):
    """A disk's lock is held by another."""


class SegmentMissing(StoreError, KeyError):
    """Not here: get it from elsewhere."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message.
        return Exception.__str__(self)


class SegmentUnverified(StoreError):
    """A file of that name is here, but nothing vouches for its bytes: verify, open again."""


class SegmentDamaged(StoreError):
    """The bytes changed or can't be read any more: get them from elsewhere."""


class BlocksMissing(StoreError):
    """These bytes of a segment that is being delivered aren't here yet."""


class AssemblyRefused(StoreError):
    """A segment too large for memory, or too many under way."""


class DigestMismatch(StoreError, ValueError):
    """The bytes are not those of the digest under which they were to be stored."""
