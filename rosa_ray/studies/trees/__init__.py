"""Boosted trees on hand-made features: what simple questions about an ad and the past say, beside the rankers."""
