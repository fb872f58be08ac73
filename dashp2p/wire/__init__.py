"""Bytes to frames to session events. Knows no socket, no clock and no Twisted."""
