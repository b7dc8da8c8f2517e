"""Inspection: layouts are read, architectures recognised, and nothing in any file is executed."""

from __future__ import annotations

import collections
import contextlib
import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from capfix_cli.checkpoints.inspection import inspect_checkpoint
from capfix_cli.core.errors import CapfixError

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


class LSTMSoftAttention(nn.Module):
    """Show, attend and tell: the attention's parts under one name, beside the cell."""

    def __init__(self):
        super().__init__()
        parts = {name: nn.Linear(20, 20) for name in ("encoder_att", "decoder_att", "full_att")}
        self.decoder = nn.ModuleDict(
            {
                "attention": nn.ModuleDict(parts),
                "embedding": nn.Embedding(40, 12),
                "decode_step": nn.LSTMCell(12 + 20, 20),
                "fc": nn.Linear(20, 40),
            }
        )


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
        LSTMSoftAttention(),
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


def safetensors_file(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def row(shape, ends):
    return {"w": {"dtype": "F32", "shape": shape, "data_offsets": ends}}


HUGE = 2**60
HEADERS = {
    f"bytes 0 to {HUGE} of 8": row([2], [0, HUGE]),
    "bytes 8 to 0 of 8": row([2], [8, 0]),
    "bytes -8 to 8 of 8": row([2], [-8, 8]),
    f"claims elements 0 to {HUGE} of": row([HUGE], [0, 8]),
    "claims elements 0 to 3 of": row([3], [0, 8]),
    "has 8 bytes, its shape needs 4": row([1], [0, 8]),
    "an impossible shape": row([HUGE, HUGE], [0, 8]),
    "'w' claims an impossible shape": row([-1], [0, 8]),
    "claims 70 dimensions": row([1] * 70, [0, 8]),
    "no data_offsets": row([2], [0, 8, 9]),
    "no shape": row([2.5], [0, 8]),
    "'w' has no shape": {"w": 3},
    "its header is not JSON": b'{"w": ' + b"[" * 100_000,
    "header is not JSON": b'{"w": ' + b"9" * 5000 + b"}",
    "header claims 16777217 bytes": b"{" + bytes(2**24),
}


@pytest.mark.parametrize("message", HEADERS)
def test_headers_that_claim_what_is_not_there_are_damaged(message, tmp_path):
    (tmp_path / "m.safetensors").write_bytes(safetensors_file(HEADERS[message], bytes(8)))
    with pytest.raises(CapfixError, match=f"is damaged: .*{re.escape(message)}") as caught:
        inspect_checkpoint(str(tmp_path / "m.safetensors"))
    assert caught.value.hint


def torch_pickle(numel=2, offset=0, size=(2,), stride=(1,), key="0"):
    """Write the pickle of ``{"w": tensor}`` with any claims."""

    class Storage:
        pass

    class Claim:
        def __reduce__(self):
            arguments = (Storage(), offset, size, stride, False, collections.OrderedDict())
            return torch._utils._rebuild_tensor_v2, arguments

    class Writer(pickle.Pickler):
        def persistent_id(self, item):
            known = isinstance(item, Storage)
            return ("storage", torch.FloatStorage, key, "cpu", numel) if known else None

    buffer = io.BytesIO()
    Writer(buffer, 2).dump({"w": Claim()})
    return buffer.getvalue()


def archive_of(body, **storages):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", body)
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key.lstrip('_')}", data)
    return buffer.getvalue()


def legacy_of(body, keys, *storages):
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {})]
    return b"".join([*parts, body, pickle.dumps(keys, 2), *storages])


def oversized_directory():
    """Say that the directory, which readers take whole, has 32 MB; and have them."""
    data = archive_of(torch_pickle(), _0=bytes(8))
    end = data.rfind(b"PK\x05\x06")
    return data[:end] + bytes(2**25) + data[end : end + 12] + struct.pack("<L", 2**25) + bytes(6)


