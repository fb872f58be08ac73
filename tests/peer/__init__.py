"""Tests of dashp2p.peer."""
