"""What a newcomer's machine meets: the wheel, the locks, the scripts."""
