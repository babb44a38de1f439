"""Implementations of the online store; a module defines `Store` and is found by its name."""
