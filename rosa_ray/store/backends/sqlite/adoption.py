"""A store of schema 5 says which model filled it and not by which features: its model's first reader tells."""

import sqlite3

from rosa_ray.features import FeatureConfig
from rosa_ray.store.backends.sqlite import generations, removal
from rosa_ray.store.backends.sqlite.counters import complete_totals
from rosa_ray.store.backends.sqlite.database import Database
from rosa_ray.store.backends.sqlite.journal import behavior_names
from rosa_ray.store.backends.sqlite.loading import CatchUp
from rosa_ray.store.config import StoreConfig


def adopt(
    database: Database, fingerprint: str, features: FeatureConfig, model_version: str, config: StoreConfig
) -> None:
    """Take over what an earlier version of the program filled for this model, or with live records alone."""
    with database.read() as connection:
        held = [
            one.number
            for one in generations.in_state(connection, "held")
            if _is_of(connection, one.number, model_version)
        ]
    for number in held:
        with database.write() as connection:
            behavior_names(connection, features.behavior_names)
            taken = connection.execute(
                "UPDATE generations SET counting_fingerprint = ?, features = ? WHERE number = ? AND state = 'held'",
                (fingerprint, generations.definition_of(features), number),
            )
            if not taken.rowcount:
                continue
            complete_totals(connection, str(number), len(features.behaviors))
            alone = not generations.in_state(connection, "live")
            if alone:
                connection.execute("UPDATE generations SET state = 'live' WHERE number = ?", (number,))
        if alone:
            continue
        replay = CatchUp.of(number, config, keeps=True)
        replay.run(database)
        with database.write() as connection:
            replay.finish(connection)
            connection.execute("UPDATE generations SET state = 'live' WHERE number = ? AND state = 'held'", (number,))
        database.write_in_turns(removal.empty_table(database, "replayed", str(number)))


def _is_of(connection: sqlite3.Connection, generation: int, model_version: str) -> bool:
    models = [model.version for model in generations.models_of(connection, generation)]
    return models == [""] or (model_version != "" and model_version in models)
