"""ROSA-Rec on Ray: rank ads by expected return on investment, from raw logs to an autoscaling endpoint."""

__version__ = "0.1.0"
