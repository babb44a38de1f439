"""`rosa forget`: remove a user from the online store and from every file of the run."""

from pathlib import Path

from rosa_ray.config import RunConfig
from rosa_ray.errors import StoreMissingError
from rosa_ray.schema import hash_id
from rosa_ray.schema.pseudonyms import open_pseudonyms
from workloads.places import brings_impressions, store_of


def run(config: RunConfig, user_id: str, *, dry_run: bool = False) -> int:
    """Remove a user, under the id and under its pseudonym, and say what was removed where.

    Files first, so that no materialisation brings the user back into the store. A log outside the run is not touched,
    only named. Servers that run hold what they read last for `serving.user_memory_s`.
    """
    from rosa_ray.data.forget import forget_in_files

    pseudonyms = open_pseudonyms(config.privacy)
    ids = list(dict.fromkeys([user_id, *([] if pseudonyms is None else [pseudonyms.of(user_id)])]))
    removals = [removal for root in _roots(config) for removal in forget_in_files(root, ids, dry_run=dry_run)]
    done = "would be removed" if dry_run else "removed"
    for removal in removals:
        print(f"{removal.path}: {removal.count} {removal.unit} {done}")
    stored = _forget_in_store(config, ids, dry_run)
    if stored:
        print(f"store {stored}: {done}")
    if not removals and not stored:
        print(f"user '{user_id}': nothing of it is in {config.run_dir} or its store")
    if config.source.path and (brings_impressions(config.source) or config.source.kind != "log"):
        print(f"{config.source.path}: not touched, since it is not the run's own; remove the user there too")
    return 0


def _roots(config: RunConfig) -> list[str]:
    """The run, and the directories of live records that lie outside of it."""
    places = (config.stream.path, config.stream.dead_letters, config.serving.dead_letters)
    inside = f"{Path(config.run_dir).absolute()}/"
    return [
        config.run_dir,
        *sorted({place for place in places if place.startswith("/") and not place.startswith(inside)}),
    ]


def _forget_in_store(config: RunConfig, ids: list[str], dry_run: bool) -> str:
    """Remove a user from the store; returns where it is when it held the user."""
    from rosa_ray.store import open_store

    try:
        store = open_store(store_of(config), None)
    except StoreMissingError:
        return ""
    try:
        keys = [hash_id(user_id) for user_id in ids]
        held = [store.read_user(key).known if dry_run else store.forget_user(key) for key in keys]
        return store.info().location if any(held) else ""
    finally:
        store.close()
