"""Decisions that spend money: what to bid, within a budget. NumPy only, so that any process can take them."""
