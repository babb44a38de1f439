"""A log of the form of Criteo Display through `rosa`, and DeepFM of FuxiCTR on the very same rows.

The log is made: thirteen counts and twenty-six categories, tab-separated without a header. Its law was fixed before any
model saw it. Values of a category follow Zipf's law over 10 to 500,000 values, and every value has an effect of its
own. Twelve pairs of columns have an effect for every pair of values, drawn at random: no product of vectors. Four
counts act through steps. A tenth of all fields is missing, and new values come up all the time.

The bar, fixed too: ROSA-Rec's DeepFM is within .002 of FuxiCTR's in AUC and in log loss of the test period.

FuxiCTR's DeepFM is put together from the library's own parts, as its model zoo does: `FeatureEmbedding`,
`FactorizationMachine` and `MLP_Block`. Both see the tokens that `rosa preprocess` fitted, have embeddings of the same
width and the same hidden layers, and take the epoch with the best AUC of the validation period. ROSA-Rec learns from
batches of 1,024 rows at a rate of .002, FuxiCTR from batches of 4,096 at .001.

    PYTHONPATH=benchmarks:fuxictr-libs python benchmarks/peers/criteo_form.py --rows 5000000 --dir runs/criteo-form \
        --out benchmarks/results/criteo_form.json
"""

import argparse
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import torch
from record import record, save
from sklearn.metrics import log_loss, roc_auc_score

from rosa_ray.data.user_rows import read_feature_state
from rosa_ray.features import Split, UserRows
from rosa_ray.features.own_inputs import own_rows
from rosa_ray.run_dir import RunDir
from rosa_ray.schema import derive_key
from rosa_ray.sources.criteo_display import CATEGORIES, COUNTS

CHUNK = 200_000
HIDDEN = (256, 128)
SIZES = np.geomspace(10, 500_000, len(CATEGORIES)).astype(np.int64)
PAIRS = [(at, (at * 7 + 3) % len(CATEGORIES)) for at in range(12)]
BASE_LOGIT, MISSING = -1.3, 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--dir", type=Path, default=Path("runs/criteo-form"))
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    log = options.dir / "train.txt"
    if not log.exists():
        make_log(log, options.rows)
    ours, seconds = run_rosa(options, log)
    theirs = run_fuxictr(options)
    gaps = {name: round(ours[name] - theirs[name], 5) for name in ("auc", "logloss")}
    document = record(
        "criteo_form", rows=options.rows, width=options.width, hidden=list(HIDDEN), seconds=seconds,
        rows_per_second={name: round(options.rows / value) for name, value in seconds.items()},
        rosa=ours, fuxictr=theirs, gaps=gaps, within=all(abs(gap) <= 0.002 for gap in gaps.values()),
    )  # fmt: skip
    print(document)
    save(document, options.out)


