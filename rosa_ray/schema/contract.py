"""What a contract is: columns, types, units and value rules, versioned, hashed and checked on entry.

A table that lacks a column or holds an uncastable type is refused whole (`ContractError`). A row that
breaks a value rule is set aside and counted with its reason (`Violation`); the other rows go on.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from rosa_ray.errors import ContractError

TIMESTAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class ColumnRule:
    """A condition on one column's non-null values.

    Attributes:
        holds: maps an array to a boolean array.
        remedy: what would make a value hold, for messages; empty where nothing would.
    """

    reason: str
    holds: Callable[[pa.Array], pa.Array]
    remedy: str = ""


@dataclass(frozen=True)
class Column:
    """One column of a contract.

    Attributes:
        required: where a table has the column, it holds no nulls; an optional one may be absent or null.
        meaning: one line for people, with the unit.
        may_lack: a table may do without a required column as a whole: its rows then read `absent`.
        absent: the value of a column that a table lacks; None is null.
    """

    name: str
    type: pa.DataType
    required: bool
    meaning: str
    rules: tuple[ColumnRule, ...] = ()
    may_lack: bool = False
    absent: bool | float | None = None

    @property
    def needed(self) -> bool:
        """Whether no table can do without it."""
        return self.required and not self.may_lack


LACKING_REMEDY = "source.columns names it where it is called otherwise"


@dataclass(frozen=True)
class Violation:
    """Rows of one table that break one rule: where, how many, why, and one of them.

    >>> str(Violation("a.csv", "price", 2, "are NaN, infinite or negative", "row 7, -1.5"))
    "a.csv: column 'price': 2 rows are NaN, infinite or negative, the first is row 7, -1.5"
    """

    where: str
    column: str
    rows: int
    reason: str
    example: str = field(default="", compare=False)

    def __str__(self) -> str:
        first = f", the first is {self.example}" if self.example else ""
        return f"{self.where}: column '{self.column}': {self.rows} rows {self.reason}{first}"


@dataclass(frozen=True)
class Fill:
    """What a null of one column means in the rows where others say so; `holds` maps a table to a boolean array."""

    column: str
    value: bool | float
    holds: Callable[[pa.Table], pa.Array]


@dataclass(frozen=True)
class Contract:
    """A named, versioned table contract.

    >>> from rosa_ray.schema import ADS
    >>> ADS.schema.names
    ['ad_id', 'item_id', 'campaign_id', 'category', 'bid', 'price', 'valid_from', 'valid_until']
    """

    name: str
    version: int
    columns: tuple[Column, ...]
    row_rules: tuple[tuple[str, str, Callable[[pa.Table], pa.Array]], ...] = field(default=())
    fills: tuple[Fill, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema every checked table has: all columns, in contract order."""
        return pa.schema([pa.field(c.name, c.type, nullable=not c.needed) for c in self.columns])

    def schema_of(self, names: Iterable[str]) -> pa.Schema:
        """The schema of some of the columns, in contract order, for tables that lack optional ones.

        >>> from rosa_ray.schema import ADS
        >>> ADS.schema_of(["price", "ad_id"]).names
        ['ad_id', 'price']
        """
        chosen = set(names)
        return pa.schema([field for field in self.schema if field.name in chosen])

    def with_columns(self, more: Iterable[Column]) -> "Contract":
        """The same contract with more columns behind its own."""
        return replace(self, columns=(*self.columns, *more))

    def lacking(self, names: Iterable[str]) -> list[str]:
        """Required columns that a table of some columns does without, in contract order.

        >>> from rosa_ray.schema import ADS
        >>> ADS.lacking(["ad_id", "campaign_id", "category", "bid"])
        ['price']
        """
        there = set(names)
        return [column.name for column in self.columns if column.required and column.name not in there]

    def without_absent(self, table: pa.Table) -> pa.Table:
        """The table without columns that it does without: those that it may lack and that are null in every row."""
        absent = [
            column.name
            for column in self.columns
            if column.may_lack and column.name in table.column_names and table[column.name].null_count == len(table)
        ]
        return table.drop_columns(absent)

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change when a name, type, requirement or rule changes."""
        text = "|".join(
            f"{c.name}:{c.type}:{c.required}:{c.may_lack}:{','.join(rule.reason for rule in c.rules)}"
            for c in self.columns
        )
        rows = "|".join(f"{column}:{reason}" for column, reason, _ in self.row_rules)
        return xxhash.xxh64_hexdigest(f"{self.name}/{self.version}/{text}/{rows}".encode())

    def check(self, table: pa.Table, where: str, rows: np.ndarray | None = None) -> tuple[pa.Table, list[Violation]]:
        """Cast a table to the contract and set aside the rows that break it.

        Args:
            table: any column order; columns the contract does not name are dropped.
            where: the file or source named in errors.
            rows: of each row its number in the file, for examples; None counts from 1.

        Returns:
            The good rows under `schema`, and what was set aside. A row counts once, at its first reason.

        Raises:
            ContractError: a required column is missing or a column cannot be cast.
        """
        cast = pa.table([self._cast(table, column, where) for column in self.columns], names=self.schema.names)
        cast = self._filled(cast)
        good = np.ones(cast.num_rows, dtype=bool)
        violations: list[Violation] = []
        for name, reason, holds in self._all_rules(table.column_names):
            broken = good & ~_to_mask(holds(cast))
            if broken.any():
                first = int(broken.argmax())
                remedy = self._remedies.get(reason, "")
                row = first + 1 if rows is None else rows[first]
                example = f"row {row}, {_in_line(cast[name][first])}" + (f"; {remedy}" if remedy else "")
                violations.append(Violation(where, name, int(broken.sum()), reason, example))
                good &= ~broken
        kept = cast if good.all() else cast.filter(pa.array(good))
        return kept.cast(self.schema), violations

    def _filled(self, table: pa.Table) -> pa.Table:
        for fill in self.fills:
            values = table[fill.column]
            if values.null_count:
                meant = pc.and_(pc.is_null(values), pc.fill_null(fill.holds(table), False))
                filled = pc.if_else(meant, pa.scalar(fill.value, values.type), values)
                table = table.set_column(table.column_names.index(fill.column), fill.column, filled)
        return table

    def _cast(self, table: pa.Table, column: Column, where: str) -> pa.ChunkedArray:
        if column.name not in table.column_names:
            if column.needed:
                raise ContractError(
                    f"{where}: column '{column.name}' is missing; {self.name} needs {column.type} ({column.meaning}), "
                    f"found columns {', '.join(table.column_names) or 'none'}"
                )
            if column.absent is None:
                return pa.chunked_array([pa.nulls(table.num_rows, column.type)])
            return pa.chunked_array([pa.repeat(pa.scalar(column.absent, column.type), table.num_rows)])
        values = table[column.name]
        try:
            return _cast_values(values, column.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ContractError(
                f"{where}: column '{column.name}' of {table.num_rows} rows is {values.type}, "
                f"which does not cast to {column.type} ({column.meaning}): {str(error).splitlines()[0]}"
            ) from error

    @property
    def _remedies(self) -> dict[str, str]:
        return {rule.reason: rule.remedy for column in self.columns for rule in column.rules}

    def _all_rules(self, names: Iterable[str]) -> Iterator[tuple[str, str, Callable[[pa.Table], pa.Array]]]:
        lacking = set(self.lacking(names))
        for column in self.columns:
            if column.required and column.name not in lacking:
                yield column.name, "are null", partial(_is_present, column.name)
            for rule in column.rules:
                yield column.name, rule.reason, partial(_holds_or_null, column.name, rule)
        yield from self.row_rules


def _is_present(name: str, table: pa.Table) -> pa.Array:
    return pc.is_valid(table[name])


def _holds_or_null(name: str, rule: ColumnRule, table: pa.Table) -> pa.Array:
    return pc.or_(pc.is_null(table[name]), pc.fill_null(rule.holds(table[name]), True))


def _cast_values(values: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_timestamp(target) and pa.types.is_timestamp(values.type) and values.type.tz is None:
        raise pa.ArrowInvalid("a timestamp without a time zone is ambiguous; give UTC timestamps")
    if pa.types.is_timestamp(target) and pa.types.is_timestamp(values.type):
        return floor_to_microseconds(values)
    if pa.types.is_timestamp(target) and pa.types.is_integer(values.type):
        raise pa.ArrowInvalid("an integer has no time unit; map the column with an explicit unit")
    numeric = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if pa.types.is_boolean(target) and numeric and not _is_binary(values):
        raise pa.ArrowInvalid("values other than 0 and 1")
    return values.cast(target)


def floor_to_microseconds(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Turn timestamps with a zone, of any unit, into UTC microseconds; finer digits are cut off.

    >>> nanoseconds = pa.chunked_array([pa.array([1_500], pa.timestamp("ns", "UTC"))])
    >>> floor_to_microseconds(nanoseconds).cast(pa.int64()).to_pylist()
    [1]
    """
    if values.type.unit != "ns":
        return values.cast(TIMESTAMP)
    nanoseconds = values.cast(pa.int64())
    remainder = pc.subtract(nanoseconds, pc.multiply(pc.divide(nanoseconds, 1000), 1000))
    below = pc.cast(pc.less(remainder, 0), pa.int64())
    return pc.subtract(pc.divide(nanoseconds, 1000), below).cast(TIMESTAMP)


def _in_line(value: pa.Scalar) -> str:
    """A value as a message has it: short, on one line."""
    if not value.is_valid:
        return "null"
    if pa.types.is_nested(value.type):
        return str(value.as_py())[:60]
    text = str(value.cast(pa.string()).as_py())
    return repr(text[:60]) if pa.types.is_string(value.type) else text


def _is_binary(values: pa.ChunkedArray) -> bool:
    return bool(pc.all(pc.is_in(values, pa.array([0, 1, None], values.type))).as_py())


def _to_mask(holds: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return np.asarray(holds.to_numpy(zero_copy_only=False) if isinstance(holds, pa.Array) else holds.to_numpy(), bool)
