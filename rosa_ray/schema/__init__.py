"""Data contracts of the three logs, and the stable hash that turns ids into keys; `pseudonyms` stands by itself."""

from rosa_ray.schema.behavior import BEHAVIORS, WEAKEST, Behavior
from rosa_ray.schema.contract import Column, Contract, Violation
from rosa_ray.schema.contracts import ADS, CANDIDATES, CLICKS, CONTRACTS, CONVERSIONS, EVENTS, IMPRESSIONS, ITEMS, USERS
from rosa_ray.schema.keys import FOLDS, MISSING_KEY, derive_key, fold_of, hash_id, hash_ids, pseudonym

__all__ = [
    "ADS",
    "BEHAVIORS",
    "CANDIDATES",
    "CLICKS",
    "CONTRACTS",
    "CONVERSIONS",
    "EVENTS",
    "FOLDS",
    "IMPRESSIONS",
    "ITEMS",
    "MISSING_KEY",
    "USERS",
    "WEAKEST",
    "Behavior",
    "Column",
    "Contract",
    "Violation",
    "derive_key",
    "fold_of",
    "hash_id",
    "hash_ids",
    "pseudonym",
]
