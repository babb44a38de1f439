"""The table of cases: names, choices, and what stands in it."""

import pytest

from rosa_ray.chaos.case import STAGES, Seen, all_cases, chosen_cases
from rosa_ray.errors import ConfigError


def test_there_are_sixty_cases_at_least_and_each_says_what_is_done_and_expected() -> None:
    cases = all_cases()
    assert len(cases) >= 60
    assert all(case.does and case.expects and case.limit_s > 0 for case in cases)
    assert len({case.name for case in cases}) == len(cases)


def test_cases_of_one_stage_stand_together() -> None:
    places = [STAGES.index(case.stage) for case in all_cases()]
    assert places == sorted(places)


def test_the_subjects_are_there() -> None:
    subjects = {case.subject for case in all_cases()}
    expected = "budgets replicas proxy store_file redis bundles rollout overload clients streams second_service soak"
    assert set(expected.split()) <= subjects


def test_cases_are_chosen_by_name_and_by_subject() -> None:
    cases = all_cases()
    names = [case.name for case in chosen_cases(cases, ["soak", "bundles.flipped_bit"])]
    assert names == ["bundles.flipped_bit", "soak.flat"]
    assert chosen_cases(cases, []) == cases


def test_an_unknown_name_is_refused_with_what_there_is() -> None:
    with pytest.raises(
        ConfigError, match="--only is 'nonsense'; give a case that --list prints, or one of budgets, bundles"
    ):
        chosen_cases(all_cases(), ["nonsense"])


def test_what_fell_short_adds_up() -> None:
    seen = Seen("killed", ["one"], recovery_s=1.0).also(["two"], "and more")
    assert (seen.text, seen.shortfalls, seen.recovery_s) == ("killed; and more", ("one", "two"), 1.0)
