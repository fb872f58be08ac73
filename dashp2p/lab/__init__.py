"""Experiments: hosts with limited links, headless viewers, the simulator, reports."""
