"""Real daemons among real enemies: peers, pages, origins and trackers that mean harm.

SECURITY.md has the table of attacks, with the test of each.
"""
