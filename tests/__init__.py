"""Tests of dashp2p. Hypothesis is derandomised unless DASHP2P_HYPOTHESIS=long asks for more."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "default",
    derandomize=True,
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("long", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("DASHP2P_HYPOTHESIS", "default"))
