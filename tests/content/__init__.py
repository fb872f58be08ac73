"""Tests of what is delivered and how it is proven."""
