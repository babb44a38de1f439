"""Records of ads: what they tell of the catalogue, and what is refused."""

import json

import pytest

from rosa_ray.features import AdTable, FeatureConfig
from rosa_ray.features.ad_changes import AdChange
from rosa_ray.features.own import ColumnConfig
from rosa_ray.features.versions import ALWAYS_US
from rosa_ray.records import EXAMPLES, Parsed, RecordParser
from tests.synthetic import ads_table

NOW_US = 1_800_000_000_000_000
FEATURES = FeatureConfig(columns={"ad.margin": ColumnConfig(type="number")})
PARSER = RecordParser(AdTable.from_table(ads_table()), now_us=lambda: NOW_US, features=FEATURES)
SINCE, SINCE_US = "2026-01-31T09:30:00Z", 1_769_851_800_000_000


def ad(**fields: object) -> dict[str, object]:
    return {"type": "ad", "ad_id": "a1", "valid_from": SINCE, **fields}


def parse(*records: dict[str, object]) -> Parsed:
    return PARSER.parse_lines([json.dumps(record).encode() for record in records])


def test_a_new_ad_is_told_with_all_its_terms() -> None:
    parsed = parse(EXAMPLES["ad"])
    terms = {"item_id": "i42", "campaign_id": "k3", "category": "shoes", "bid": 0.012, "price": 59.9}
    assert parsed.ads == (AdChange.of("ad9", 1_769_817_600_000_000, terms),)
    assert (parsed.changed, parsed.refusals, parsed.asks_nothing) == (1, (), False)


def test_only_what_a_record_names_is_told() -> None:
    parsed = parse(
        ad(price="12.5", item_id=7),
        ad(paused=True, valid_from=None),
        ad(valid_until="2026-02-01T00:00:00Z", budget=100),
        ad(valid_until=None, item_id=None, devices=["tablet", "mobile", "tablet"], regions=None),
    )
    assert parsed.ads == (
        AdChange.of("a1", SINCE_US, {"price": 12.5, "item_id": "7"}),
        AdChange.of("a1", ALWAYS_US, {"paused": True}),
        AdChange.of("a1", SINCE_US, {"valid_until": 1_769_904_000_000_000, "budget": 100.0}),
        AdChange.of(
            "a1", SINCE_US, {"valid_until": None, "item_id": None, "devices": ["mobile", "tablet"], "regions": None}
        ),
    )


def test_columns_and_terms_may_stand_in_one_record() -> None:
    parsed = parse(ad(columns={"margin": 0.5}, price=2.0), ad(columns={"margin": 0.25}))
    (change,) = parsed.changes
    assert len(change) == 2
    assert [one.terms for one in parsed.ads] == [{"ad.margin": 0.5, "price": 2.0}, {"ad.margin": 0.25}]
    assert parsed.changed == 2


def test_what_an_ad_will_be_may_be_told_ahead() -> None:
    parsed = parse(ad(valid_from="2060-01-01T00:00:00Z", price=2.0), {**EXAMPLES["item"], "valid_from": "2060-01-01"})
    assert len(parsed.ads) == 1
    assert [refusal.index for refusal in parsed.refusals] == [1]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"price": 0}, "price: needs a number above 0 and up to 1e9"),
        ({"price": None}, "price: needs a number above 0 and up to 1e9"),
        ({"bid": 2e6}, "bid: needs a number from 1e-6 to 1e6"),
        ({"campaign_id": None}, "campaign_id: needs an id, text of 1 to 256 characters or an integer"),
        ({"paused": "yes"}, "paused: Input should be a valid boolean"),
        ({"valid_until": "soon"}, "valid_until: is no time that exists, such as 2026-01-31T09:30:00Z"),
        ({"valid_until": "2026-01-30T00:00:00Z"}, "valid_until: lies before valid_from"),
        ({"devices": []}, "devices: List should have at least 1 item after validation, not 0"),
        ({"devices": "mobile"}, "devices: Input should be a valid array"),
    ],
)
def test_a_wrong_term_refuses_the_record_and_is_named(fields: dict[str, object], reason: str) -> None:
    parsed = parse(ad(**fields), ad(price=2.0))
    assert [(refusal.index, refusal.detail) for refusal in parsed.refusals] == [(0, reason)]
    assert len(parsed.ads) == 1
