"""Peer-assisted delivery of DASH and HLS presentations: a crowd costs the origin one copy."""

__version__ = "0.1.0"
