"""Pre-training for a study: once for all trials that share it, before any of them is fitted."""

from collections.abc import Sequence

from rosa_ray.studies.schedule import TellProgress, run_trials
from rosa_ray.studies.trial import Record, Trial, TrialRun, pretrained_place
from rosa_ray.training.pretrained import read_result


def pretrain_trials(trials: Sequence[Trial], wanted_at_once: int | None, tell: TellProgress) -> None:
    """Pre-train what the trials start from and no earlier study left; two trials never wait for one another.

    Ray must be initialised.

    Args:
        wanted_at_once: see `trials_at_once`.

    Raises:
        TrainingError: a pre-training failed; the message names the trial.
    """
    wanted: dict[str, Trial] = {}
    for trial in trials:
        if trial.job.pretrain.enabled:
            place = pretrained_place(trial)
            if read_result(place) is None:
                wanted.setdefault(place.root, trial)
    if wanted:
        run_trials(pretrain_trial, list(wanted.values()), wanted_at_once, tell, _told)


def pretrain_trial(trial: Trial) -> Record:
    """Pre-train for a trial; returns the document of the result."""
    TrialRun(trial).pretrain()
    document = read_result(pretrained_place(trial))
    assert document is not None
    return document


def _told(document: Record) -> str:
    if not document["epochs"]:
        return f"the weights of {document['started_from']}"
    best = f"events, epoch {document['best_epoch']} of {document['epochs']}, {document['seconds']:.0f} s"
    return f"{best}, held-out loss {document['loss']:.4f} (without history {document['blank_loss']:.4f})"
