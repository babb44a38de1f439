"""Embedding tables and the two towers that share them: timeline events and ads.

Ads and history items share one item table and one category table. With tables of its own an ad is never like an event
of its item, and a few thousand clicks do not teach that: such a model stays at chance. Shapes: see
`rosa_ray.models.batch`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from rosa_ray.models.batch import UserBatch
from rosa_ray.schema import BEHAVIORS
from rosa_ray.units import SECOND_US

HOURS, WEEKDAYS, GAP_BUCKETS = 24, 7, 34

IDENTITY_STD, ATTRIBUTE_STD = 0.3, 0.05
"""Starting spread of item and category rows, and of all other tables. Item and category outweigh the rest, so that
an ad and an event of the same item are alike before anything is learned."""

OWN_WIDTH = 16
"""Numbers that a declared column, a cross or another own field becomes, beside the sum of all that every log has."""

TableSizes = Mapping[str, int]
"""Rows per table: item, category, campaign, device, region, money; and `dense`, the dense width F.

Where columns are declared, and where there are not four behaviours, see `FeatureState.table_sizes` of
`rosa_ray.features`."""

VECTOR = "vector:"
"""Prefix of the sizes of declared vectors."""


def behavior_count(sizes: TableSizes) -> int:
    """How many behaviours an event may have.

    >>> behavior_count({}), behavior_count({"behaviors": 5})
    (4, 5)
    """
    return sizes.get("behaviors", len(BEHAVIORS))


class SharedTables(nn.Module):
    """The item and category tables, D wide, used by history and ads alike.

    Where columns of items are declared as shared, their table too: such a column tells a kind of item, as its category
    does, and is added to it.
    """

    def __init__(self, sizes: TableSizes, width: int) -> None:
        super().__init__()
        self.item = _table(sizes["item"], width, IDENTITY_STD)
        self.category = _table(sizes["category"], width, IDENTITY_STD)
        self.shared = _table(sizes["shared"], width, IDENTITY_STD) if "shared" in sizes else None

    def kind(self, of: Mapping[str, Tensor]) -> Tensor:
        """Category and shared columns of events or ads, (..., D)."""
        category: Tensor = self.category(of["category"])
        return category if self.shared is None else category + self.shared(of["shared"]).sum(-2)


class EventEmbedding(nn.Module):
    """`E_i + E_c + E_b + E_t` of an event; time is the gap to the previous event, hour of day and weekday."""

    def __init__(self, sizes: TableSizes, width: int, dropout: float) -> None:
        super().__init__()
        self.behavior = _table(behavior_count(sizes), width)
        self.gap = _table(GAP_BUCKETS, width)
        self.hour = _table(HOURS, width)
        self.weekday = _table(WEEKDAYS, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tables: SharedTables, events: Mapping[str, Tensor]) -> Tensor:
        """(B, T) columns to (B, T, D)."""
        item, category, behavior, when = self.fields(tables, events)
        return self.dropout(item + category + behavior + when)

    def fields(self, tables: SharedTables, events: Mapping[str, Tensor]) -> list[Tensor]:
        """Item, category, behaviour and time one by one, each (B, T, D)."""
        when = self.gap(events["gap"]) + self.hour(events["hour"]) + self.weekday(events["weekday"])
        what = [tables.item(events["item"]), tables.kind(events)]
        return [*what, self.behavior(events["behavior"]), when]


class AdEmbedding(nn.Module):
    """Item, category, campaign, log-bid and log-price bucket of an ad, summed and normalised to (B, N, D)."""

    def __init__(self, sizes: TableSizes, width: int, dropout: float, shared: bool = True) -> None:
        super().__init__()
        self.own = None if shared else SharedTables(sizes, width)
        self.campaign = _table(sizes["campaign"], width)
        self.bid = _table(sizes["money"], width)
        self.price = _table(sizes["money"], width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tables: SharedTables, shown: Mapping[str, Tensor]) -> Tensor:
        return self.join(self.fields(tables, shown))

    def join(self, fields: list[Tensor]) -> Tensor:
        """Sum and normalise what `fields` gave."""
        item, category, campaign, bid, price = fields
        return self.dropout(self.norm(item + category + campaign + bid + price))

    def fields(self, tables: SharedTables, shown: Mapping[str, Tensor]) -> list[Tensor]:
        """The five vectors one by one, each (B, N, D), as they are in the tables."""
        tables = self.own or tables
        what = [tables.item(shown["item"]), tables.kind(shown), self.campaign(shown["campaign"])]
        return [*what, self.bid(shown["bid_bucket"]), self.price(shown["price_bucket"])]


class OwnFields(nn.Module):
    """Declared columns and other token fields, a vector of width D each; none of them makes no table.

    Crosses, the ad's id and the slot are fields of one token. A column of several tokens is the sum of theirs by the
    root of their number. A vector is projected.

    Attributes:
        count: K, the fields there are.
    """

    def __init__(self, sizes: TableSizes, width: int) -> None:
        super().__init__()
        self.tokens, self.sets = sizes.get("own_fields", 0), sizes.get("own_sets", 0)
        self.widths = [size for name, size in sizes.items() if name.startswith(VECTOR)]
        self.count = self.tokens + self.sets + len(self.widths)
        self.table = _table(sizes["own"], width) if self.tokens + self.sets else None
        self.projections = nn.ModuleList(nn.Linear(size, width) for size in self.widths) if self.widths else None

    def forward(self, shown: Mapping[str, Tensor]) -> list[Tensor]:
        """The K vectors, each (B, N, D)."""
        fields: list[Tensor] = []
        if self.table is not None and self.tokens:
            fields += self.table(shown["own"]).unbind(-2)
        if self.table is not None and self.sets:
            fields += sum_of_sets(self.table, shown["own_sets"]).unbind(-2)
        if self.projections is not None:
            vectors = shown["vectors"].split(self.widths, dim=-1)
            fields += [project(one) for project, one in zip(self.projections, vectors, strict=True)]
        return fields


def sum_of_sets(table: nn.Embedding, rows: Tensor) -> Tensor:
    """Sum of the table's rows over the last dimension by the root of their number, (..., D); -1 is no row.

    By the root, so that a value among others is still heard, and a long list is not loud.

    >>> table = nn.Embedding.from_pretrained(torch.tensor([[1.0], [3.0]]))
    >>> sum_of_sets(table, torch.tensor([[0, 0, 0, 0], [1, -1, -1, -1]])).tolist()
    [[2.0], [3.0]]
    """
    there = (rows >= 0)[..., None]
    total = (table(rows.clamp_min(0)) * there).sum(-2)
    return total * there.sum(-2).clamp_min(1).to(total.dtype).rsqrt()


class ContextEncoder(nn.Module):
    """Device, region, hour, weekday and the dense features of a request and ad, projected to (B, N, D).

    Own fields follow side by side, so that no sum hides one behind another: (B, N, `outputs`) in all. They are
    narrower, as there may be many, and a head reads all of them for every candidate.

    Args:
        recency: also how long before the request the user's last event was.
        own_width: numbers of each own field, `OWN_WIDTH` or the width where that is less.
    """

    def __init__(
        self, sizes: TableSizes, width: int, dropout: float, recency: bool, own_width: int = OWN_WIDTH
    ) -> None:
        super().__init__()
        self.device = _table(sizes["device"], width)
        self.region = _table(sizes["region"], width)
        self.hour = _table(HOURS, width)
        self.weekday = _table(WEEKDAYS, width)
        self.recency = _table(GAP_BUCKETS + 1, width) if recency else None
        self.dense = nn.Sequential(nn.Linear(sizes["dense"], width), nn.ReLU(), nn.Dropout(dropout))
        self.norm = nn.LayerNorm(width)
        self.own = OwnFields(sizes, min(own_width, width))
        self.outputs = width + self.own.count * min(own_width, width)

    def forward(self, batch: UserBatch) -> Tensor:
        return self.join(self.fields(batch))

    def join(self, fields: list[Tensor]) -> Tensor:
        """Sum and normalise what `fields` gave; own fields follow the sum, those of tokens each normalised by itself.

        As small as they are in their table, beside vectors of scale 1, tokens would be learned late.
        """
        given = len(fields) - self.own.count
        device, region, hour, weekday, dense, *recency = fields[:given]
        summed = self.norm(sum(recency, (device + region) + (hour + weekday) + dense))
        if not self.own.count:
            return summed
        tokens = given + self.own.tokens + self.own.sets
        if tokens == given:
            return torch.cat([summed, *fields[tokens:]], dim=-1)
        own = functional.layer_norm(torch.stack(fields[given:tokens], dim=-2), fields[given].shape[-1:])
        return torch.cat([summed, own.flatten(-2), *fields[tokens:]], dim=-1)

    def fields(self, batch: UserBatch) -> list[Tensor]:
        """The vectors one by one, each (B, N, D); own ones come last, each (B, N, own width)."""
        shown = batch.impressions
        where = [self.device(shown["device"]), self.region(shown["region"])]
        when = [self.hour(shown["hour"]), self.weekday(shown["weekday"])]
        recency = [] if self.recency is None else [self.recency(recency_buckets(batch))]
        return [*where, *when, self.dense(batch.dense), *recency, *self.own(shown)]


def elapsed_buckets(elapsed_us: Tensor) -> Tensor:
    """Log2 bucket of the time from an event to the request, as events bucket the time since the one before.

    >>> elapsed_buckets(torch.tensor([1, 1_000_000, 3_600_000_000])).tolist()
    [1, 2, 12]
    """
    seconds = (elapsed_us // SECOND_US).clamp_min(0).double()
    return (1 + torch.log2(1 + seconds).long()).clamp_max(GAP_BUCKETS - 1)


def recency_buckets(batch: UserBatch) -> Tensor:
    """Bucket of the time from the user's last event to each impression, (B, N); `GAP_BUCKETS` where there is none."""
    visible = batch.impressions["visible"]
    last_us = functional.pad(batch.events["time_us"], (1, 0)).gather(1, visible)
    return torch.where(visible > 0, elapsed_buckets(batch.impressions["time_us"] - last_us), GAP_BUCKETS)


def attribute_table(rows: int, width: int) -> nn.Embedding:
    """A table that starts as small as those of all attributes."""
    return _table(rows, width)


def _table(rows: int, width: int, std: float = ATTRIBUTE_STD) -> nn.Embedding:
    table = nn.Embedding(rows, width)
    nn.init.normal_(table.weight, std=std)
    return table


def zero_bias_linear(inputs: int, outputs: int, bias: float) -> nn.Linear:
    """A linear layer that starts at a constant: zero weights and the given bias."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.fill_(bias)
    return layer
