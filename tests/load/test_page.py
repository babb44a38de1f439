"""A load as a page."""

import re

from rosa_ray.load import Answer, figures_of, stretches, write_page


def test_the_page_shows_what_callers_saw(tmp_path) -> None:
    answers = [Answer("rank", at / 10, at / 10, at / 10 + 0.02, 200, model_version="m1") for at in range(40)]
    answers.append(Answer("rank", 4.0, 4.0, 4.5, 503, reason="<busy>"))
    out = write_page(figures_of(answers), list(stretches(answers)), "10 a second", tmp_path / "load.html")
    page = out.read_text()
    assert "503: &lt;busy&gt;" in page
    assert "<busy>" not in page
    assert page.count("<svg") >= 2
    assert "10 a second" in page
    assert not re.search(r"\s(src|href)=\"http", page)


def test_a_load_without_an_answer_has_a_page_too(tmp_path) -> None:
    answers = [Answer("rank", at, at, at + 1.0, 0, "ClientConnectorError") for at in range(3)]
    page = write_page(figures_of(answers), list(stretches(answers)), "1 a second", tmp_path / "load.html").read_text()
    assert "ClientConnectorError" in page