def make_log(path: Path, rows: int) -> None:
    """Write the log, in the order of time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    options = pyarrow.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    with path.with_suffix(".part").open("wb") as out:
        for start in range(0, rows, CHUNK):
            pyarrow.csv.write_csv(_chunk(rng, min(CHUNK, rows - start), start / rows), out, options)
    path.with_suffix(".part").rename(path)


def _chunk(rng: np.random.Generator, count: int, age: float) -> pa.Table:
    counts = np.floor(rng.lognormal(1.0, 1.3, (count, len(COUNTS)))).astype(np.int64)
    known = rng.random((count, len(COUNTS) + len(CATEGORIES))) >= MISSING
    drawn = rng.random((count, len(CATEGORIES)))
    # Zipf by inversion of the continuous law; the newest of the rare values are not there at first.
    values = np.exp(drawn * np.log(SIZES * (0.7 + 0.3 * age) + 1)).astype(np.int64)
    logit = np.full(count, BASE_LOGIT)
    for at, size in enumerate(SIZES):
        here = known[:, len(COUNTS) + at]
        logit += np.where(here, effect(values[:, at], at) * (0.35 if size < 1_000 else 0.25), 0)
    for number, (left, right) in enumerate(PAIRS):
        here = known[:, len(COUNTS) + left] & known[:, len(COUNTS) + right]
        pair = (values[:, left] % 64) * 1_000_003 + values[:, right] % 64
        logit += np.where(here, effect(pair, 100 + number) * 0.3, 0)
    for at in range(4):
        logit += np.where(known[:, at] & (counts[:, at] > 1 + 3 * at), 0.5 - 0.25 * at, 0)
    click = rng.random(count) < 1 / (1 + np.exp(-logit))
    columns = {"Label": click.astype(np.int8)}
    columns |= {name: pa.array(counts[:, at], mask=~known[:, at]) for at, name in enumerate(COUNTS)}
    for at, name in enumerate(CATEGORIES):
        hashed = derive_key(values[:, at], 1000 + at).astype(np.uint64) % np.uint64(2**32)
        words = pa.array([f"{value:08x}" for value in hashed], mask=~known[:, len(COUNTS) + at])
        columns[name] = words
    return pa.table(columns)


def effect(value: np.ndarray, kind: int) -> np.ndarray:
    """A standard normal number that belongs to a value, by two of its hashes."""
    one, two = (derive_key(value, kind * 2 + which).astype(np.uint64) / 2.0**64 for which in (0, 1))
    return np.sqrt(-2 * np.log(np.maximum(one, 1e-300))) * np.cos(2 * np.pi * two)


def run_rosa(options: argparse.Namespace, log: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Preprocess, train and evaluate by the command line; test figures and seconds of each."""
    config = options.dir / "criteo.yaml"
    config.write_text(
        f"run_dir: {options.dir / 'run'}\n"
        f"source: {{kind: criteo_display, path: {log}}}\n"
        f"preprocess: {{partitions: {max(options.rows // 300_000, 4)}}}\n"
        f"features: {{views: [], min_count: 5, oov_buckets: 1}}\n"
        f"model: {{name: deepfm, width: {options.width}, hidden: {list(HIDDEN)}, dropout: 0.1}}\n"
        f"training: {{epochs: {options.epochs}, users_per_batch: 16, learning_rate: 2.0e-3, warmup_steps: 10,\n"
        "  monitor: valid_auc}\n"
        "evaluation: {users_per_batch: 256}\n"
    )
    seconds = {}
    for verb in ("preprocess", "train", "evaluate"):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "workloads", verb, str(config)], check=True)
        seconds[verb] = round(time.perf_counter() - began, 1)
    place = RunDir(str(options.dir / "run"))
    tables = [pq.read_table(path) for path in sorted(Path(place.evaluation.predictions).glob("*.parquet"))]
    rows = pa.concat_tables(tables).to_pandas()
    test = rows[rows["split"] == int(Split.TEST)]
    return measured(test["click"].to_numpy(), test["p_ctr"].to_numpy()), seconds


