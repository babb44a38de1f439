"""Train FuxiCTR's DIN, DIEN or TransAct on exported rows, with its own trainer and early stopping on validation AUC.

The models are those of `model_zoo/LongCTR` in the library's source archive. They read an ad's fields and its history's
from the same tables; a history is oldest first, padded at the start, for DIEN, which packs sequences, at the end. The
learning rate falls tenfold at each epoch without a better AUC, the library's default. User ids are left out, as ours.

    peers-venv/bin/python benchmarks/peers/run_fuxictr.py DIN peers-data \
        --zoo peers-src/fuxictr-2.3.10/model_zoo --out peers-out/fuxictr_din
"""

import argparse
import importlib
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.torch_utils import seed_everything
from rows import CONTEXT, Batches, Fit, Rows, Trial, arguments, search, spread_embeddings

HIDDEN, DROPOUT = [200, 80], 0.2
SETTINGS = {
    "DIN": {"dnn_hidden_units": HIDDEN, "attention_hidden_units": [36], "net_dropout": DROPOUT},
    "DIEN": {"dnn_hidden_units": HIDDEN, "net_dropout": DROPOUT, "enable_sum_pooling": True},
    "TransAct": {"dcn_hidden_units": HIDDEN, "net_dropout": DROPOUT, "num_heads": 4, "transformer_dropout": DROPOUT},
}


def main() -> None:
    parser = arguments(__doc__ or "", tuple(SETTINGS))
    parser.add_argument("--zoo", type=Path, required=True, help="model_zoo of the source archive")
    options = parser.parse_args()
    sys.path.insert(0, str(options.zoo / "LongCTR"))
    model_class = getattr(importlib.import_module(f"{options.model}.{options.model}"), options.model)
    search(options, "FuxiCTR", lambda trial, spec, splits: fit(options, model_class, trial, spec, splits))


def fit(
    options: argparse.Namespace, model_class: type, trial: Trial, spec: dict[str, Any], splits: dict[str, Rows]
) -> Fit:
    """Fit one model and leave the weights of its best epoch."""
    seed_everything(options.seed)
    fields = feature_map(options, spec)
    make = batch_maker(options, spec["dense"])
    (options.out / fields.dataset_id).mkdir(parents=True, exist_ok=True)
    model = model_class(
        fields,
        model_id=options.model,
        learning_rate=trial.learning_rate,
        embedding_dim=options.width,
        embedding_regularizer=trial.l2 or None,
        optimizer="adam",
        loss="binary_crossentropy",
        metrics=["AUC", "logloss"],
        monitor="AUC",
        early_stop_patience=options.patience,
        model_root=str(options.out),
        verbose=0,
        **SETTINGS[options.model],
    )
    spread_embeddings(model, trial.spread)
    valid = Batches(splits["valid"], 2048, make)
    model.fit(Batches(splits["train"], options.batch, make, options.seed), options.epochs, validation_data=valid)
    return Fit(lambda rows: model.predict(Batches(rows, 2048, make)), model._epoch_index + 1)


def feature_map(options: argparse.Namespace, spec: dict[str, Any]) -> FeatureMap:
    """Our fields in the library's terms; `source: item` marks what an ad and an event have in common."""
    fields = FeatureMap("rows", str(options.out))
    numeric = {f"dense_{number}": {"source": "user", "type": "numeric"} for number in range(spec["dense"])}
    context = {name: {"source": "context", **table(spec, name)} for name in CONTEXT}
    common = {name: {"source": "item", "padding_idx": 0, **table(spec, name)} for name in options.fields}
    fields.features = OrderedDict({**numeric, **context, **common})
    fields.labels = ["click"]
    fields.default_emb_dim = options.width
    fields.num_fields = fields.get_num_fields()
    fields.set_column_index()
    return fields


def table(spec: dict[str, Any], name: str) -> dict[str, Any]:
    return {"type": "categorical", "vocab_size": spec["sizes"][name]}


def batch_maker(options: argparse.Namespace, dense: int) -> Callable[[Rows], tuple[dict, dict, torch.Tensor]]:
    """Makes batches as the library's loader for long sequences gives them: rows, ad and history fields, mask."""

    def make(rows: Rows) -> tuple[dict, dict, torch.Tensor]:
        seen = rows["hist_item"] > 0
        start = (~seen).sum(1, keepdims=True) if options.model == "DIEN" else 0
        order = (np.arange(seen.shape[1]) + start) % seen.shape[1]
        order = np.broadcast_to(order, seen.shape)
        items = {
            name: np.concatenate([np.take_along_axis(rows[f"hist_{name}"], order, 1), rows[name][:, None]], axis=1)
            for name in options.fields
        }
        batch = {name: torch.from_numpy(rows[name]).long() for name in CONTEXT}
        batch |= {f"dense_{number}": torch.from_numpy(rows["dense"][:, number]) for number in range(dense)}
        batch["click"] = torch.from_numpy(rows["click"])
        mask = torch.from_numpy(np.take_along_axis(seen, order, 1)).float()
        return batch, {name: torch.from_numpy(values.ravel()).long() for name, values in items.items()}, mask

    return make


if __name__ == "__main__":
    main()
