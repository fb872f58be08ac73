"""Verified bytes in memory and on disk."""
