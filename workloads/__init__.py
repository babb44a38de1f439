"""Thin entry points: one file per verb of `rosa`, each also a Ray job by `python -m workloads VERB CONFIG`."""
