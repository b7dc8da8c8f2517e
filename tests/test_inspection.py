"""Inspection: layouts are read, architectures recognised, and nothing in any file is executed."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import struct
import tempfile
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from capfix_cli.captioners.inspection.inspect import inspect_checkpoint
from capfix_cli.errors import CapfixError

WORDS = {"<pad>": 0, "<sos>": 1, "<eos>": 2, "dog": 3}


class GRUCaptioner(nn.Module):
    """A usual student model: CNN, GRU over [word, audio]."""

    def __init__(self, audio=8, layers=2):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3))
        self.decoder = nn.ModuleDict(
            {
                "embedding": nn.Embedding(50, 16),
                "rnn": nn.GRU(16 + audio, 24, layers),
                "fc": nn.Linear(24, 50),
            }
        )


class LSTMAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(40, 12)
        self.attention = nn.Linear(20, 20)
        self.decode_step = nn.LSTMCell(12 + 20, 20)
        self.fc = nn.Linear(20, 40)


class TransformerCaptioner(nn.Module):
    def __init__(self):
        super().__init__()
        self.word_emb = nn.Embedding(30, 16)
        layer = nn.TransformerDecoderLayer(16, 2, 32)
        self.decoder = nn.TransformerDecoder(layer, 3)
        self.dec_fc = nn.Linear(16, 30)


class Wordless(nn.Module):
    """Repeats an encoded frame; never sees a word."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleDict({"gru1": nn.GRU(64, 16, bidirectional=True)})
        self.decoder = nn.ModuleDict({"rnn": nn.GRU(32, 20)})
        self.classifier = nn.Linear(20, 60)


ARCHITECTURES = [
    (
        GRUCaptioner(),
        {
            "decoder.kind": "gru",
            "decoder.layers": 2,
            "decoder.width": 24,
            "embedding.width": 16,
            "vocabulary.size": 50,
            "conditioning": "concatenated",
            "autoregressive": True,
            "encoder.conv-layers": 2,
            "encoder.batchnorm": True,
            "output.tied": False,
        },
    ),
    (GRUCaptioner(audio=0), {"conditioning": "not-concatenated"}),
    (
        LSTMAttention(),
        {"decoder.kind": "lstm", "conditioning": "additive-attention", "vocabulary.size": 40},
    ),
    (
        TransformerCaptioner(),
        {
            "decoder.kind": "transformer",
            "decoder.layers": 3,
            "decoder.width": 16,
            "conditioning": "cross-attention",
            "vocabulary.size": 30,
        },
    ),
    (
        Wordless(),
        {
            "decoder.kind": "gru",
            "decoder.layers": 1,
            "autoregressive": False,
            "vocabulary.size": 60,
            "embedding.width": None,
        },
    ),
]


@pytest.mark.parametrize(("network", "facts"), ARCHITECTURES, ids=lambda x: type(x).__name__)
def test_architectures_are_read_from_names_and_shapes(network, facts, tmp_path):
    torch.save(network.state_dict(), tmp_path / "m.pt")
    found = inspect_checkpoint(str(tmp_path / "m.pt"))
    assert {name: found.facts[name].value for name in facts} == facts
    assert all(fact.evidence for fact in found.facts.values() if fact.value is not None)
    assert all(fact.evidence for fact in found.facts.values() if fact.value is None)
    assert {t.name: list(t.shape) for t in found.tensors} == {
        name: list(tensor.shape) for name, tensor in network.state_dict().items()
    }


def layouts(network):
    state = network.state_dict()
    prefixed = {f"module.{name}": tensor for name, tensor in state.items()}
    optimizer = torch.optim.Adam(network.parameters())
    sum(p.sum() for p in network.parameters()).backward()
    optimizer.step()
    return {
        "bare": state,
        "model": {"model": state, "optimizer": optimizer.state_dict(), "epoch": 7},
        "parallel": {"state_dict": prefixed},
        "lightning": {
            "state_dict": {f"model.{name}": t for name, t in state.items()},
            "hyper_parameters": {"lr": 1e-3},
            "epoch": 7,
        },
        "words": {"model_state_dict": state, "word2idx": WORDS, "epoch": 7},
    }


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", ["bare", "model", "parallel", "lightning", "words"])
def test_layouts_in_the_wild_give_the_same_tensors(name, legacy, tmp_path):
    network = GRUCaptioner()
    data = layouts(network)[name]
    torch.save(data, tmp_path / "m.pt", _use_new_zipfile_serialization=not legacy)
    found = inspect_checkpoint(str(tmp_path / "m.pt"))
    assert found.format == ("torch-legacy" if legacy else "torch")
    assert [t.name for t in found.tensors] == list(network.state_dict())
    assert found.refused is None
    if name not in {"bare", "parallel"}:
        assert found.config["epoch"] == 7
    if name == "words":
        assert found.vocabulary.size == 4
        assert found.vocabulary.source == "word2idx"
        assert found.vocabulary.special == {"<pad>": 0, "<sos>": 1, "<eos>": 2}


