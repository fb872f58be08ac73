"""The experiment report: one HTML page of runs that were measured, which needs no network."""
