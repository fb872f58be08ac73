"""Tests of dashp2p.swarm."""
