"""Other models, bundles and settings deployed while requests come."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rosa_ray.chaos.case import CaseList, Seen, Short
from rosa_ray.chaos.cases.bundles import spoil_weights
from rosa_ray.chaos.judging import Allowed
from rosa_ray.chaos.live import STARTED_S, Live, ranks_of
from rosa_ray.chaos.refits import refit
from rosa_ray.chaos.rollouts import Deployed, deploy, materialize, run_of, variant

CASES = CaseList("rollout")

REFUSED = "the deployment is refused with its reason; the former version goes on, nothing is lost"
NOTHING_LOST = "no request fails, none is degraded, none is cold"


def refused(live: Live, run_dir: Path, **settings: object) -> Seen:
    """Deploy what must not be served while requests come."""
    was = live.rank()["model_version"]
    with live.traffic() as traffic:
        traffic.settle(1.0)
        found = deploy(live, run_dir, **settings)
        traffic.settle(2.0)
    seen = live.seen(traffic, Allowed(models=frozenset({was})))
    short = [f"it was deployed: {found.said}"] if found.ok else []
    return seen.also(short, f"after {found.seconds:.0f} s: {found.said[-160:]}")


def rolled(live: Live, *steps: Path, settle_s: float = 3.0) -> tuple[Seen, list[Deployed]]:
    """Deploy one run after another while requests come."""
    with live.traffic() as traffic:
        traffic.settle(1.0)
        found = [deploy(live, step) for step in steps]
        traffic.settle(settle_s)
    seen = live.seen(traffic, Allowed())
    versions = sorted({one.model_version for one in ranks_of(traffic.answers) if one.model_version})
    short = [f"step {place}: {one.said}" for place, one in enumerate(found, 1) if not one.ok]
    took = ", ".join(f"{one.seconds:.0f}" for one in found)
    return seen.also(short, f"models {', '.join(versions)}; steps took {took} s"), found


@CASES.add("a bundle with a flipped bit is deployed", REFUSED, "fused", 120)
def broken_bundle(live: Live) -> Seen:
    """It cannot be verified."""
    run_dir = variant(live, "broken")
    weights = run_dir / "bundle" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    return refused(live, run_dir)


@CASES.add("a bundle that is not there is deployed", REFUSED, "fused", 120)
def missing_bundle(live: Live) -> Seen:
    """A path with a typing error."""
    return refused(live, run_of(live, "empty"))


@CASES.add("a bundle whose weights are NaN is deployed", REFUSED, "fused", 150)
def nan_bundle(live: Live) -> Seen:
    """It verifies and loads; only a score tells."""
    run_dir = variant(live, "nan")
    spoil_weights(run_dir / "bundle")
    return refused(live, run_dir)


@CASES.add("a bundle that needs a secret is deployed without it", REFUSED, "fused", 150)
def missing_secret(live: Live) -> Seen:
    """Its users are pseudonyms, and the variable is not set."""
    not_set = {"privacy__user_key_secret_env": "ROSA_CHAOS_NOT_SET"}  # pragma: allowlist secret
    return refused(live, variant(live, "secret"), **not_set)


@CASES.add("a setting is deployed that does not exist", REFUSED, "fused", 120)
def unknown_setting(live: Live) -> Seen:
    """A typing error in a config."""
    return refused(live, variant(live, "unknown"), serving__no_such_setting=1)


@CASES.add("a store is deployed that is not there", REFUSED, "fused", 150)
def missing_store(live: Live) -> Seen:
    """A path with a typing error."""
    return refused(live, variant(live, "elsewhere"), store__path=live.scratch / "no-such-store.db")


@CASES.add(
    "a model without encoder states (DIN) is deployed", "it is served, or refused; nothing is lost", "fused", 180
)
def other_ranker(live: Live) -> Seen:
    """Any ranker of the project may be deployed."""
    was, run_dir = live.rank()["model_version"], run_of(live, "din")
    write_din(live, run_dir / "bundle")
    with live.traffic() as traffic:
        traffic.settle(1.0)
        found = deploy(live, run_dir)
        traffic.settle(2.0)
        back = deploy(live, live.run_dir) if found.ok else found
    seen = live.seen(traffic, Allowed(degraded=frozenset({"states"})))
    status, told = live.post("/rank", {"user_id": live.copy.user_ids[0]})
    answered = told.get("model_version", status)
    short = [f"going back: {back.said}"] if found.ok and not back.ok else []
    short += [f"the service answers as {answered}, expected {was}"] if answered != was else []
    return seen.also(short, f"{'served' if found.ok else 'refused'}: {found.said[-120:]}")


def write_din(live: Live, target: Path) -> None:
    """A bundle of another ranker with the same features."""
    from rosa_ray.bundle import write_bundle
    from rosa_ray.models import build_ranker

    model, bundle = live.copy.model, live.copy.model.bundle
    description: dict[str, Any] = {
        "name": "din",
        "config": {},
        "sizes": model.features.table_sizes,
        "base_rates": model.features.base_rates,
    }
    write_bundle(
        target,
        weights=build_ranker(**description).state_dict(),
        model=description,
        features_saver=model.features.save,
        feature_fingerprint=model.features.fingerprint,
        metrics=bundle.metrics,
        config=bundle.config,
        extra_files={"ads.parquet": bundle.file("ads.parquet")},
    )


@CASES.add("the same model is deployed again", NOTHING_LOST, "fused", 150)
def same_again(live: Live) -> Seen:
    """A restart without an outage."""
    seen, _ = rolled(live, live.run_dir)
    return seen


@CASES.add(
    "a model trained again is materialised and deployed, and taken back",
    f"{NOTHING_LOST}; both models answer with their own states",
    "fused",
    300,
)
def refit_and_back(live: Live) -> Seen:
    """The features stay, the weights are others."""
    return _refit_and_back(live, other_fit=False)


@CASES.add(
    "a model with features fitted anew is materialised and deployed, and taken back",
    f"{NOTHING_LOST}; both models answer with their own states",
    "fused",
    300,
    spoils=True,
)
def other_fit_and_back(live: Live) -> Seen:
    """What a training on the log of the next day gives."""
    return _refit_and_back(live, other_fit=True)


def _refit_and_back(live: Live, other_fit: bool) -> Seen:
    run_dir = run_of(live, "refit")
    version = refit(live.copy.bundle, run_dir / "bundle", seed=1, other_fit=other_fit)
    was = live.rank()["model_version"]
    with live.traffic() as traffic:
        traffic.settle(1.0)
        filled = materialize(live, run_dir)
        found = [deploy(live, run_dir), deploy(live, live.run_dir)] if filled.ok else []
        traffic.settle(3.0)
    seen = live.seen(traffic, Allowed(models=frozenset({was, version})))
    answered = {one.model_version for one in ranks_of(traffic.answers)}
    short = [] if filled.ok else [f"it was not materialised: {filled.said}"]
    short += [f"step {place}: {one.said}" for place, one in enumerate(found, 1) if not one.ok]
    short += [] if version in answered or not filled.ok else ["the new model never answered"]
    steps = ", ".join(f"{one.seconds:.0f}" for one in (filled, *found))
    return seen.also(short, f"materialised, deployed, taken back in {steps} s")


@CASES.add("`rosa materialize` of the same model beside the loaded service", NOTHING_LOST, "fused", 200)
def materialize_beside(live: Live) -> Seen:
    """Long writes in the same file."""
    with live.traffic(events_per_s=4.0) as traffic:
        traffic.settle(1.0)
        found = materialize(live, _own_run(live))
        traffic.settle(2.0)
    short = [] if found.ok else [found.said]
    return live.seen(traffic, Allowed()).also(short, f"materialised in {found.seconds:.0f} s")


def _own_run(live: Live) -> Path:
    return variant(live, "same")


@CASES.add(
    "another bundle is written where the service's lies, then a replica is killed",
    "the replica that comes after serves the pinned model",
    "fused",
    240,
)
def pinned(live: Live) -> Seen:
    """A training ends while the service runs. Each replica is killed once the one before is replaced."""
    was, bundle = live.rank()["model_version"], live.run_dir / "bundle"
    kept = live.scratch / "kept"
    refit(live.copy.bundle, bundle, seed=7)
    try:
        with live.traffic() as traffic:
            traffic.settle(1.0)
            for replica in live.service.replicas(""):
                live.kill(traffic, replica)
                traffic.settle(STARTED_S, limit_s=2 * STARTED_S)
    finally:
        _put_back(live, bundle, kept)
    return live.seen(traffic, Allowed(in_flight=True, recovery_s=10.0, models=frozenset({was})))


def _put_back(live: Live, bundle: Path, kept: Path) -> None:
    import shutil

    if bundle.is_symlink():
        bundle.unlink()
    elif bundle.exists():
        bundle.rename(kept)
    shutil.copytree(live.copy.bundle, bundle)


@CASES.add("four deployments in a row, a refit and the first model in turn", NOTHING_LOST, "fused", 300, spoils=True)
def four_in_a_row(live: Live) -> Seen:
    """A busy day."""
    run_dir = run_of(live, "turns")
    refit(live.copy.bundle, run_dir / "bundle", seed=3)
    filled = materialize(live, run_dir)
    if not filled.ok:
        raise Short(f"it was not materialised: {filled.said}")
    seen, _ = rolled(live, *([run_dir, live.run_dir] * 2))
    return seen


@CASES.add(
    "`POST /ads` with a new ad, then with its pause",
    "ranked on every replica within 1 s, and not shown 1 s after the pause",
    "fused",
    60,
)
def ad_added_and_paused(live: Live) -> Seen:
    """Ads change by the minute."""
    ad_id = f"ad-{live.bodies().session}"
    item_id, category = live.bodies().items[0]
    ad = {"type": "ad", "ad_id": ad_id, "item_id": item_id, "category": category, "bid": 0.5, "price": 9.9}
    ad |= {"campaign_id": live.copy.ads["campaign_id"][0].as_py(), "valid_from": _now()}
    status, answer = live.post("/ads", {"ads": [ad]})
    if status != 200:
        return Seen(f"answered {status}", [f"`POST /ads` answered {status}: {json.dumps(answer)[:160]}"])
    added_s = _until_shown(live, ad_id, shown=True)
    status, answer = live.post("/ads", {"ads": [{"type": "ad", "ad_id": ad_id, "paused": True, "valid_from": _now()}]})
    paused_s = _until_shown(live, ad_id, shown=False)
    short = [] if added_s <= 1.0 else [f"it was ranked by all only after {added_s:.1f} s"]
    short += [] if status == 200 else [f"the pause was answered {status}: {json.dumps(answer)[:120]}"]
    short += [] if paused_s <= 1.0 else [f"it was shown by some for {paused_s:.1f} s"]
    return Seen(f"ranked after {added_s:.2f} s, gone {paused_s:.2f} s after its pause", short)


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _until_shown(live: Live, ad_id: str, shown: bool, limit_s: float = 10.0) -> float:
    """Seconds until the last answer that was not yet so; 20 answers in a row are taken for every replica."""
    began_s, row, last_s = time.monotonic(), 0, 0.0
    while row < 20 and time.monotonic() - began_s < limit_s:
        status, answer = live.post("/rank", {"user_id": live.copy.user_ids[0], "candidates": [ad_id]})
        ranked = status == 200 and any(ad["ad_id"] == ad_id for ad in answer["ads"])
        if ranked == shown:
            row += 1
        else:
            row, last_s = 0, time.monotonic() - began_s
    return last_s
