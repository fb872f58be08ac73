"""The peer daemon: an HTTP face for the player, a TCP face for other peers."""
