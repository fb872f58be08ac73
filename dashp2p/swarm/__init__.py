"""Decisions, pure: who has what, which block from whom by when. Time is an argument."""
