"""A bundle that is not what was written: every one is refused, and nothing in it runs."""

import hashlib
import io
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rosa_ray.bundle import MANIFEST, open_bundle
from rosa_ray.bundle.manifest import FEATURES, WEIGHTS, describe_file, digest_json
from rosa_ray.chaos.bench import Bench
from rosa_ray.chaos.case import CaseList, Seen
from rosa_ray.errors import BundleError
from rosa_ray.serving.assembly import build_scorer
from rosa_ray.serving.model import load_model

CASES = CaseList("bundles")

REFUSED = "refused with its reason before anything is loaded"
_MARK = "CODE-RAN"


def refusal(bench: Bench, change: Callable[[Path], object], load: Callable[[Path], object] = load_model) -> Seen:
    """Change a copy of the bundle, load it as a replica does, and see whether that is refused."""
    bundle = copy_bundle(bench)
    change(bundle)
    mark = bench.scratch / _MARK
    try:
        load(bundle)
    except BundleError as error:
        seen = Seen(f"refused: {str(error).replace(str(bench.scratch), '')[:140]}")
    except Exception as error:
        seen = Seen(f"{type(error).__name__}", [f"{type(error).__name__} instead of a BundleError: {str(error)[:120]}"])
    else:
        seen = Seen("it loads", ["the bundle loads"])
    return seen.also(["code in the bundle ran"] if mark.exists() else [])


def copy_bundle(bench: Bench, name: str = "bundle") -> Path:
    """A copy of the run's bundle that the case may spoil."""
    target = bench.scratch / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(bench.copy.bundle, target)
    return target


def sign_again(bundle: Path) -> None:
    """Write a manifest that fits the files, as somebody would who means harm."""
    path = bundle / MANIFEST
    body = json.loads(path.read_bytes())
    body.pop("manifest_sha256")
    for name in list(body["files"]):
        if not (bundle / name).exists():
            del body["files"][name]
    for file in bundle.rglob("*"):
        name = file.relative_to(bundle).as_posix()
        if file.is_file() and name != MANIFEST:
            entry = describe_file(file)
            body["files"][name] = {"sha256": entry.sha256, "size": entry.size}
    body["model_version"] = hashlib.sha256(json.dumps(body["files"], sort_keys=True).encode()).hexdigest()[:16]
    path.write_text(json.dumps({**body, "manifest_sha256": digest_json(body)}, indent=2, sort_keys=True) + "\n")


def edit_manifest(bundle: Path, **changes: object) -> None:
    """Change the manifest and sign it."""
    path = bundle / MANIFEST
    body = json.loads(path.read_bytes())
    body.pop("manifest_sha256")
    body |= changes
    path.write_text(json.dumps({**body, "manifest_sha256": digest_json(body)}))


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = str(mark)

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return _write, (self._mark, "ran")


def _write(path: str, text: str) -> None:
    Path(path).write_text(text)