def test_a_whole_pickled_module_is_read_without_its_class(tmp_path):
    network = GRUCaptioner()
    torch.save(network, tmp_path / "whole.pt")
    found = inspect_checkpoint(str(tmp_path / "whole.pt"))
    assert {t.name for t in found.tensors} == set(network.state_dict())
    assert found.facts["decoder.kind"].value == "gru"
    assert any(name.endswith("GRUCaptioner") for name in found.imports)


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.*:FutureWarning", "ignore:.*torch.jit.*:DeprecationWarning"
)
def test_safetensors_and_torchscript_are_recognised(tmp_path):
    from safetensors.torch import save_file

    save_file(GRUCaptioner().state_dict(), tmp_path / "m.safetensors", {"epoch": "3"})
    found = inspect_checkpoint(str(tmp_path / "m.safetensors"))
    assert found.format == "safetensors"
    assert found.facts["decoder.kind"].value == "gru"
    assert found.config == {"epoch": 3}
    program = torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2))
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        buffer = io.BytesIO()
        torch.jit.save(program, buffer)
        with zipfile.ZipFile(buffer) as made:
            for entry in made.infolist():
                archive.writestr(entry, made.read(entry))
    found = inspect_checkpoint(str(tmp_path / "m.pt"))
    assert found.format == "torchscript"
    assert "would run" in found.refused


# What malicious pickles call. Each is (module, name, arguments); "{canary}" is a file's path.
TOUCH = "touch {canary}"
PYTHON = "open('{canary}', 'w')"
GADGETS = [
    *((module, "system", (TOUCH,)) for module in ("os", "posix", "nt")),
    *(("os", name, (TOUCH,)) for name in ("popen", "execl", "spawnl", "startfile", "putenv")),
    ("os", "remove", ("{canary}",)),
    ("os", "mkdir", ("{canary}",)),
    *(
        ("subprocess", name, (["touch", "{canary}"],))
        for name in ("Popen", "run", "call", "check_call", "check_output")
    ),
    ("subprocess", "getoutput", (TOUCH,)),
    *(("builtins", name, (PYTHON,)) for name in ("eval", "exec", "compile")),
    ("builtins", "open", ("{canary}", "w")),
    ("builtins", "__import__", ("os",)),
    ("builtins", "getattr", ("", "join")),
    ("__builtin__", "eval", (PYTHON,)),
    ("__builtin__", "apply", (PYTHON,)),
    ("importlib", "import_module", ("os",)),
    ("runpy", "_run_code", (PYTHON, {})),
    ("runpy", "run_path", ("{canary}",)),
    ("code", "InteractiveInterpreter", ()),
    ("pty", "spawn", ("/bin/true",)),
    ("timeit", "timeit", (PYTHON,)),
    ("cProfile", "run", (PYTHON,)),
    ("profile", "run", (PYTHON,)),
    ("pdb", "run", (PYTHON,)),
    ("bdb", "Bdb.run", (PYTHON,)),
    ("trace", "Trace", ()),
    ("shutil", "rmtree", ("{canary}",)),
    ("shutil", "copyfile", ("/etc/hostname", "{canary}")),
    ("socket", "create_connection", (("localhost", 9),)),
    ("ctypes", "CDLL", ("libc.so.6",)),
    ("webbrowser", "open", ("file:///",)),
    ("urllib.request", "urlopen", ("file:///etc/hostname",)),
    ("pickle", "loads", (b"N.",)),
    ("_pickle", "loads", (b"N.",)),
    ("marshal", "loads", (b"N",)),
    ("dill", "loads", (b"N.",)),
    ("types", "FunctionType", ()),
    ("types", "CodeType", ()),
    ("functools", "reduce", ()),
    ("operator", "methodcaller", ("system", TOUCH)),
    ("operator", "attrgetter", ("system",)),
    ("asyncio.unix_events", "_UnixSubprocessTransport._start", ()),
    ("multiprocessing.util", "spawnv_passfds", ()),
    ("pip", "main", (["--version"],)),
    ("pydoc", "pipepager", ("", TOUCH)),
    ("idlelib.pyshell", "ModifiedInterpreter.runcommand", (PYTHON,)),
    ("distutils.file_util", "write_file", ("{canary}", ["x"])),
    ("numpy.testing._private.utils", "runstring", (PYTHON, {})),
    ("torch.storage", "_load_from_bytes", (b"N.",)),
    ("torch", "load", ("{canary}",)),
    ("torch.hub", "load", ("a/b", "c")),
    ("torch.serialization", "load", ("{canary}",)),
    ("torch.jit", "load", ("{canary}",)),
    ("torch.utils.bottleneck.__main__", "run_cprofile", (PYTHON, {})),
    ("torch._inductor.codecache", "compile_file", (PYTHON,)),
    ("torch.distributed.rpc.internal", "_run_function", ()),
    ("logging.config", "_resolve", ("os.system",)),
    ("linecache", "getlines", ("/etc/hostname",)),
    ("tempfile", "NamedTemporaryFile", ()),
]


def payload(module, name, arguments, canary):
    """Write a pickle that calls ``module.name(*arguments)``."""
    plain = json.loads(
        json.dumps(arguments, default=lambda b: b.decode()).replace("{canary}", str(canary))
    )
    inner = pickle.dumps(tuple(plain), protocol=2)[2:-1]  # without PROTO and STOP
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + inner + b"R."


