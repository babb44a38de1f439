"""Units used across the package: event time is int64 microseconds UTC, money is float major units.

Sums of money that must merge exactly are int64 micro-units (one millionth of the log's currency unit).
"""

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

MICROS_PER_UNIT = 1_000_000

THOUSANDTHS = 1_000
"""Of a natural log: the unit of log prices that models read, whole numbers whose sums are exact."""

NO_PRICE = -(2**31)
"""The log price of what has none."""
