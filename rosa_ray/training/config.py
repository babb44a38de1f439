"""Settings of training."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from rosa_ray.settings import OneOf, section, wrong

MONITORS = {
    "valid_loss": "min",
    "valid_logloss": "min",
    "valid_ctcvr_logloss": "min",
    "valid_auc": "max",
    "valid_gauc": "max",
    "valid_ctcvr_auc": "max",
}
"""Validation figures that can decide the best epoch, and which way is better."""


@section("training.rates")
class PartRates:
    """How fast parts of a pre-trained ranker learn, as factors of `training.learning_rate`. Heads have 1."""

    tables: Annotated[float, Ge(0)] = 1.0
    """Rows of items, categories and shared columns, which events and ads have in common. 0 leaves them as they are."""
    encoder: Annotated[float, Ge(0)] = 1.0
    """What reads a timeline: the embedding of events, the encoder and the task of the next event."""


@section("training")
class TrainingConfig:
    """How a ranker is fitted."""

    workers: Annotated[int, Ge(1)] = 2
    """Data-parallel processes."""
    min_workers: Annotated[int, Ge(1)] | None = None
    """Where there is no room for `workers`, start with as few as these, and grow and shrink with the cluster, from
    checkpoint to checkpoint. null waits for all. A step takes `users_per_batch` of each worker, so another number of
    workers is another batch size."""
    use_gpu: bool | Literal["auto"] = "auto"
    """A GPU per worker (nccl), none (gloo), or `auto`: where the cluster has one for each."""
    cpus_per_worker: Annotated[float, Gt(0)] | None = None
    """Logical CPUs that a worker reserves. null leaves one of the cluster's to the tasks that read."""
    threads_per_worker: Annotated[int, Ge(1)] = 1
    """Torch threads of a worker."""
    epochs: Annotated[int, Ge(1)] = 10
    """Passes over the training period, at most."""
    users_per_batch: Annotated[int, Ge(1)] = 8
    """Users per step and worker. A user brings all of its impressions."""
    learning_rate: Annotated[float, Gt(0)] = 5e-4
    """Learning rate of AdamW after the warm-up."""
    weight_decay: Annotated[float, Ge(0)] = 0.01
    """Weight decay of matrices. Embeddings, biases and decay rates have none."""
    rates: PartRates = PartRates()
    """Rates of tables and encoder after pre-training: lower ones keep what events taught. As the next two settings, it
    says nothing where training starts from fresh weights."""
    freeze_epochs: Annotated[int, Ge(0)] = 0
    """Epochs in which pre-trained tables and encoder stand still, while the heads learn to read them."""
    row_anchor: Annotated[float, Ge(0)] = 0.0
    """How strongly rows of the shared tables are held to where pre-training left them: per step they go back by this
    share of the way, times their learning rate. Checkpoints then hold these rows as well. 0 is off."""
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    """`constant` stays. `cosine` falls to zero over `epochs`. `plateau` halves after an epoch that is no best."""
    warmup_steps: Annotated[int, Ge(0)] = 50
    """Steps in which the learning rate rises linearly."""
    gradient_clip: Annotated[float, Gt(0)] = 5.0
    """Largest norm of the gradient."""
    weight_average: Annotated[float, Ge(0), Lt(1)] = 0.99
    """Decay per step of the running mean of the weights, which is what is validated and kept. 0 takes the last step's
    weights (Polyak & Juditsky 1992)."""
    members: Annotated[int, Ge(1)] = 1
    """Fits by rising seeds that are served as one: the mean of their probabilities. Training, states and scoring cost
    as many times more. `p_ctr_spread` of an answer says how far they lie apart (Lakshminarayanan et al. 2017)."""
    user_share: Annotated[float, Gt(0), Le(1)] = 1.0
    """Share of the users that are trained on: the same ones in every run, those of a smaller share among those of a
    larger one. All users are validated."""
    patience: Annotated[int, Ge(1)] = 2
    """Epochs without a new best after which training stops."""
    min_delta: Annotated[float, Ge(0)] = 0.0
    """By how much an epoch must beat the best to count as new best for `patience`."""
    monitor: Annotated[str, OneOf(MONITORS.keys)] = "valid_logloss"
    """Validation figure that decides the best epoch. Clicks are the most frequent label, so their log loss says most
    reliably where overfitting begins. `valid_loss` weighs the tasks as training does: it moves with the value of some
    hundred conversions, and cannot compare task weights. Where the validation period has one class only, an AUC is
    undefined, and `valid_logloss` decides."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of the forward pass. `auto` is bf16, else fp16, on a GPU and fp32 on a CPU."""
    max_failures: Annotated[int, Ge(0)] = 2
    """How often a worker that died is replaced. Training then goes on from the last epoch."""
    keep_checkpoints: Annotated[int, Ge(1)] = 2
    """Best epochs kept, beside the last one."""
    memory_gb: Annotated[float, Ge(0)] = 4.0
    """Encoded users that a worker keeps in memory. A larger shard is encoded anew once an epoch, in another order each
    time."""
    collective_timeout_s: Annotated[int, Ge(1)] = 60
    """How long a worker waits for the others before it gives up."""
    resume: bool = True
    """Go on from the checkpoints of the same settings and data. False starts over."""

    def __post_init__(self) -> None:
        if self.min_workers is not None and self.min_workers > self.workers:
            raise wrong(self, "min_workers", f"it must be from 1 to training.workers ({self.workers})")

    @property
    def monitor_mode(self) -> Literal["min", "max"]:
        """Whether a lower or a higher monitor is better."""
        return "min" if MONITORS[self.monitor] == "min" else "max"


@section("gate")
class GateTrainingConfig:
    """How the gate between offline and online score is fitted, on the validation period."""

    enabled: bool = True
    """False writes a bundle without a gate, which cannot be served by the rule `learned`."""
    users: Annotated[int, Ge(1)] = 2000
    """Users looked at, at most. Those with impressions in the validation period count."""
    cuts: Annotated[int, Ge(1)] = 2
    """Pairs per impression, each with stored states of another age."""
    daily_share: Annotated[float, Ge(0), Le(1)] = 0.5
    """Share of pairs whose states are of the last midnight, as a daily materialisation leaves them. Those of the others
    are 10 minutes to 7 days old."""
    encode_price: Annotated[float, Ge(0)] | None = None
    """η, the log loss in nats per request that one call of the encoder must gain to be worth it at full load. Higher
    calls less often under load, 0 never minds the load. null takes the mean gain of the pairs, so that at full load an
    average call is just not worth it. The report in `gate.json` says how gains spread."""
    label_share: Annotated[float, Ge(0), Le(1)] = 0.5
    """Weight of the label in what λ is fitted to; the rest is the online probability. Where that is calibrated both say
    the same in expectation, and it lacks the label's noise. 1 fits to labels alone."""
    hidden: Annotated[int, Ge(1)] = 8
    """Hidden units."""
    learning_rate: Annotated[float, Gt(0)] = 0.02
    """Learning rate of Adam."""
    steps: Annotated[int, Ge(1)] = 600
    """Most steps, each on up to 2,048 pairs, with loads drawn anew."""
    patience: Annotated[int, Ge(1)] = 6
    """Checks, one every 20 steps, without a new best on the users held out after which fitting stops."""
    holdout: Annotated[float, Gt(0), Lt(1)] = 0.25
    """Share of users held out. They decide when to stop, the threshold, and the report."""
