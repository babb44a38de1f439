"""Train torch-rechub's DIN, BST or DeepFM on exported rows, with its own trainer and early stopping on validation AUC.

The history's item and category share the ad's tables. DeepFM has no history of its own: it takes the means of the
history's fields, as the library pools sequences. User ids are left out, as ours are.

    peers-venv/bin/python benchmarks/peers/run_rechub.py din peers-data --out peers-out/rechub_din
"""

import argparse
import contextlib
import io
from typing import Any

import numpy as np
import torch
from rows import CONTEXT, Batches, Fit, Rows, Trial, arguments, search, spread_embeddings
from torch import nn
from torch_rechub.basic.features import DenseFeature, SequenceFeature, SparseFeature
from torch_rechub.models.ranking import BST, DIN, DeepFM
from torch_rechub.trainers import CTRTrainer

HIDDEN = {"dims": [200, 80], "dropout": 0.2}


def main() -> None:
    options = arguments(__doc__ or "", ("din", "bst", "deepfm")).parse_args()
    search(options, "torch-rechub", lambda trial, spec, splits: fit(options, trial, spec, splits))


def fit(options: argparse.Namespace, trial: Trial, spec: dict[str, Any], splits: dict[str, Rows]) -> Fit:
    """Fit one model and leave the weights of its best epoch."""
    model = build(options, spec)
    spread_embeddings(model, trial.spread)
    trainer = CTRTrainer(
        model,
        optimizer_params={"lr": trial.learning_rate},
        regularization_params={"embedding_l2": trial.l2},
        n_epoch=options.epochs,
        earlystop_patience=options.patience,
        model_path=str(options.out),
    )
    train, valid = (
        Batches(splits["train"], options.batch, with_label, options.seed),
        Batches(splits["valid"], 2048, with_label),
    )
    passes = Passes(train)
    quietly(trainer.fit, passes, valid)
    if trainer.early_stopper.best_weights is not None:
        model.load_state_dict(trainer.early_stopper.best_weights)

    def predict(rows: Rows) -> np.ndarray:
        return np.asarray(quietly(trainer.predict, model, Batches(rows, 2048, with_label)))

    return Fit(predict, passes.count)


def build(options: argparse.Namespace, spec: dict[str, Any]) -> nn.Module:
    """The library's model on our fields."""
    sizes, width = spec["sizes"], options.width
    context = [SparseFeature(name, sizes[name], embed_dim=width) for name in CONTEXT]
    dense = [DenseFeature("dense", embed_dim=spec["dense"])]
    ad = [SparseFeature(name, sizes[name], embed_dim=width, padding_idx=0) for name in options.fields]
    pooling = "mean" if options.model == "deepfm" else "concat"
    history = [
        SequenceFeature(f"hist_{name}", sizes[name], width, pooling, shared_with=name, padding_idx=0)
        for name in options.fields
    ]
    if options.model == "deepfm":
        fields = [*context, *ad, *history]
        return DeepFM(deep_features=[*fields, *dense], fm_features=fields, mlp_params=HIDDEN)
    if options.model == "bst":
        length = spec["window"] + 1
        return BST([*context, *dense], history, ad, HIDDEN, nhead=4, dropout=0.2, max_seq_len=length)
    return FlatDin([*context, *dense], history, ad, mlp_params=HIDDEN, attention_mlp_params={"dims": [36]})


class FlatDin(DIN):
    """DIN whose context may hold dense features: the library's joins them only where fields are flattened."""

    def __init__(self, features: list, *others: Any, **settings: Any) -> None:
        super().__init__(features, *others, **settings)
        look_up, context = self.embedding.forward, self.features
        self.embedding.forward = lambda x, fields, squeeze_dim=False: look_up(x, fields, fields is context)


class Passes:
    """Counts how often the training rows were gone through."""

    def __init__(self, batches: Batches) -> None:
        self.batches, self.count = batches, 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Any:
        self.count += 1
        return iter(self.batches)


def with_label(rows: Rows) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """A batch as the library's loaders give it."""
    inputs = {name: torch.from_numpy(values) for name, values in rows.items() if not name.endswith("_key")}
    return inputs, inputs.pop("click")


def quietly(call: Any, *given: Any) -> Any:
    """Call without the progress bars."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return call(*given)


if __name__ == "__main__":
    main()
