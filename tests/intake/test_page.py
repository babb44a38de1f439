"""The page of a check opens offline and shows what the terminal says."""

from html.parser import HTMLParser
from pathlib import Path

from rosa_ray.intake.page import write_page
from tests.intake import invented
from tests.intake.invented import changed, write_log
from tests.intake.test_check import check


class Anchors(HTMLParser):
    """Collects ids, links inside the page and addresses outside of it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [found["href"] or ""] if "href" in found else []
        self.sources += [found["src"] or ""] if "src" in found else []


def test_the_page_has_a_section_for_everything_and_needs_no_network(tmp_path: Path) -> None:
    page = write_page(check(write_log(tmp_path)), "shop.yaml", tmp_path / "out" / "check.html").read_text()
    found = Anchors(page)
    assert found.ids == ["remarks", "heads", "tables", "days", "periods", "coverage", "labels"]
    assert found.links == [f"#{name}" for name in found.ids]
    assert found.sources == []
    assert "Nothing is lost and nothing is odd." in page
    assert page.count("<svg") >= 5


def test_ids_of_the_log_are_escaped(tmp_path: Path) -> None:
    shown = changed(invented.impressions(), user_id=lambda text: f"<b>{text}")
    page = write_page(check(write_log(tmp_path, impressions=shown)), "shop.yaml", tmp_path / "check.html").read_text()
    assert "&lt;b&gt;u" in page
    assert "<b>u" not in page


def test_a_log_without_impressions_has_a_shorter_page(tmp_path: Path) -> None:
    invented.write_csv(invented.events(), tmp_path / "events.csv")
    config = tmp_path / "shop.yaml"
    config.write_text(f"source:\n  kind: csv\n  time_unit: s\n  events: {tmp_path}/events.csv\n")
    page = write_page(check(config), "shop.yaml", tmp_path / "check.html").read_text()
    assert Anchors(page).ids == ["remarks", "heads", "tables", "days"]
