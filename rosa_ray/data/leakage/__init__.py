"""The checks of the leak guard, each a small state of one question; see `rosa_ray.data.leakage.guard`."""
