"""`dashp2p doctor`: what a machine lacks, and how to get it."""
