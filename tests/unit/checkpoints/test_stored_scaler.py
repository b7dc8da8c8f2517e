"""Scalers beside the weights are read without running them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import nn

import capfix_cli
from capfix_cli.checkpoints.inspection import inspect_checkpoint
from capfix_cli.core.errors import CapfixError

FEATURES = np.random.default_rng(0).normal(-4, 3, (200, 64)).astype(np.float32)


def saved(path, **beside):
    torch.save({"model": nn.Linear(64, 8).state_dict(), **beside}, path)
    return str(path)


@pytest.mark.parametrize("kind", ["StandardScaler", "MinMaxScaler", "RobustScaler", "MaxAbsScaler"])
def test_scalers_of_scikit_learn_scale_as_they_do(kind, tmp_path):
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    scaler = getattr(preprocessing, kind)().fit(FEATURES)
    path = saved(tmp_path / "m.pt", scaler=scaler)
    found = capfix_cli.load_scaler(path)
    assert np.allclose(found(torch.from_numpy(FEATURES)), scaler.transform(FEATURES), atol=1e-5)
    fact = inspect_checkpoint(path).facts["features.scaler"]
    assert fact.value == f"{kind} of 64 numbers"
    assert fact.evidence[0].startswith("scaler: mean")
    (tmp_path / "s.pkl").write_bytes(pickle.dumps(scaler))
    alone = inspect_checkpoint(str(tmp_path / "s.pkl")).facts["content"].value
    assert alone == f"no tensors: {kind} of 64 numbers"


@pytest.mark.parametrize(
    "beside",
    [
        {"feature_mean": FEATURES.mean(0), "feature_std": FEATURES.std(0)},
        {
            "norm": {
                "mean": torch.from_numpy(FEATURES.mean(0)),
                "std": torch.from_numpy(FEATURES.std(0)),
            }
        },
        {"config": {"mel_mean": [-4.0] * 64, "mel_sigma": [3.0] * 64}},
    ],
    ids=["arrays", "tensors", "lists"],
)
def test_a_mean_and_a_deviation_are_a_scaler(beside, tmp_path):
    path = saved(tmp_path / "m.pt", **beside)
    found = capfix_cli.load_scaler(path)
    scaled = found(torch.from_numpy(FEATURES))
    assert abs(float(scaled.mean())) < 0.2
    assert abs(float(scaled.std()) - 1) < 0.1
    assert (
        inspect_checkpoint(path).facts["features.scaler"].value
        == "mean and deviation of 64 numbers"
    )


def test_no_scaler_is_made_of_batch_norms_scores_or_broken_numbers(tmp_path):
    network = nn.Sequential(nn.BatchNorm1d(64), nn.Linear(64, 8))
    beside = {"loss_mean": 1.0, "mean": np.zeros(3), "std": np.array([1.0, 0.0, np.nan])}
    path = saved(tmp_path / "m.pt", state=network.state_dict(), **beside)
    assert "features.scaler" not in inspect_checkpoint(path).facts
    with pytest.raises(CapfixError, match="no scaler"):
        capfix_cli.load_scaler(path)


def test_of_several_scalers_one_is_named(tmp_path):
    norms = {name: {"mean": [0.0], "std": [2.0]} for name in ("train", "other")}
    path = saved(tmp_path / "m.pt", **norms)
    with pytest.raises(CapfixError, match=r"train\.mean and std"):
        capfix_cli.load_scaler(path)
    assert capfix_cli.load_scaler(path, "other.mean and std").scale == [2.0]
