"""Readers of what comes from outside, fed with noise: `python -m tests.fuzz.run NAME`."""
