"""The tracker daemon: introduces peers and hands out the right to fetch from the origin."""
