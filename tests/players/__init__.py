"""Players without a page: what they ask of a peer, and how they ask it."""
