"""Parts of `gate_frontier.py`: exact value, replay, its clock, and the plot."""
