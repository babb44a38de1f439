"""Thin entry points: one file per verb of the `rosa` command, each also a Ray job by `python -m workloads.VERB`."""
