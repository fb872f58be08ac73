"""Tests of the origin daemon."""
