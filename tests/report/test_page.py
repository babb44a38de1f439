"""The page: whole and partial runs, valid and harmless HTML, no reference to anywhere, the same bytes every time."""

import json
import re
import shutil
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rosa_ray.errors import InputError
from rosa_ray.report import open_run_files, render_page, write_report
from rosa_ray.report.sections import all_sections
from rosa_ray.run_dir import STUDY_DOCUMENTS
from tests.report.runs import write_json, write_run
from tests.report.studies import ablation, comparison, curve, sweep, weights

TODAY = date(2026, 1, 31)
VOID = {"meta", "br", "col"}


class Page(HTMLParser):
    """Checks that tags are balanced; collects elements, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_run(tmp_path_factory.mktemp("runs") / "shop")
    write_json(comparison(), root / "comparison.json")
    write_json(ablation(), root / "ablation.json")
    write_json(weights(), root / "weights.json")
    write_json(curve(), root / "curve.json")
    write_json(sweep(), root / "tune/sweep.json")
    return root


@pytest.fixture(scope="module")
def page(run_dir: Path) -> str:
    return render_page(open_run_files(run_dir), TODAY)


def test_the_summary_says_verdicts_and_why_figures_are_missing(run_dir: Path, tmp_path: Path) -> None:
    root = shutil.copytree(run_dir, tmp_path / "shop")
    metrics = json.loads((root / "evaluation/metrics.json").read_text())
    metrics["verdict"] = {"clicks": {"words": "clicks: no better than the base rate; log loss 1.02"}}
    metrics["test"] |= {
        "unknown_conversions": 1200,
        "cvr_auc": None,
        "undefined": {"cvr_auc": "no conversion among 40 clicks"},
    }
    write_json(metrics, root / "evaluation/metrics.json")
    text = Page(render_page(open_run_files(root), TODAY)).text
    assert "Clicks: no better than the base rate; log loss 1.02." in text
    assert "CVR AUC is undefined: no conversion among 40 clicks." in text
    assert "conversions (1,200 impressions are too young to say)." in text


def test_a_whole_run_fills_every_section(page: str) -> None:
    parsed = Page(page)
    anchors = [value for name, value in parsed.attributes if name == "id"]
    assert anchors == [section.name for section in all_sections()]
    lacking = [words for words in parsed.words if "not there yet" in words]
    assert len(lacking) == 1, "only the findings of the leak guard are not in this run"
    assert parsed.tags.count("figure") > 20


def test_a_sweep_shows_its_winner_beside_the_config_as_it_is(page: str) -> None:
    text = Page(page).text
    assert "3 complete, 1 stopped, 0 failed" in text
    assert "That is trial 2: beta 4, layers 4, decay yes" in text
    assert "0.2500 (−0.1000 … 0.6000)" in text


def test_a_learning_curve_is_drawn_over_the_impressions_trained_on(page: str) -> None:
    section = page[page.index('id="learning_curve"') :]
    text = Page(section[section.index(">") + 1 : section.index("</section>")]).text
    assert "DIN: 2.5e+04, 0.7" in text
    assert "ROSA-Rec: 1e+05, 0.748" in text
    assert "ROSA-Rec, twice as wide: " not in text
    assert "ROSA-Rec, twice as wide" in text


def test_figures_against_the_truth_stand_beside_what_the_truth_reaches(page: str) -> None:
    text = Page(page).text
    assert "CTR, test, all candidates 0.7000 (0.6000 … 0.7891) 0.8000 0.01230 1.100" in text
    assert "CVR, validation, shown 0.7100 0.8100" in text
    assert "The truth itself reaches AUC* 0.8123." in text
    assert "within the noise" in text
    assert "(0.912 … 1.234)" in text, "the interval of PCOC"


def test_parts_stand_beside_the_model_as_it_is(page: str) -> None:
    text = Page(page).text
    assert "Each of 1,234 test requests shows its top ad by expected ROI" in text
    assert "true p_ctr 4.750 70 90 20 1.250 1.000 1.500 helps" in text
    assert "cost 0 – 70 90 20 – – – –" in text


def test_parts_of_another_model_or_of_no_truth_are_said(run_dir: Path, tmp_path: Path) -> None:
    root = shutil.copytree(run_dir, tmp_path / "shop")
    path = root / "evaluation/parts.json"
    write_json(json.loads(path.read_text()) | {"model_version": "fedcba9876543210"}, path)
    assert "Parts are of model fedcba9876543210" in Page(render_page(open_run_files(root), TODAY)).text
    path.unlink()
    text = Page(render_page(open_run_files(root), TODAY)).text
    assert "What each part costs in return is not there yet. Run rosa evaluate --parts" in text
    metrics = json.loads((root / "evaluation/metrics.json").read_text())
    metrics["test"]["policy_skipped"] = "the log has no truth: it is not simulated"
    write_json(metrics, root / "evaluation/metrics.json")
    text = Page(render_page(open_run_files(root), TODAY)).text
    assert "Nothing to compare with: the log has no truth: it is not simulated." in text


def test_a_run_and_a_study_without_a_truth_say_nothing_of_it(run_dir: Path, tmp_path: Path) -> None:
    root = shutil.copytree(run_dir, tmp_path / "shop")
    for path in (root / "evaluation/metrics.json", *map(root.joinpath, STUDY_DOCUMENTS.values())):
        without = re.sub(r'"true_\w+": (?=[\d.-]+)', r'"other": ', path.read_text())
        path.write_text(without.replace('"metric": "true_auc"', '"metric": "auc"'))
    text = Page(render_page(open_run_files(root), TODAY)).text
    assert "Against the truth" not in text
    assert "AUC*" not in text


def test_the_verdicts_of_a_study_are_said(page: str) -> None:
    section = page[page.index('id="ablation"') :]
    text = Page(section[section.index(">") + 1 : section.index("</section>")]).text
    assert "decay: adds +0.0060 AUC (+0.0020 … +0.0100)" in text
    assert "the encoder adds nothing here: use DIN" in text


def test_what_inputs_are_worth_is_drawn_most_important_first(page: str) -> None:
    section = page[page.index('id="importance"') :]
    section = section[section.index(">") + 1 : section.index("</section>")]
    text = Page(section).text
    assert "exchanged between 1,234 test impressions of 56 users, 5 times" in text
    assert "1,234 rows, 200 positive; as it is: AUC 0.7500, log loss 0.2500." in text
    assert text.index("<b>history</b>") < text.index("campaign")
    assert "0.1000 … 0.1500" in text
    assert "−0.0000" not in text
    assert "Nothing can be said of value: no conversion with revenue." in text
    assert "dot s1" in section
    assert "dot s0" in section, "what is within chance is grey"


def test_what_inputs_were_worth_to_another_model_is_not_shown(run_dir: Path, tmp_path: Path) -> None:
    root = shutil.copytree(run_dir, tmp_path / "shop")
    importance = json.loads((root / "evaluation/importance.json").read_text())
    write_json(importance | {"model_version": "fedcba9876543210"}, root / "evaluation/importance.json")
    text = Page(render_page(open_run_files(root), TODAY)).text
    assert "of model fedcba9876543210; those of model 0123456789abcdef are not there yet" in text
    assert "without an input" not in text
    (root / "evaluation/importance.json").unlink()
    text = Page(render_page(open_run_files(root), TODAY)).text
    assert "Figures by input are not there yet. Run rosa evaluate --importance" in text


def test_the_page_refers_to_nothing_outside(page: str) -> None:
    for name, value in Page(page).attributes:
        assert name not in ("src", "srcset", "xlink:href", "action")
        assert name != "href" or value.startswith("#")
    for reference in ("http:", "https:", "url(", "@import", "<script", "<link", "<iframe"):
        assert reference not in page
    assert len(page.encode()) < 3_000_000


def test_values_from_files_are_escaped(page: str) -> None:
    parsed = Page(page)
    assert "script" not in parsed.tags
    assert "b" not in parsed.tags
    assert "<script>alert(1)</script>" in parsed.text
    assert "no column <user_id>" in parsed.text


def test_the_same_files_give_the_same_bytes(run_dir: Path, page: str) -> None:
    assert render_page(open_run_files(run_dir), TODAY) == page
    other = render_page(open_run_files(run_dir), date(2026, 2, 1))
    assert other.replace("2026-02-01", "2026-01-31") == page


def test_ids_are_unique_and_charts_are_described(page: str) -> None:
    parsed = Page(page)
    ids = [value for name, value in parsed.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    charts = parsed.attributes.count(("role", "img"))
    described = [value for name, value in parsed.attributes if name == "aria-label" and value.endswith(".")]
    assert charts == len(described) == page.count('class="chart"')


@pytest.mark.parametrize(
    ("kept", "shown", "lacking"),
    [
        ("train.json", "Epoch 2 was best", "rosa evaluate CONFIG"),
        ("comparison.json", "Wide & Deep", "rosa train CONFIG"),
        ("data/report.json", "4,321", "rosa train CONFIG"),
        ("evaluation/metrics.json", "CTR AUC", "rosa compare CONFIG"),
        ("config.yaml", "training.epochs", "config.yaml"),
    ],
)
def test_a_partial_run_says_what_to_run(run_dir: Path, tmp_path: Path, kept: str, shown: str, lacking: str) -> None:
    (tmp_path / kept).parent.mkdir(exist_ok=True)
    shutil.copy(run_dir / kept, tmp_path / kept)
    text = Page(render_page(open_run_files(tmp_path), TODAY)).text
    assert shown in text
    assert lacking in text


def test_studies_may_lie_elsewhere(tmp_path: Path) -> None:
    write_json({"history": []}, tmp_path / "run/train.json")
    write_json(ablation(), tmp_path / "study.json")
    text = Page(render_page(open_run_files(tmp_path / "run", [tmp_path / "study.json"]), TODAY)).text
    assert "without cross attention" in text


def test_the_page_is_written_where_it_is_wanted(run_dir: Path, tmp_path: Path) -> None:
    assert write_report(run_dir, tmp_path / "new/page.html").read_text().startswith("<!DOCTYPE html>")
    write_json({"history": []}, tmp_path / "train.json")
    assert write_report(tmp_path) == tmp_path / "report.html"


def test_what_is_no_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such directory"):
        open_run_files(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"not a run directory; it has none of config\.yaml"):
        open_run_files(tmp_path)
    (tmp_path / "train.json").write_text("{")
    with pytest.raises(InputError, match=r"train\.json: is truncated, damaged or not a JSON file"):
        render_page(open_run_files(tmp_path), TODAY)
    with pytest.raises(InputError, match="a study is of kind compare, ablate, weights, curve"):
        open_run_files(tmp_path, [_written(tmp_path / "other.json")])


def _written(path: Path) -> Path:
    write_json({"kind": "table"}, path)
    return path
