"""The player page in a real browser."""
