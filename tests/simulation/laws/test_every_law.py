"""What every law keeps: at strength 0 it changes nothing; on, rates are plausible and the truth says what it adds."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import roc_auc_score

from rosa_ray.errors import ConfigError
from rosa_ray.schema import ADS, CANDIDATES, EVENTS, IMPRESSIONS
from rosa_ray.settings import Tagged
from rosa_ray.simulation import TRUTH_SCHEMA, SimulationConfig
from rosa_ray.simulation.laws import config_class, law_module, law_names
from rosa_ray.simulation.laws.law import Law
from rosa_ray.simulation.response import VIEWABLE
from tests.simulation.logs import SMALL, log_of_law, write_log

every_law = pytest.mark.parametrize("law", law_names())
laws_of_clicks = [name for name in law_names() if law_module(name).Law.pull is not Law.pull]


@every_law
def test_at_strength_0_the_log_is_the_default_one(law, small_log):
    log = write_log(SMALL, chunks=[2], laws=(Tagged(law, config_class(law)(strength=0.0)),))
    assert log.ads.equals(small_log.ads)
    for name in ("events", "impressions", "candidates"):
        assert getattr(log, name).equals(small_log.chunks[2][name]), name
    assert log.truth.select(TRUTH_SCHEMA.names).equals(small_log.chunks[2]["truth"])


@every_law
def test_tables_satisfy_their_contracts(law):
    for contract in (EVENTS, IMPRESSIONS, ADS, CANDIDATES):
        assert contract.check(getattr(log_of_law(law), contract.name), contract.name)[1] == []


@every_law
def test_a_chunk_is_the_same_alone(law):
    log = log_of_law(law)
    again = write_log(log.config, chunks=[1])
    assert all(again.chunks[0][name].equals(log.chunks[1][name]) for name in again.chunks[0])


@every_law
def test_rates_stay_plausible(law, small_log):
    log = log_of_law(law)
    rate = [pc.mean(each.impressions["click"].cast(pa.int8())).as_py() for each in (log, small_log)]
    assert 0.7 < rate[0] / rate[1] < 1.3
    assert 0.95 < log.events.num_rows / small_log.events.num_rows < 1.05
    for behavior in ("view", "cart", "purchase"):
        counts = [pc.sum(pc.equal(each.events["behavior"], behavior)).as_py() for each in (log, small_log)]
        assert 0.5 < counts[0] / counts[1] < 1.5, behavior


def test_most_laws_are_about_clicks():
    assert {"births", "chains"} <= {*laws_of_clicks} < {*law_names()}


@pytest.mark.parametrize("law", laws_of_clicks)
def test_the_truth_says_what_the_law_adds(law):
    """A pull tells the click beyond all else: with it the AUC against the truth is at least .02 higher."""
    truth = log_of_law(law).truth
    columns = [name for name in truth.column_names if name.startswith(f"oracle_{law}_")]
    assert truth.column_names == [*TRUTH_SCHEMA.names, *columns]
    assert all(np.isfinite(truth[name].to_numpy()).all() for name in columns)
    p_click = truth["p_ctr"].to_numpy()
    logit = np.log(p_click / (VIEWABLE - p_click))
    label, weight = np.repeat([1, 0], len(p_click)), np.concatenate([p_click, 1 - p_click])
    rest = logit - truth[f"oracle_{law}_click"].to_numpy()
    known, alone = (roc_auc_score(label, np.tile(score, 2), sample_weight=weight) for score in (logit, rest))
    assert known > alone + 0.02


def test_an_unknown_law_is_refused_by_name():
    with pytest.raises(ConfigError, match="is 'magic'; it must be one of births, chains, groups, market"):
        config_class("magic")


def test_a_law_stands_once():
    law = Tagged("chains", config_class("chains")())
    with pytest.raises(ConfigError, match=r"simulation\.laws .*each law may stand there once"):
        SimulationConfig(laws=(law, law))
