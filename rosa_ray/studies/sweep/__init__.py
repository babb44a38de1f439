"""Sweeps on Ray Tune: a search over any settings of a trial, several objectives, a front, and a winner."""
