"""Faults done on purpose to a service of its own, and whether what callers saw was what they may expect.

Each case is a function of one file of `rosa_ray.chaos.cases`. It does something to a copy of a run, which is thrown
away, and says what it saw and where that fell short. `rosa chaos` runs them.
"""

from rosa_ray.chaos.case import Case, Seen, Short
from rosa_ray.chaos.judging import Allowed, Verdict, judge

__all__ = ["Allowed", "Case", "Seen", "Short", "Verdict", "judge"]
