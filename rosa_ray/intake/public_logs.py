"""Public logs that a source knows by name, recognised by their columns."""

import os
from collections.abc import Callable, Sequence

from rosa_ray.errors import InputError, RosaError
from rosa_ray.intake.profiles import profile
from rosa_ray.intake.samples import Sample
from rosa_ray.schema import CONTRACTS
from rosa_ray.sources import SourceConfig, open_source, source_kinds
from rosa_ray.sources.paths import find_files

_HEADERS: dict[str, str] = {
    "rees46": "event_time event_type product_id category_id category_code brand price user_id user_session",
    "open_bandit": "timestamp item_id position click propensity_score user_feature_0 user_feature_1",
    "kuairand": "user_id video_id time_ms is_click long_view play_time_ms",
    "retailrocket": "timestamp visitorid event itemid transactionid",
    "movielens": "userId movieId rating timestamp",
    "criteo_display": "Label I1 I2 I13 C1 C26",
    "criteo_attribution": "timestamp uid campaign conversion click cost cpo cat1 cat9",
    "avazu": "id click hour C1 banner_pos site_id app_id device_id C14 C21",
}
"""Kind of a source to columns that its files have."""


def _is_taobao(sample: Sample) -> bool:
    words = profile("", sample.table[sample.names[3]]).words if len(sample.names) == 5 else {}
    return bool(words) and set(words) <= {"pv", "fav", "cart", "buy"}


def _is_ipinyou(sample: Sample) -> bool:
    if not 24 <= len(sample.names) <= 29 or sample.delimiter != "\t":
        return False
    return profile("", sample.table[sample.names[4]]).time_format.startswith("%Y%m%d%H%M%S")


def _is_criteo_display(sample: Sample) -> bool:
    return len(sample.names) == 40 and sample.delimiter == "\t"


def _is_ali_ccp(sample: Sample) -> bool:
    return len(sample.names) == 6 and _is_field_list(sample)


def _is_field_list(sample: Sample) -> bool:
    """Whether the last column lists fields as Ali-CCP writes them."""
    first = str(sample.table[sample.names[-1]][0].as_py())
    return sample.headerless and "\x02" in first and "\x03" in first


_HEADERLESS: dict[str, Callable[[Sample], bool]] = {
    "ali_ccp": _is_ali_ccp,
    "taobao": _is_taobao,
    "ipinyou": _is_ipinyou,
    "criteo_display": _is_criteo_display,
}


def _is_item_context(sample: Sample) -> bool:
    return {"item_id", "item_feature_0", "item_feature_1"} <= set(sample.names)


def _is_common_features(sample: Sample) -> bool:
    return len(sample.names) == 3 and _is_field_list(sample)


_SIDE_FILES: dict[str, Callable[[Sample], bool]] = {"open_bandit": _is_item_context, "ali_ccp": _is_common_features}
"""Files that come with a log."""
_FOUND_BESIDE = ("ali_ccp",)
"""Logs whose side files are found beside them, so that the config names the log alone."""


def known_log(samples: Sequence[Sample], locations: Sequence[str]) -> SourceConfig | None:
    """Return the source of a public log, where all samples belong to one and its source reads them.

    Args:
        locations: what was given; of several, a glob has to find these files and no others.
    """
    for kind in source_kinds():
        main = _main(kind, samples) if kind in {*_HEADERS, *_HEADERLESS} else None
        if main is None:
            continue
        path = _one_path(locations) or (main.location if kind in _FOUND_BESIDE else "")
        config = SourceConfig(kind=kind, path=path)
        if path and _reads(config):
            return config
    return None


def _one_path(locations: Sequence[str]) -> str:
    """A path or glob that finds these files and no others, empty where there is none."""
    if len(locations) == 1:
        return locations[0]
    first, last = min(locations), max(locations)
    start = first[: next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]
    path = f"{start}*"
    try:
        found = {file.path for file in find_files(path, "table")} if os.path.basename(start) else set()
    except InputError:
        return ""
    return path if found == {os.path.abspath(location) for location in locations} else ""


def _main(kind: str, samples: Sequence[Sample]) -> Sample | None:
    """The sample that is the log, where the others come with it, or are more of it; None where this is not so."""
    main = [sample for sample in samples if _looks_like(kind, sample)]
    rest = [sample for sample in samples if sample not in main]
    side = _SIDE_FILES.get(kind)
    if not main or (side is not None and len(main) > 1):
        return None
    return main[0] if all(side is not None and side(sample) for sample in rest) else None


def _looks_like(kind: str, sample: Sample) -> bool:
    if sample.headerless:
        return kind in _HEADERLESS and _HEADERLESS[kind](sample)
    return kind in _HEADERS and set(_HEADERS[kind].split()) <= set(sample.names)


def _reads(config: SourceConfig) -> bool:
    """Whether the source finds rows in the first file of every table."""
    try:
        source = open_source(config)
        first = {file.contract_name: file for file in reversed(source.files())}
        for file in first.values():
            batch = next(iter(source.read(file)))
            if not CONTRACTS[file.contract_name].check(batch.table, file.path)[0].num_rows:
                return False
    except (InputError, RosaError, StopIteration):
        return False
    return True
