"""A process that fills a cache folder until it is killed: `python writer.py FOLDER FIRST`.

Prints the number of each segment once it is committed. If the folder is taken it prints why and
exits with 3. It imports nothing of the tests, so that it starts quickly.
"""

import sys
from hashlib import shake_256
from itertools import count

from dashp2p.content.blocks import digest_of, hash_blocks
from dashp2p.store.disk import RealDisk
from dashp2p.store.errors import StoreBusy
from dashp2p.store.segments import SegmentStore

SIZE_BYTES = 200_000
BLOCK_SIZE_BYTES = 16_384
QUOTA_BYTES = 1 << 30


def content(number: int) -> bytes:
    """Segment `number`."""
    return shake_256(number.to_bytes(8, "big")).digest(SIZE_BYTES)


def digest(data: bytes) -> bytes:
    """Its name."""
    return digest_of(hash_blocks(data, BLOCK_SIZE_BYTES))


def main(folder: str, first: int) -> int:
    """Write segments from number `first` on, for ever."""
    store = SegmentStore(RealDisk(folder), QUOTA_BYTES, free_floor_bytes=0)
    try:
        store.open_folder(0.0)
    except StoreBusy as error:
        print(f"busy: {error}", flush=True)
        return 3
    print("open", flush=True)
    for number in count(first):
        data = content(number)
        store.put(digest(data), data, BLOCK_SIZE_BYTES, 0.0)
        print(number, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
