"""Every error a user can meet, and the exit code the command line answers with.

    RosaError                 1   something failed that has no closer name
    ├── ConfigError           2   a configuration key or value is wrong
    ├── InputError            3   a file, bucket or table is missing or unreadable
    │   └── ContractError     3   a table breaks its data contract
    ├── TrainingError         5   training could not go on (no data, diverged)
    ├── BundleError           6   a model bundle is damaged or does not fit this code
    ├── StoreError            7   the online store is missing, locked or of another version
    │   ├── StoreLockedError  7   another process is writing; the store itself is well
    │   └── StoreDamagedError 7   what the store holds cannot be read
    ├── ServingError          8   the ranking service did not come up or did not answer
    │   └── OverloadError     8   a part of the service has more to do than it can; try again later
    ├── StreamError           9   live records cannot be read from, or written to, a log or Kafka
    ├── ParityError          10   the live path computed another feature or score than the offline path
    └── ChaosError           11   a fault done on purpose was noticed by callers in a way that they may not expect

Exit code 4 is not an error: the job finished on the good input and set some input aside.
"""

EXIT_PARTIAL = 4


class RosaError(Exception):
    """Base of all expected failures: one clear line that says what, where, and what would be right."""

    exit_code = 1


class ConfigError(RosaError):
    """A configuration key is unknown or its value does not fit."""

    exit_code = 2


class InputError(RosaError):
    """Input is missing, unreadable or empty."""

    exit_code = 3


class ContractError(InputError):
    """A table does not satisfy its data contract (missing column, wrong type)."""


class TrainingError(RosaError):
    """Training cannot start or continue."""

    exit_code = 5


class BundleError(RosaError):
    """A model bundle is damaged, incomplete, or was built for other features."""

    exit_code = 6


class StoreError(RosaError):
    """The online store is missing, locked, or was filled for another feature version."""

    exit_code = 7


class StoreMissingError(StoreError):
    """There is no online store where one should be."""


class StoreLockedError(StoreError):
    """Another process is writing to the online store. Reads go on."""


class StoreDamagedError(StoreError):
    """The online store holds something that cannot be read."""


class ServingError(RosaError):
    """The ranking service did not start or did not answer."""

    exit_code = 8


class OverloadError(ServingError):
    """A part of the service has more to do than it can."""


class StreamError(RosaError):
    """A stream of live records cannot be read or written."""

    exit_code = 9


class StreamAwayError(StreamError):
    """A stream cannot be reached now; it may be again in a while."""


class ParityError(RosaError):
    """A feature or a score differs between the offline and the live path."""

    exit_code = 10


class ChaosError(RosaError):
    """A fault done on purpose was noticed by callers in a way that they may not expect."""

    exit_code = 11
