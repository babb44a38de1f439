"""Evaluation: a fitted model scores a period, and its predictions are measured."""