@CASES.add("one bit of the weights is flipped", REFUSED)
def flipped_bit(bench: Bench) -> Seen:
    """Neither safetensors nor torch would notice."""

    def change(bundle: Path) -> None:
        content = bytearray((bundle / WEIGHTS).read_bytes())
        content[len(content) // 2] ^= 1
        (bundle / WEIGHTS).write_bytes(content)

    return refusal(bench, change)


@CASES.add("a file is missing", REFUSED)
def missing_file(bench: Bench) -> Seen:
    """A copy that broke off."""
    return refusal(bench, lambda bundle: (bundle / "model.json").unlink())


@CASES.add("a file is there that the manifest does not name", REFUSED)
def extra_file(bench: Bench) -> Seen:
    """Something was put beside."""
    return refusal(bench, lambda bundle: (bundle / "notes.txt").write_text("hello"))


@CASES.add("the weights are cut short", REFUSED)
def truncated_file(bench: Bench) -> Seen:
    """A disk that was full."""

    def change(bundle: Path) -> None:
        content = (bundle / WEIGHTS).read_bytes()
        (bundle / WEIGHTS).write_bytes(content[: len(content) // 2])

    return refusal(bench, change)


@CASES.add("the manifest names another model version, unsigned", REFUSED)
def edited_manifest(bench: Bench) -> Seen:
    """Somebody edits one line."""

    def change(bundle: Path) -> None:
        text = (bundle / MANIFEST).read_text()
        version = json.loads(text)["model_version"]
        (bundle / MANIFEST).write_text(text.replace(version, "0" * len(version)))

    return refusal(bench, change)


@CASES.add("the manifest names other features, signed", REFUSED)
def other_features(bench: Bench) -> Seen:
    """A model beside the features of another."""
    return refusal(bench, lambda bundle: edit_manifest(bundle, feature_fingerprint="0" * 16))


@CASES.add("the manifest names a file outside the bundle, signed", REFUSED)
def path_traversal(bench: Bench) -> Seen:
    """`../` in a name."""

    def change(bundle: Path) -> None:
        secret = bundle.parent / "secret.txt"
        secret.write_text("not of the bundle")
        entry = describe_file(secret)
        files = json.loads((bundle / MANIFEST).read_bytes())["files"]
        edit_manifest(bundle, files={**files, "../secret.txt": {"sha256": entry.sha256, "size": entry.size}})

    return refusal(bench, change)


@CASES.add("the weights are a pickle that would run code, signed", "refused, and no code runs")
def pickled_weights(bench: Bench) -> Seen:
    """What `torch.load` would run."""

    def change(bundle: Path) -> None:
        (bundle / WEIGHTS).write_bytes(pickle.dumps(Harmful(bench.scratch / _MARK)))
        sign_again(bundle)

    return refusal(bench, change)


@CASES.add("an array of the features is a pickled object, signed", "refused, and no code runs")
def pickled_array(bench: Bench) -> Seen:
    """What `numpy.load` would run."""

    def change(bundle: Path) -> None:
        arrays = next((bundle / FEATURES).rglob("*.npz"), None) or next((bundle / FEATURES).rglob("*.npy"), None)
        target = arrays or bundle / FEATURES / "vocabularies.npz"
        held = np.array([Harmful(bench.scratch / _MARK)], object)
        out = io.BytesIO()
        if target.suffix == ".npy":
            np.save(out, held, allow_pickle=True)
        else:
            names = list(np.load(target).files) if arrays else ["held"]
            np.savez(out, **dict.fromkeys(names, held))  # type: ignore[arg-type]
        target.write_bytes(out.getvalue())
        sign_again(bundle)

    return refusal(bench, change)


@CASES.add("the config of the bundle is YAML that would run code, signed", "refused, and no code runs")
def yaml_object(bench: Bench) -> Seen:
    """What an unsafe loader would run."""

    def change(bundle: Path) -> None:
        command = f"echo ran > {bench.scratch / _MARK}"
        (bundle / "config.yaml").write_text(f"!!python/object/apply:os.system ['{command}']\n")
        sign_again(bundle)

    def load(bundle: Path) -> None:
        try:
            _ = open_bundle(bundle).config
        except BundleError:
            raise
        except Exception as error:
            raise BundleError(f"{type(error).__name__}: {' '.join(str(error).split())[:100]}") from error

    return refusal(bench, change, load)


@CASES.add("a file of the bundle is a link out of it, signed", REFUSED)
def link_out(bench: Bench) -> Seen:
    """What it names may change after it was checked."""

    def change(bundle: Path) -> None:
        outside = bundle.parent / "outside.safetensors"
        shutil.move(bundle / WEIGHTS, outside)
        (bundle / WEIGHTS).symlink_to(outside)
        sign_again(bundle)

    return refusal(bench, change)


@CASES.add("the weights are NaN, signed", "refused before a request is answered")
def nan_weights(bench: Bench) -> Seen:
    """A training that diverged, exported by other means than `write_bundle`."""

    def load(bundle: Path) -> None:
        served = bench.copy.served(bench.store())
        build_scorer(type(served)(**{**vars(served), "bundle": str(bundle)}))

    return refusal(bench, spoil_weights, load)


def spoil_weights(bundle: Path) -> None:
    """Put NaN into every weight, and sign the bundle again."""
    from safetensors.numpy import load, save

    weights = load((bundle / WEIGHTS).read_bytes())
    (bundle / WEIGHTS).write_bytes(save({name: np.full_like(one, np.nan) for name, one in weights.items()}))
    sign_again(bundle)


@CASES.add(
    "another bundle is written over the one that is opened, five times",
    "every reader finds a whole bundle, the one before or the one after",
    limit_s=60,
)
def written_while_read(bench: Bench) -> Seen:
    """A training ends while replicas start."""
    import threading

    from rosa_ray.chaos.refits import refit

    place = bench.scratch / "run" / "bundle"
    shutil.copytree(bench.copy.bundle, place)
    ended, faults, reads = threading.Event(), list[str](), [0]

    def read() -> None:
        while not ended.is_set():
            try:
                load_model(place)
            except BundleError as error:
                faults.append(str(error).replace(str(bench.scratch), "")[:160])
            reads[0] += 1

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    for seed in range(5):
        refit(bench.copy.bundle, place, seed)
    ended.set()
    reader.join(20)
    short = [f"{len(faults)} of {reads[0]} readers were refused: {faults[0]}"] if faults else []
    return Seen(f"5 bundles written, {reads[0]} read", short, {"reads": reads[0], "refused": len(faults)})