def run_fuxictr(options: argparse.Namespace) -> dict[str, float]:
    """Fit FuxiCTR's DeepFM on the same tokens; its figures of the same test rows."""
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.layers import FactorizationMachine, FeatureEmbedding, MLP_Block
    from fuxictr.pytorch.models import BaseModel
    from fuxictr.pytorch.torch_utils import seed_everything

    class DeepFM(BaseModel):
        """The sum of a factorization machine and an MLP on the same embeddings."""

        def __init__(self, fields: FeatureMap, **settings: Any) -> None:
            super().__init__(fields, **settings)
            width = settings["embedding_dim"]
            self.embedding_layer = FeatureEmbedding(fields, width)
            self.fm = FactorizationMachine(fields)
            self.mlp = MLP_Block(
                input_dim=fields.sum_emb_out_dim(), output_dim=1, hidden_units=list(HIDDEN), hidden_activations="ReLU",
                output_activation=None, dropout_rates=0.1,
            )  # fmt: skip
            self.compile(settings["optimizer"], settings["loss"], settings["learning_rate"])
            self.reset_parameters()
            self.model_to_device()

        def forward(self, inputs: Any) -> dict[str, torch.Tensor]:
            found = self.get_inputs(inputs)
            embedded = self.embedding_layer(found)
            logit = self.fm(found, embedded) + self.mlp(embedded.flatten(start_dim=1))
            return {"y_pred": self.output_activation(logit)}

    torch.set_num_threads(options.threads)
    seed_everything(1)
    splits, sizes = tokens(options)
    names = [*COUNTS, *CATEGORIES]
    fields = FeatureMap("rows", str(options.dir))
    fields.features = OrderedDict(
        {
            name: {"source": "", "type": "categorical", "vocab_size": size}
            for name, size in zip(names, sizes, strict=True)
        }
    )
    fields.labels, fields.default_emb_dim = ["Label"], options.width
    fields.num_fields = fields.get_num_fields()
    fields.set_column_index()
    (options.dir / "fuxictr" / "rows").mkdir(parents=True, exist_ok=True)
    model = DeepFM(
        fields, model_id="DeepFM", learning_rate=1e-3, embedding_dim=options.width, optimizer="adam",
        loss="binary_crossentropy", metrics=["AUC", "logloss"], monitor="AUC", early_stop_patience=2,
        model_root=str(options.dir / "fuxictr"), verbose=0, gpu=-1,
    )  # fmt: skip
    began = time.perf_counter()
    model.fit(Loader(splits["TRAIN"], 4096, True), options.epochs, validation_data=Loader(splits["VALID"], 8192, False))
    seconds = time.perf_counter() - began
    scores = model.predict(Loader(splits["TEST"], 8192, False))
    figures = measured(splits["TEST"][:, -1], scores)
    return figures | {"train_seconds": round(seconds, 1), "epochs": model._epoch_index + 1}


class Loader:
    """Rows of tokens and the label as batches, as the library's trainer takes them."""

    def __init__(self, rows: np.ndarray, size: int, shuffle: bool) -> None:
        self.rows, self.size, self.shuffle, self.rng = torch.from_numpy(rows), size, shuffle, np.random.default_rng(2)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        order = torch.from_numpy(self.rng.permutation(len(self.rows)) if self.shuffle else np.arange(len(self.rows)))
        names = [*COUNTS, *CATEGORIES, "Label"]
        for start in range(0, len(order), self.size):
            batch = self.rows[order[start : start + self.size]].long()
            yield {name: batch[:, at] for at, name in enumerate(names)}


def tokens(options: argparse.Namespace) -> tuple[dict[str, np.ndarray], list[int]]:
    """Tokens of every period, int32 (n, 39 + 1), the label last; and how many each column has."""
    layout = RunDir(str(options.dir / "run")).data
    state = read_feature_state(layout.features)
    sizes = [state.vocabularies[name].size for name in state.config.columns]
    starts = np.r_[0, np.cumsum(sizes)[:-1]]
    parts: dict[str, list[np.ndarray]] = {"TRAIN": [], "VALID": [], "TEST": []}
    for path in sorted(Path(layout.users).glob("*.parquet")):
        shown = UserRows.from_table(pq.read_table(path)).impressions
        rows = np.c_[own_rows(shown, state) - starts, shown["click"]].astype(np.int32)
        for name, found in parts.items():
            found.append(rows[shown["split"] == int(Split[name])])
    return {name: np.concatenate(found) for name, found in parts.items()}, sizes


def measured(click: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """AUC and log loss of rows."""
    auc, loss = roc_auc_score(click, score), log_loss(click, np.clip(score, 1e-7, 1 - 1e-7))
    return {"auc": round(float(auc), 5), "logloss": round(float(loss), 5), "rows": len(click)}


if __name__ == "__main__":
    main()
