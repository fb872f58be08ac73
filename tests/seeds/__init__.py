"""Swarms in memory through storms of faults. DASHP2P_SEEDS=N runs N of them instead of 200."""
