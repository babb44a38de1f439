"""Load on a running service: requests sent by the clock, whatever the answers take, and what their callers saw.

A client that waits for an answer before it sends the next slows down with the service, and so hides how long callers
would have waited. Here the times of all requests are fixed before the first one is sent, and each latency counts from
the time at which its request was due.
"""

from rosa_ray.load.answers import NO_ANSWER, Answer
from rosa_ray.load.bodies import Bodies
from rosa_ray.load.figures import KindFigures, LoadFigures, Stretch, figures_of, stretches
from rosa_ray.load.open_loop import OpenLoop
from rosa_ray.load.page import write_page
from rosa_ray.load.plan import Arrivals, Plan
from rosa_ray.load.saturation import Saturation, find_saturation

__all__ = [
    "NO_ANSWER",
    "Answer",
    "Arrivals",
    "Bodies",
    "KindFigures",
    "LoadFigures",
    "OpenLoop",
    "Plan",
    "Saturation",
    "Stretch",
    "figures_of",
    "find_saturation",
    "stretches",
    "write_page",
]
