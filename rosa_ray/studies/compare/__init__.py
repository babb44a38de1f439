"""Comparisons: several models or variants over several seeds on the same rows, with intervals."""
