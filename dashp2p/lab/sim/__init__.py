"""The simulator: a crowd on a virtual clock, run by the shipped swarm code, from a seed."""