def deflated(**entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {"data.pkl": pickle.dumps({}), **entries}.items():
            archive.writestr(f"archive/{name}", data)
    return buffer.getvalue()


def understated():
    """Let an entry claim 9 bytes that swells to 32 MB; to no more than it claims is it read."""
    size = 2**25 + 4321
    data = deflated(bomb=bytes(size))
    assert data.count(struct.pack("<L", size)) == 2
    return data.replace(struct.pack("<L", size), struct.pack("<L", 9))


def twice_named():
    data = archive_of(torch_pickle(), _0=bytes(8), _1=bytes(8))
    return data.replace(b"archive/data/1", b"archive/data/0")


CLAIMS = {
    f"claims {HUGE} elements in 8 bytes": archive_of(torch_pickle(numel=HUGE), _0=bytes(8)),
    f"claims elements 0 to {HUGE} of": archive_of(torch_pickle(size=(HUGE,)), _0=bytes(8)),
    "claims elements 9 to 11 of a storage of 8": archive_of(torch_pickle(offset=9), _0=bytes(8)),
    "claims elements -3 to": archive_of(torch_pickle(offset=-3), _0=bytes(8)),
    "claims elements 0 to 101": archive_of(torch_pickle(stride=(100,)), _0=bytes(8)),
    "claims impossible strides": archive_of(torch_pickle(stride=(-1,)), _0=bytes(8)),
    "claims 2 elements in 4 bytes": archive_of(torch_pickle(), _0=bytes(4)),
    "the storage of its tensor 'w' is missing": archive_of(torch_pickle()),
    "its directory claims 33554432 bytes": oversized_directory(),
    "data.pkl claims 68157440 bytes": deflated(**{"data.pkl": bytes(65 * 2**20)}),
    "its entries hold more": deflated(**{f"data/{n}": bytes(2**20) for n in range(66)}),
    "several of its entries have one name": twice_named(),
    "Bad CRC-32 for file 'archive/bomb'": understated(),
    "elements with 8 bytes left": legacy_of(
        torch_pickle(), ["0"], struct.pack("<q", HUGE), bytes(8)
    ),
    "claims -1 elements": legacy_of(torch_pickle(), ["0"], struct.pack("<q", -1), bytes(8)),
    "claims 3 elements with 8": legacy_of(torch_pickle(), ["0"], struct.pack("<q", 3), bytes(8)),
    "it ends before its storage '0'": legacy_of(torch_pickle(), ["0"]),
    "no list of its storages": legacy_of(torch_pickle(), {"0": 1}),
    "its tensor 'w' is missing": legacy_of(torch_pickle(), []),
}


@pytest.mark.parametrize("message", CLAIMS)
def test_storages_and_tensors_are_held_to_the_file(message, tmp_path):
    (tmp_path / "m.pt").write_bytes(CLAIMS[message])
    with pytest.raises(CapfixError, match=f"is damaged: .*{re.escape(message)}"):
        inspect_checkpoint(str(tmp_path / "m.pt"))


def test_the_claims_are_what_is_wrong_with_them(tmp_path):
    whole = {
        "zip": archive_of(torch_pickle(), _0=bytes(8)),
        "legacy": legacy_of(torch_pickle(), ["0"], struct.pack("<q", 2), bytes(8)),
        "safetensors": safetensors_file(row([2], [0, 8]), bytes(8)),
    }
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
        assert len(inspect_checkpoint(str(tmp_path / name)).tensors) == 1


def doubling(first, levels, opening, closing):
    """Nest a container in itself, twice a level, with a few bytes a level."""
    steps = [
        b"0" + opening + b"h" + bytes([n]) + b"h" + bytes([n]) + closing + b"q" + bytes([n + 1])
        for n in range(levels)
    ]
    return b"\x80\x02" + first + b"q\x00" + b"".join(steps)


def text(content):
    return b"X" + struct.pack("<I", len(content)) + content


BUILTIN = b"c__builtin__\n"
# Pickles that crash, hang or swell whoever reads them without bounds.
BOMBS = {
    # hash() of nested tuples recurses in C: without a bound this ends Python itself.
    "deep key": b"\x80\x02})" + b"\x85" * 2_000_000 + b"K\x01s.",
    "wide key": doubling(b")", 60, b"", b"\x86") + b"}h\x3cK\x01s.",
    "repeated key": doubling(b")", 18, b"", b"\x86") + b"}q\xff" + b"h\x12Ns" * 5_000 + b".",
    "empty lists": b"\x80\x02" + b"]" * 6_000_000 + b".",
    "empty sets": b"\x80\x04" + b"\x8f" * 6_000_000 + b".",
    "classes": b"\x80\x02" + b"".join(b"ca\n%06d\n" % n for n in range(100_000)) + b".",
    "doubled lists": doubling(b"]", 60, b"(", b"l") + b".",
    "doubled settings": b"\x80\x02}" + text(b"config") + doubling(b"]", 60, b"(", b"l")[2:] + b"s.",
    "doubled tensors": b"\x80\x02}"
    + text(b"w")
    + doubling(torch_pickle()[2:-1], 20, b"(", b"l")[2:]
    + b"s.",
    "unpacked texts": b"\x80\x02"
    + text(b"a" * 2**20)
    + b"q\x000"
    + (BUILTIN + b"list\nh\x00\x85R") * 3_000
    + b".",
    "imported texts": b"\x80\x04"
    + text(b"a" * 2**20)
    + b"\x940"
    + b"h\x00h\x00\x93" * 50_000
    + b".",
    "long text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"abc",
    "long bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**33) + b"abc",
    "long array": b"\x80\x05\x96" + struct.pack("<Q", 2**33) + b"abc",
    "long frame": b"\x80\x04\x95" + struct.pack("<Q", 2**33) + b"abc",
    "long integer": b"\x80\x02}"
    + text(b"config")
    + b"\x8b"
    + struct.pack("<i", 2**22)
    + b"\x7f" * 2**22
    + b"s.",
    "integers of one hash": b"\x80\x02}("
    + b"".join(
        b"\x8a\x0a" + (n * (2**61 - 1)).to_bytes(10, "little") + b"N" for n in range(9, 120_000)
    )
    + b"u.",
    "endless name": b"\x80\x04(\x91q\x000(h\x00\x91q\x01"
    + b"".join(b"0(h%ch%c\x91q%c" % (n, n - 1, n + 1) for n in range(1, 90))
    + b"0}h\x5a}s.",
    "items of a mapping": b"\x80\x02ccollections\nOrderedDict\n)R}" + text(b"items") + b"K\x01sb.",
    "items of a class": b"\x80\x02ccollections\nOrderedDict\nN}" + text(b"items") + b"K\x01s\x86b.",
    "names for terminals": b"\x80\x02}"
    + text(b"\x1b[2J[/a]\xed\xb2\x80\xe2\x80\xae")
    + torch_pickle()[2:-1]
    + b"s.",
}
CHILD = r"""
import contextlib, io, json, re, sys
from pathlib import Path
from capfix_cli.cli.app import main
outcomes = {}
for name in sys.argv[1:]:
    out, err, sys.argv = io.StringIO(), io.StringIO(), ["capfix", "inspect", name]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
    # Not ru_maxrss: it begins at what the parent held.
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
    outcomes[name] = [status, out.getvalue(), err.getvalue(), peak]
print(json.dumps([outcomes, "torch" in sys.modules]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("form", ["pickle", "zip"])
def test_bombs_neither_crash_nor_swell(form, tmp_path):
    assert len(BOMBS) >= 20
    for name, content in BOMBS.items():
        data = content if form == "pickle" else archive_of(content, _0=bytes(8))
        (tmp_path / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *BOMBS],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,  # a crash of the interpreter is no exception that could be caught
    )
    outcomes, heavy = json.loads(done.stdout)
    assert not heavy  # an inspection needs no torch, and starts without it
    assert set(outcomes) == set(BOMBS)
    for name, (status, shown, complaint, peak) in outcomes.items():
        assert "Traceback" not in complaint, name
        assert status in {0, 2}, (name, complaint)
        assert (len(complaint.strip().splitlines()) >= 1) == (status == 2), name
        assert not any(c in shown + complaint for c in "\x1b\udc80\u202e"), name
        assert peak < 600 * 1024, name  # KiB, the fifty of the program itself included
    for name in ("deep key", "wide key", "repeated key", "empty lists", "doubled tensors"):
        assert outcomes[name][0] == 2, name
    for name in ("doubled lists", "doubled settings", "items of a class", "long integer"):
        assert outcomes[name][0] == 0, name


def test_a_pickle_cannot_change_the_reader(tmp_path):
    from capfix_cli.checkpoints.safe_pickle import safe_unpickler as inert

    before = dict(vars(inert.Mapping)), dict(vars(inert.Stub))
    for name in ("items of a class", "items of a mapping"):
        (tmp_path / "m.pt").write_bytes(BOMBS[name])
        inspect_checkpoint(str(tmp_path / "m.pt"))
    assert (dict(vars(inert.Mapping)), dict(vars(inert.Stub))) == before


def test_what_is_no_regular_file_is_not_waited_for(tmp_path, capfix):
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in capfix("inspect", "pipe").complaint
    assert "no regular file" in capfix("inspect", os.devnull).complaint
    assert capfix("inspect", "x" * 5_000).complaint
    assert "is empty" in (
        (tmp_path / "m.pt").write_bytes(b"") or capfix("inspect", "m.pt").complaint
    )
    index = {"weight_map": {"a": "pipe"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks 1 of 1 shards" in capfix("inspect", ".").complaint


def test_other_containers_are_named(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.ckpt"))
    for content, what in ((buffer.getvalue(), "tar archive"), (bytes(64), "nothing but zeros")):
        (tmp_path / "m.nemo").write_bytes(content)
        with pytest.raises(CapfixError, match=what):
            inspect_checkpoint(str(tmp_path / "m.nemo"))


def test_settings_and_optimisers_are_shown_plainly(tmp_path):
    from argparse import Namespace

    network = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4, weight_decay=0.02)
    data = {
        "model": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 7,
        "args": Namespace(dropout=0.1, note="two\nlines\x1b[31m"),
        "hparams": {"wide": 2**70, "many": list(range(500))},
    }
    torch.save(data, tmp_path / "m.pt")
    config = inspect_checkpoint(str(tmp_path / "m.pt")).config
    assert config["epoch"] == 7
    assert config["args"] == {"dropout": 0.1, "note": "two\nlines\\x1b[31m"}
    assert config["optimizer"]["lr"] == 3e-4
    assert config["optimizer"]["weight_decay"] == 0.02
    assert "params" not in config["optimizer"]
    assert config["hparams"]["wide"] == "<integer of 71 bits>"
    assert config["hparams"]["many"][-1] == "..."


def test_scores_and_counters_beside_the_weights_are_shown(tmp_path):
    data = {
        "encoder": nn.Linear(3, 2).state_dict(),
        "epochs_since_improvement": 4,
        "bleu-4": 0.21,
        "metric_monitor": {"mode": "max", "best": 0.3},
        "word_map": {"<start>": 0, "<end>": 1, "dog": 2},
        "losses": list(range(100)),
        **{f"made_up_{number}": number for number in range(500)},
    }
    torch.save(data, tmp_path / "m.pt")
    config = inspect_checkpoint(str(tmp_path / "m.pt")).config
    assert config["epochs_since_improvement"] == 4
    assert config["bleu-4"] == 0.21
    assert config["metric_monitor"] == {"mode": "max", "best": 0.3}
    assert not {"word_map", "losses", "encoder"} & config.keys()
    assert len(config) < 100


OLD_PICKLES = {
    "gadget": b"cos\nsystem\n(S'touch %s'\ntR.",
    "instance": b"(S'touch %s'\nios\nsystem\n.",
    "hidden": b"(dp0\nS'x'\np1\ncposix\nsystem\np2\n(S'touch %s'\ntRs.",
}


@pytest.mark.parametrize("name", OLD_PICKLES)
def test_pickles_of_lines_are_read_as_pickles_and_run_nothing(name, tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "words.p"
    content = OLD_PICKLES[name].replace(b"%s", str(canary).encode())
    path.write_bytes(content)
    found = inspect_checkpoint(str(path))
    assert found.format == "pickle"
    assert "system" in found.refused
    assert not canary.exists()
    pickle.loads(content)  # it would have acted
    assert canary.exists()


def sample():
    buffer = io.BytesIO()
    torch.save({"model": {"w": torch.zeros(2, 3)}, "vocab": ["a"]}, buffer)
    old = io.BytesIO()
    torch.save({"w": torch.zeros(2)}, old, _use_new_zipfile_serialization=False)
    header = row([2], [0, 8]) | {"__metadata__": {"epoch": "3"}}
    norm = io.BytesIO()
    torch.save({f"bn.{n}": t for n, t in nn.BatchNorm1d(9).state_dict().items()}, norm)
    return [
        *(buffer.getvalue(), old.getvalue(), norm.getvalue()),
        *(pickle.dumps({"words": ["a", {"b": 1}]}, protocol) for protocol in (0, 1, 4)),
        safetensors_file(header, bytes(8)),
    ]


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
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"PK\x03\x04", b"(dp0\n", b"cos\n"]),
)
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
        "elements": 36,
        "bytes": 144,
    }
    assert data["elements"] == sum(t["elements"] for t in data["tensors"])
    assert data["bytes"] > 4 * data["elements"] > 0  # the count of batches is of eight bytes
    shown = capfix("inspect", "m.pt").out
    for words in (
        *("X-ray", "concatenated", "4 words under word2idx", "encoder.0.weight", "144 B"),
        f"{data['elements']:,} numbers",
    ):
        assert words in shown
    assert "no file" in capfix("inspect", "none.pt").complaint
