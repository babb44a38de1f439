import pytest

from rosa_ray.serving.rules import Freshness, decide


@pytest.mark.parametrize(
    ("rule", "freshness", "weight"),
    [
        ("offline", Freshness(5, False, 5, False, None), 1.0),
        ("online", Freshness(5, True, 0, False, 1.0), 0.0),
        ("fresh", Freshness(5, True, 0, False, 1.0), 1.0),
        ("fresh", Freshness(5, True, 1, False, 1.0), 0.0),
        ("fresh", Freshness(5, True, 0, True, 1.0), 0.0),
        ("fresh", Freshness(5, False, 5, False, None), 0.0),
        ("online", Freshness(0, False, 0, False, None), 1.0),
    ],
)
def test_lambda_of_each_rule(rule: str, freshness: Freshness, weight: float) -> None:
    assert decide(rule, freshness).offline_weight == weight
