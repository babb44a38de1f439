"""Data contracts of the three logs, the stable hash that turns ids into keys, and pseudonyms of users."""

from rosa_ray.schema.behavior import BEHAVIORS, Behavior
from rosa_ray.schema.contracts import ADS, CANDIDATES, CONTRACTS, EVENTS, IMPRESSIONS, Column, Contract, Violation
from rosa_ray.schema.keys import MISSING_KEY, derive_key, hash_id, hash_ids, pseudonym
from rosa_ray.schema.pseudonyms import PrivacyConfig, Pseudonyms, open_pseudonyms, require_user_key

__all__ = [
    "ADS",
    "BEHAVIORS",
    "CANDIDATES",
    "CONTRACTS",
    "EVENTS",
    "IMPRESSIONS",
    "MISSING_KEY",
    "Behavior",
    "Column",
    "Contract",
    "PrivacyConfig",
    "Pseudonyms",
    "Violation",
    "derive_key",
    "hash_id",
    "hash_ids",
    "open_pseudonyms",
    "pseudonym",
    "require_user_key",
]
