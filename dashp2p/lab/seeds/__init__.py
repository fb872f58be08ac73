"""Swarms in memory through storms of faults, each drawn from a seed: `python -m dashp2p.lab seeds`.

While the storm lasts only safety is asked for: nothing false is played, nothing grows beyond its
bound. When it is over, every player must get to the end.
"""
