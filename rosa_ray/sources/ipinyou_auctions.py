"""iPinYou auctions with predicted clicks, as the RLB code publishes them (Cai et al., WSDM 2017).

A campaign is a file `rlb_CAMPAIGN_validation.txt.gz`, or without `.gz`. Its first line is `FEATURES ROWS`. Blocks
follow: a line with the number of the block, from 1 on, then ROWS lines `CLICK PRICE P_CTR`. PRICE is the market price
in RMB fen per thousand impressions, a whole number.
"""

import gzip
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

import fsspec
import numpy as np

from rosa_ray.arrays import Floats, Ints
from rosa_ray.errors import InputError
from rosa_ray.storage import full_path, open_file, readable

PATTERN = "rlb_*_validation.txt*"
LARGEST_PRICE = 1_000_000
"""Fen per thousand impressions: ten yuan for one. iPinYou's highest is 300. So sums of a log stay whole numbers."""

_NAME = re.compile(r"rlb_(\w+)_validation\.txt(?:\.gz)?$")


@dataclass(frozen=True)
class AuctionLog:
    """The auctions of one campaign, in the order of its file.

    Attributes:
        campaign: from the name of the file.
        file: its name, without folders.
        click: int64 (n,), 0 or 1.
        price_fen_per_thousand: int64 (n,), >= 0.
        p_ctr: float64 (n,), predicted click probability, in [0, 1].
        rows_per_block: that the file was written with.
    """

    campaign: str
    file: str
    click: Ints
    price_fen_per_thousand: Ints
    p_ctr: Floats
    rows_per_block: int


def find_campaigns(folder: str) -> dict[str, str]:
    """Files of a folder by campaign, sorted by campaign. The folder may be local or remote.

    Raises:
        InputError: there is no such folder, no file of a campaign in it, or two files of one campaign.
    """
    with readable(folder):
        fs, root = fsspec.core.url_to_fs(folder)
        if not fs.isdir(root):
            raise InputError(f"{folder}: is no folder; give the one that holds {PATTERN}")
        paths = sorted(str(path) for path in fs.glob(f"{root.rstrip('/')}/{PATTERN}"))
    found: dict[str, str] = {}
    for path in paths:
        if name := _NAME.search(path):
            if name[1] in found:
                raise InputError(f"{folder}: campaign {name[1]} has two files; leave one of them")
            found[name[1]] = full_path(fs, path)
    if not found:
        raise InputError(f"{folder}: no campaign is there; its files are called {PATTERN}")
    return dict(sorted(found.items()))


def read_campaign(path: str) -> AuctionLog:
    """Read the auctions of one campaign.

    Raises:
        InputError: the file is missing, empty or cut off; a row is malformed; a price is no whole number from 0 to a
            million; a p_ctr is outside of 0 to 1; a block has more or fewer rows than the first line says. The message
            names the line.
    """
    name = _NAME.search(path)
    lines = _lines(path)
    rows_per_block = _header(path, lines)
    rows_read: list[tuple[int, int, float]] = []
    block, rows, number = 0, rows_per_block, 1
    for number, fields in lines:
        if len(fields) == 1:
            _require_whole(path, number, block, rows, rows_per_block)
            block, rows = block + 1, 0
            if fields[0] != str(block):
                raise InputError(f"{path}, line {number}: block '{fields[0]}' where block {block} should begin")
            continue
        if not block or rows == rows_per_block:
            what = f"block {block} has more than {rows_per_block} rows" if block else "rows begin before a block does"
            raise InputError(f"{path}, line {number}: {what}")
        rows += 1
        rows_read.append(_row(path, number, fields))
    if not block:
        raise InputError(f"{path}: holds no auctions")
    _require_whole(path, number, block, rows, rows_per_block)
    click, price, p_ctr = zip(*rows_read, strict=True)
    return AuctionLog(
        campaign=name[1] if name else path,
        file=path.rsplit("/", 1)[-1],
        click=np.array(click, np.int64),
        price_fen_per_thousand=np.array(price, np.int64),
        p_ctr=np.array(p_ctr, np.float64),
        rows_per_block=rows_per_block,
    )


def _lines(path: str) -> Iterator[tuple[int, list[str]]]:
    """Numbers, from 1 on, and fields of lines; empty lines are passed over."""
    with open_file(path) as raw, readable(path, "a text file, gzipped where it ends in .gz"):
        handle = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if path.endswith(".gz") else raw
        try:
            for number, line in enumerate(handle, start=1):
                if fields := line.decode().split():
                    yield number, fields
        except zlib.error as error:
            raise ValueError(str(error)) from error


def _header(path: str, lines: Iterator[tuple[int, list[str]]]) -> int:
    number, fields = next(lines, (0, []))
    if not fields:
        raise InputError(f"{path}: is empty")
    if len(fields) != 2 or not all(field.isdecimal() for field in fields) or not int(fields[1]):
        raise InputError(
            f"{path}, line {number}: is '{' '.join(fields)}'; the first line is FEATURES ROWS, two whole numbers"
        )
    return int(fields[1])


def _row(path: str, number: int, fields: list[str]) -> tuple[int, int, float]:
    at = f"{path}, line {number}"
    if len(fields) != 3:
        raise InputError(f"{at}: has {len(fields)} fields; a row is CLICK PRICE P_CTR")
    try:
        price, p_ctr = float(fields[1]), float(fields[2])
    except ValueError:
        raise InputError(f"{at}: '{' '.join(fields)}' is no row; a row is CLICK PRICE P_CTR") from None
    if fields[0] not in ("0", "1"):
        raise InputError(f"{at}: the click is '{fields[0]}'; it is 0 or 1")
    if not math.isfinite(price) or price < 0:
        raise InputError(f"{at}: the price is {fields[1]}; it must be finite and not negative")
    if price != int(price) or price > LARGEST_PRICE:
        raise InputError(
            f"{at}: the price is {fields[1]}; it must be whole fen per thousand impressions, at most {LARGEST_PRICE:,}"
        )
    if not 0 <= p_ctr <= 1:
        raise InputError(f"{at}: p_ctr is {fields[2]}; it must lie from 0 to 1")
    return int(fields[0]), int(price), p_ctr


def _require_whole(path: str, number: int, block: int, rows: int, wanted: int) -> None:
    if rows != wanted:
        raise InputError(f"{path}, line {number}: block {block} ends after {rows} rows of {wanted}")
