"""A rehearsal on a real network: silent viewers against an origin and a tracker that run."""
