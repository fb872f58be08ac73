"""What is delivered and how it is proven: index, block digests, MPD reading, keys."""
