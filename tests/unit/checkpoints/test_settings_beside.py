"""Settings of any class beside the weights: they stop nothing, run nothing, and are shown."""

from __future__ import annotations

import argparse
import collections
import enum
import functools
import io
import logging
import operator
import pathlib
import pickle
import types

import numpy as np
import pytest
import torch
from torch import nn

from capfix_cli.checkpoints.inspection import inspect_checkpoint
from capfix_cli.checkpoints.weights import load_weights
from capfix_cli.core.errors import CapfixError

PLAIN = {"model": {"width": 256, "layers": [1, 2]}, "lr": 0.5}


class AttrDict(dict):
    """Keeps its items as attributes too, as the libraries of that name do."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.__dict__ = self


class Wrapper:
    """Keeps a dict behind a private name, beside bookkeeping."""

    def __init__(self):
        self._map = collections.OrderedDict(a=1)
        self._dynamic = True


class Fields:
    def __init__(self):
        self.counts = collections.Counter(a=3)
        self.ids = collections.defaultdict(int, a=1)
        self._cache = {}


class Slots:
    __slots__ = ("rate", "steps")

    def __init__(self):
        self.rate, self.steps = 0.5, [1]


class Colour(enum.Enum):
    RED = 1


class Members(list):
    pass


class Ordered(collections.OrderedDict):
    pass


class Tally(collections.Counter):
    pass


class Boxed(collections.UserDict):
    pass


class Listed(collections.UserList):
    pass


def returns_zero():
    return 0


Pair = collections.namedtuple("Pair", "a b")

# What is kept -> what inspect shows of it; None where any words will do.
KINDS = {
    "attribute-dict": (AttrDict(PLAIN), PLAIN),
    "wrapper": (Wrapper(), {"a": 1}),
    "fields": (Fields(), {"counts": {"a": 3}, "ids": {"a": 1}}),
    "slots": (Slots(), {"rate": 0.5, "steps": [1]}),
    "list": (Members([1, 2]), [1, 2]),
    "ordered": (Ordered(a=1), {"a": 1}),
    "counter": (Tally(a=3), {"a": 3}),
    "user-dict": (Boxed(PLAIN), PLAIN),
    "user-list": (Listed([1, 2]), [1, 2]),
    "nested": ({"a": AttrDict(b=Members([Ordered(c=1)]))}, {"a": {"b": [{"c": 1}]}}),
    "defaultdict": (collections.defaultdict(list, a=[1]), {"a": [1]}),
    "deque": (collections.deque([1, 2], maxlen=4), [1, 2]),
    "slice": (slice(1, 2), "<slice(1, 2, None)>"),
    "range": (range(3), "<range(0, 3, 1)>"),
    "enum": (Colour.RED, "<Colour(1)>"),
    "namedtuple": (Pair(1, 2), "<Pair(1, 2)>"),
    "path": (pathlib.PurePosixPath("a/b"), "a/b"),
    "namespace": (argparse.Namespace(a=1), {"a": 1}),
    "simple": (types.SimpleNamespace(a=1), {"a": 1}),
    "numpy-number": (np.float32(3), 3.0),
    "numpy-array": (np.arange(3), [0, 1, 2]),
    "large-array": (np.zeros((4, 64)), "<array [4, 64] float64>"),
    "function": (returns_zero, None),
    "class": (nn.GRU, None),
    "partial": (functools.partial(returns_zero), None),
    "bytes": (io.BytesIO(b"x"), None),
    "logger": (logging.getLogger("x"), None),
    "key": (operator.itemgetter("a"), None),
    "set": (torch.utils.data.TensorDataset(torch.zeros(2)), None),
    "loss": (nn.CrossEntropyLoss(), None),
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", KINDS)
def test_settings_of_any_class_are_shown_and_stop_no_weights(kind, legacy, tmp_path):
    torch.manual_seed(0)
    kept, shown = KINDS[kind]
    path, network, trained = str(tmp_path / "m.pt"), nn.Linear(8, 8), nn.Linear(8, 8)
    torch.save(
        {"model": trained.state_dict(), "config": kept, "epoch": 3},
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    load_weights(path, network=network)
    assert torch.equal(network.weight, trained.weight)
    config = inspect_checkpoint(path).config
    assert config["epoch"] == 3
    if shown is not None:
        assert config["config"] == shown


@pytest.mark.parametrize("make", [AttrDict, Ordered, Boxed], ids=lambda kind: kind.__name__)
def test_a_checkpoint_that_is_itself_of_such_a_class_is_read(make, tmp_path):
    trained, network = nn.GRU(4, 8, 2), nn.GRU(4, 8, 2)
    torch.save(make(state_dict=trained.state_dict(), epoch=3), tmp_path / "m.pt")
    load_weights(str(tmp_path / "m.pt"), network=network)
    assert all(torch.equal(t, network.state_dict()[n]) for n, t in trained.state_dict().items())
    assert inspect_checkpoint(str(tmp_path / "m.pt")).config == {"epoch": 3}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64])
def test_views_and_kinds_of_numbers_come_out_as_they_were_saved(dtype, tmp_path):
    base = torch.arange(24).to(dtype).reshape(4, 6)
    state = {
        "a": base,
        "part": base[1:3, ::2],
        "turned": base.T,
        "none": base[:0],
        "one": base[2, 3],
    }
    torch.save({"model": state, "config": AttrDict(a=1)}, tmp_path / "m.pt")
    found = load_weights(str(tmp_path / "m.pt"))
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


class Reaches:
    def __reduce__(self):
        import os

        return os.getenv, ("HOME",)


def test_what_reaches_for_the_system_is_refused_whatever_stands_beside(tmp_path):
    kept = {"model": nn.Linear(2, 2).state_dict(), "config": AttrDict(a=1), "x": Reaches()}
    torch.save(kept, tmp_path / "m.pt")
    with pytest.raises(CapfixError, match=r"refused: it reaches for os\.getenv"):
        load_weights(str(tmp_path / "m.pt"))


class Acts:
    """Would leave a file behind if any of its code ran."""

    def __init__(self, path):
        self.path = path

    def __setstate__(self, state):
        pathlib.Path(state["path"]).touch()


def test_nothing_of_a_class_runs(tmp_path):
    kept = {
        "model": nn.Linear(2, 2).state_dict(),
        "a": Acts(str(tmp_path / "ran")),
        "b": AttrDict(),
    }
    torch.save(kept, tmp_path / "m.pt")
    load_weights(str(tmp_path / "m.pt"))
    assert not (tmp_path / "ran").exists()


def test_a_prefix_of_any_name_is_seen_through(tmp_path):
    trained, network = nn.GRU(4, 8), nn.GRU(4, 8)
    state = {f"captioner.core.{name}": t for name, t in trained.state_dict().items()}
    torch.save({"state_dict": {**state, "loss.weight": torch.ones(3)}}, tmp_path / "m.ckpt")
    load_weights(str(tmp_path / "m.ckpt"), network=network)
    assert torch.equal(network.weight_hh_l0, trained.weight_hh_l0)


def test_parts_are_found_under_a_common_prefix(tmp_path):
    parts = {"encoder": nn.Linear(4, 8), "decoder": nn.Linear(4, 8)}
    state = {f"net.{p}.{n}": t for p, part in parts.items() for n, t in part.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "m.ckpt")
    fresh = {name: nn.Linear(4, 8) for name in parts}
    load_weights(str(tmp_path / "m.ckpt"), **fresh)
    assert all(torch.equal(fresh[n].weight, part.weight) for n, part in parts.items())


def test_a_network_that_is_there_twice_is_asked_for(tmp_path):
    state = {
        f"{name}.{key}": tensor
        for name in ("student", "teacher")
        for key, tensor in nn.Linear(4, 4).state_dict().items()
    }
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(CapfixError, match=r"student\. and under teacher"):
        load_weights(str(tmp_path / "m.pt"), network=nn.Linear(4, 4))


def test_tensors_without_a_place_under_a_prefix_are_still_told(tmp_path):
    trained = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    torch.save({f"net.{k}": t for k, t in trained.state_dict().items()}, tmp_path / "m.pt")
    with pytest.raises(CapfixError, match=r"1\.weight has no place"):
        load_weights(str(tmp_path / "m.pt"), network=nn.Sequential(nn.Linear(4, 4)))


def test_pickles_of_python_2_keep_their_items(tmp_path):
    with (tmp_path / "m.pkl").open("wb") as file:
        pickle.dump({"config": Ordered(a=1), "more": AttrDict(b=2)}, file, protocol=0)
    assert inspect_checkpoint(str(tmp_path / "m.pkl")).config == {"config": {"a": 1}}