def wrapped(data, form, path):
    if form == "pickle":
        path.write_bytes(data)
    elif form == "legacy":
        magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
        path.write_bytes(magic + pickle.dumps({}, 2) + data)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            main = pickle.dumps({"a": 1}, 2) if form == "hidden" else data
            archive.writestr("archive/data.pkl", main)
            if form == "hidden":
                archive.writestr("archive/data/0", data)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle", "hidden"])
def test_no_gadget_runs_and_each_is_named(form, tmp_path):
    assert len(GADGETS) >= 40
    for number, (module, name, arguments) in enumerate(GADGETS):
        canary, path = tmp_path / f"canary{number}", tmp_path / f"{number}.pt"
        wrapped(payload(module, name, arguments, canary), form, path)
        found = inspect_checkpoint(str(path))
        assert found.refused is not None, (module, name)
        assert f"{module}.{name}" in found.refused, found.refused
        assert not canary.exists(), (module, name)


def test_the_canaries_would_sing(tmp_path):
    canary = tmp_path / "canary"
    pickle.loads(payload("posix", "system", (TOUCH,), canary))
    assert canary.exists()


def test_a_pickle_in_a_tensor_of_bytes_is_found(tmp_path):
    hidden = payload("os", "system", (TOUCH,), tmp_path / "canary")
    data = {"_extra_state": torch.frombuffer(bytearray(hidden), dtype=torch.uint8).clone()}
    torch.save(data, tmp_path / "m.pt")
    found = inspect_checkpoint(str(tmp_path / "m.pt"))
    assert "os.system" in found.refused
    assert not (tmp_path / "canary").exists()


def bad_files(folder, good):
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(3)}, folder / "good.safetensors")
    tensors = (folder / "good.safetensors").read_bytes()
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("readme.txt", "hello")
    double = io.BytesIO()
    with zipfile.ZipFile(double, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("b/data.pkl", pickle.dumps({}))
    return {
        "is empty": b"",
        "text file": b"hello, weights",
        "is damaged": good[: len(good) // 2],
        "its header claims": struct.pack("<Q", 2**60) + b"{}",
        "it ends within its header": tensors[:20],
        "torch.save did not write: it has no data.pkl": zipped.getvalue(),
        "several data.pkl": double.getvalue(),
        "Keras": b"\x89HDF\r\n\x1a\n" + bytes(40),
        "gzip": b"\x1f\x8b" + bytes(40),
        "NumPy": b"\x93NUMPY" + bytes(40),
        "begins with the bytes": bytes([1, 2, 3, 250] * 10),
        "the pickle is damaged": b"\x80\x02]q\x00(K\x01",
    }


def test_files_that_are_no_checkpoint_are_named_in_one_line(tmp_path):
    torch.save({"w": torch.zeros(1000)}, tmp_path / "good.pt")
    cases = bad_files(tmp_path, (tmp_path / "good.pt").read_bytes())
    assert len(cases) == 12
    for message, content in cases.items():
        (tmp_path / "bad.pt").write_bytes(content)
        with pytest.raises(CapfixError, match=message) as caught:
            inspect_checkpoint(str(tmp_path / "bad.pt"))
        assert caught.value.hint


def sample():
    buffer = io.BytesIO()
    torch.save({"model": {"w": torch.zeros(2, 3)}, "vocab": ["a"]}, buffer)
    old = io.BytesIO()
    torch.save({"w": torch.zeros(2)}, old, _use_new_zipfile_serialization=False)
    return [buffer.getvalue(), old.getvalue(), pickle.dumps({"words": ["a", {"b": 1}]}, 4)]


SAMPLES = sample()


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_damaged_files_never_give_a_traceback(content, data):
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(changed)))
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "m.pt")
        path.write_bytes(bytes(changed[:cut]))
        with contextlib.suppress(CapfixError):  # any other error fails the test
            inspect_checkpoint(str(path))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"PK\x03\x04"]))
def test_noise_never_gives_a_traceback(noise, head):
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "m.pt")
        path.write_bytes(head + noise)
        with contextlib.suppress(CapfixError):  # any other error fails the test
            inspect_checkpoint(str(path))


def test_the_command_prints_the_contract(capfix, tmp_path):
    torch.save({"model": GRUCaptioner().state_dict(), "word2idx": WORDS}, tmp_path / "m.pt")
    data = json.loads(capfix("inspect", "m.pt", "--json").out)
    assert data["schema"] == "capfix.inspection/1"
    assert set(data) >= {
        *("schema", "capfix_version", "path", "format", "sha256", "tensors", "config"),
        *("vocabulary", "imports", "refused", "facts"),
    }
    assert data["tensors"][0] == {
        "name": "encoder.0.weight",
        "shape": [4, 1, 3, 3],
        "dtype": "float32",
    }
    shown = capfix("inspect", "m.pt").out
    for words in ("X-ray", "concatenated", "4 words under word2idx", "encoder.0.weight"):
        assert words in shown
    assert "no file" in capfix("inspect", "none.pt").complaint
