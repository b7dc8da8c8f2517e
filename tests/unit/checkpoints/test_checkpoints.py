"""Layouts that are opened without code, vocabularies, trust, and Hugging Face folders."""

from __future__ import annotations

import argparse
import contextlib
import json
import pickle
import tempfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import given as examples
from hypothesis import strategies as st
from torch import nn

from benchmarks.zoo import hugging
from capfix_cli.captioners.huggingface.huggingface_folder import load_folder
from capfix_cli.captioners.loading import load
from capfix_cli.checkpoints.inspection import inspect_checkpoint
from capfix_cli.checkpoints.model_options import ModelOptions, use
from capfix_cli.checkpoints.vocabulary import load_vocabulary
from capfix_cli.checkpoints.weights import load_module, load_weights
from capfix_cli.checkpoints.xray import huggingface_families as families
from capfix_cli.core.errors import CapfixError
from capfix_cli.probes.captioner_variants import on_features
from capfix_cli.probes.geometry import separates


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.decoder = nn.GRU(4, 5)


torch.manual_seed(0)
NET = Net()
STATE = NET.state_dict()
PARTS = {"encoder": NET.encoder.state_dict(), "decoder": NET.decoder.state_dict()}
OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(4, 3)}}, "param_groups": [{"lr": 0.1}]}
LAYOUTS = {
    "bare": STATE,
    "model": {"model": STATE, "epoch": 3, "optimizer": OPTIMIZER},
    "state_dict": {"state_dict": STATE, "args": argparse.Namespace(lr=0.1)},
    "model_state_dict": {"model_state_dict": STATE, "path": Path("x"), "optimizer": OPTIMIZER},
    "DataParallel": {f"module.{name}": tensor for name, tensor in STATE.items()},
    "parts in DataParallel": {
        name: {f"module.{key}": tensor for key, tensor in part.items()}
        for name, part in PARTS.items()
    },
    "Lightning": {
        "state_dict": {f"model.{name}": tensor for name, tensor in STATE.items()},
        "hyper_parameters": argparse.Namespace(width=4),
        "pytorch-lightning_version": "2.5",
        "optimizer_states": [OPTIMIZER],
    },
    "parts": {**PARTS, "decoder_optimizer": OPTIMIZER},
    "parts' state dicts": {f"{name}_state_dict": part for name, part in PARTS.items()},
    "whole module": NET,
    "whole DataParallel": nn.DataParallel(NET),
    "whole parts": {"encoder": NET.encoder, "decoder": nn.DataParallel(NET.decoder), "epoch": 1},
}


def same(module: nn.Module) -> bool:
    found = module.state_dict()
    return all(torch.equal(found[name], tensor) for name, tensor in STATE.items())


@pytest.mark.parametrize("name", LAYOUTS)
def test_weights_come_out_of_every_layout(name, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(LAYOUTS[name], path)
    net = Net()
    with torch.no_grad():
        for weight in net.parameters():
            weight.zero_()
    assert len(load_weights(str(path), network=net)) == len(STATE)
    assert same(net)


@pytest.mark.parametrize("name", [n for n in LAYOUTS if not n.startswith("whole")])
def test_weights_come_out_of_the_old_layout(name, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(LAYOUTS[name], path, _use_new_zipfile_serialization=False)
    net = Net()
    load_weights(str(path), network=net)
    assert same(net)


def test_an_old_pickled_module_is_inspected_and_not_run(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(NET, path, _use_new_zipfile_serialization=False)
    found = inspect_checkpoint(str(path))
    assert found.format == "torch-legacy"
    assert {t.name for t in found.tensors} >= {"encoder.0.weight", "decoder.weight_hh_l0"}
    net = Net()
    load_weights(str(path), network=net)  # its tensors lie in the file; its classes do nothing
    assert same(net)


def test_two_files_go_together(tmp_path, capfix):
    for name, part in PARTS.items():
        torch.save(part, tmp_path / f"best_{name}.pth")
    both = f"{tmp_path}/best_encoder.pth,{tmp_path}/best_decoder.pth"
    net = Net()
    load_weights(both, encoder=net.encoder, decoder=net.decoder)
    assert same(net)
    told = json.loads(capfix("inspect", both, "--json").out)
    assert told["facts"]["decoder.kind"]["value"] == "gru"
    assert len(told["tensors"]) == len(STATE)
    assert "same name" in capfix("inspect", both.replace("decoder", "encoder")).complaint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {**s, "encoder.0.weight": torch.ones(4, 9)}, r"is \[4, 9\], not \[4, 3\]"),
        (lambda s: {k: v for k, v in s.items() if "bias_hh" not in k}, "bias_hh_l0 is missing"),
        (lambda s: {**s, "extra": torch.ones(1)}, "extra has no place"),
        (lambda s: {"nothing": 3}, "no weights that can be found"),
    ],
)
def test_weights_that_do_not_fit_are_named(change, words, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(change(STATE), path)
    with pytest.raises(CapfixError, match=words):
        load_weights(str(path), network=Net())


def shard(folder: Path) -> Path:
    from safetensors.torch import save_file

    names = sorted(STATE)
    half = len(names) // 2
    files = {"model-00001-of-00002.safetensors": names[:half]}
    files["model-00002-of-00002.safetensors"] = names[half:]
    for file, part in files.items():
        save_file({name: STATE[name] for name in part}, folder / file)
    places = {name: file for file, part in files.items() for name in part}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


@pytest.mark.parametrize("by_folder", [True, False])
def test_shards_are_one_checkpoint(by_folder, tmp_path):
    index = shard(tmp_path)
    path = str(tmp_path if by_folder else index)
    net = Net()
    load_weights(path, network=net)
    assert same(net)
    assert {t.name for t in inspect_checkpoint(path).tensors} == set(STATE)


@pytest.mark.parametrize(
    "place",
    ["../secret.safetensors", "/etc/passwd", "a/../../b", "", ".", "..", "x\0y", 3, None, ["a"]],
)
def test_an_index_cannot_lead_out_of_its_folder(place, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    from safetensors.torch import save_file

    save_file(STATE, tmp_path / "secret.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"encoder.weight": place}}))
    for read in (load_weights, inspect_checkpoint):
        with pytest.raises(CapfixError, match=r"refused|lacks 1 of 1"):
            read(str(index))


def test_missing_shards_are_named(tmp_path, capfix):
    shard(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    told = capfix("inspect", tmp_path).complaint
    assert "lacks 1 of 2 shards: model-00002-of-00002.safetensors" in told


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"weight_map": []}', "[" * 100_000])
def test_a_broken_index_is_one_line(text, tmp_path, capfix):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    assert "model.safetensors.index.json" in capfix("inspect", tmp_path).complaint


@pytest.mark.parametrize(
    ("name", "kind"), [("tf_model.h5", "TensorFlow"), ("flax_model.msgpack", "Flax")]
)
def test_folders_of_other_frameworks_are_named(name, kind, tmp_path, capfix):
    (tmp_path / name).write_bytes(b"x")
    assert kind in capfix("inspect", tmp_path).complaint


def test_a_diagnosis_names_files_as_an_inspection_does(tmp_path, capfix):
    """Without an adapter neither can run; what the file is must not depend on who asks."""
    (tmp_path / "keras.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
    (tmp_path / "m.onnx").write_bytes(b"\x08\x07\x12\x07pytorch" + bytes(50))
    for name, part in PARTS.items():
        torch.save(part, tmp_path / f"{name}.pt")
    both = f"{tmp_path / 'encoder.pt'},{tmp_path / 'decoder.pt'}"
    for model, words in (
        (tmp_path / "keras.h5", "an HDF5 file"),
        (tmp_path / "m.onnx", "an ONNX file"),
        (both, f"{len(STATE)} tensors in 2 files, but not how its network is built"),
        (f"{tmp_path / 'encoder.pt'},{tmp_path / 'absent.pt'}", "There is no file"),
        (tmp_path, "is a folder without"),
    ):
        for trust in ((), ("--trust",)):
            done = capfix("diagnose", model, "--audio", tmp_path, *trust)
            assert done.status == 2
            assert words in done.err
            assert "Traceback" not in done.err


def test_trust_does_not_stand_in_the_way_of_weights(tmp_path, tiny_model):
    assert load(str(tiny_model), options=ModelOptions(trust=True)).summary.format == "torch"
    torch.save(STATE, tmp_path / "bare.pt")
    with pytest.raises(CapfixError, match="state_dict of"):
        load(str(tmp_path / "bare.pt"), options=ModelOptions(trust=True))
    with pytest.raises(CapfixError, match="no module"):
        load_module(str(tmp_path / "bare.pt"))


def test_encrypted_archives_are_named(tmp_path, capfix):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02N.")
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the local header's flag, and the directory's
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "is encrypted" in capfix("inspect", path).complaint


# Vocabularies


MAP = {"<pad>": 0, "<sos>": 1, "<eos>": 2, "<unk>": 3, "dog": 4, "barks": 5}


def vocabulary_files(folder: Path) -> dict[str, Path]:
    texts = {
        "map.json": json.dumps(MAP),
        "inverse.json": json.dumps({str(v): k for k, v in MAP.items()}),
        "list.json": json.dumps(list(MAP)),
        "nested.json": json.dumps({"word2idx": MAP}),
        "words.txt": "\n".join(MAP) + "\n",
        "marked.txt": "\ufeff" + "\n".join(MAP),
        "marked.json": "\ufeff" + json.dumps(MAP),
        "tokenizer.json": json.dumps(
            {
                "model": {"type": "WordLevel", "vocab": {k: v for k, v in MAP.items() if v > 3}},
                "added_tokens": [{"id": v, "content": k} for k, v in MAP.items() if v < 4],
            }
        ),
        "named.csv": "word,id\n" + "".join(f"{k},{v}\n" for k, v in reversed(MAP.items())),
        "bare.csv": "".join(f'"{k}",{v}\r\n' for k, v in MAP.items()),
        "indexed.csv": ",word\n" + "".join(f"{v},{k}\n" for k, v in MAP.items()),
        "bare.tsv": "".join(f"{k}\t{v}\n" for k, v in MAP.items()),
        "unigram.json": json.dumps({"model": {"vocab": [[word, -1.0] for word in MAP]}}),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    for name, value in (("map.p", MAP), ("list.p", list(MAP)), ("held.p", {"vocab": MAP})):
        (folder / name).write_bytes(pickle.dumps(value))
    for protocol in (0, 1, 2):  # those of Python 2: text, then bytes
        for name, value in (("map", MAP), ("list", list(MAP)), ("ordered", OrderedDict(MAP))):
            (folder / f"{name}{protocol}.p").write_bytes(pickle.dumps(value, protocol))
    torch.save({"model": STATE, "tokenizer": {"word2idx": MAP}}, folder / "model.pt")
    return {path.name: path for path in folder.iterdir()}


def test_every_form_of_vocabulary_is_read_alike(tmp_path):
    files = vocabulary_files(tmp_path)
    assert len(files) == 26
    for path in files.values():
        found = load_vocabulary(str(path))
        assert found.words == tuple(MAP), path.name
        assert (found.bos_id, found.eos_id, found.pad_id, found.unk_id) == (1, 2, 0, 3)
        assert len(found) == 6


def test_a_vocabulary_that_acts_is_refused(tmp_path):
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (canary,))

    class Worse:
        def __reduce__(self):
            import os

            return (os.system, (f"touch {canary}",))

    for value in ({"vocab": MAP, "x": Evil()}, {"vocab": MAP, "x": Worse()}):
        path = tmp_path / "words.p"
        path.write_bytes(pickle.dumps(value))
        if isinstance(value["x"], Worse):
            with pytest.raises(CapfixError, match=r"posix\.system"):
                load_vocabulary(str(path))
        with contextlib.suppress(CapfixError):  # or the stub is read past: both are sound
            assert len(load_vocabulary(str(path))) == len(MAP)
        assert not canary.exists()


def test_special_tokens_are_told_or_asked_for_and_never_guessed():
    plain = ["one", "two", "begin", "stop"]
    with pytest.raises(CapfixError, match="--bos TOKEN"):
        load_vocabulary(plain)
    with pytest.raises(CapfixError, match="--eos TOKEN"):
        load_vocabulary(plain, bos="begin")
    found = load_vocabulary(plain, bos="begin", eos=3)
    assert (found.bos_id, found.eos_id, found.pad_id) == (2, 3, None)
    with use(ModelOptions(bos="0", eos="stop", pad="two")):
        found = load_vocabulary(plain, bos="begin")
    assert (found.bos_id, found.eos_id, found.pad_id) == (0, 3, 1)
    for wrong in ("begn", "4", "-1"):
        with pytest.raises(CapfixError, match="has no token"):
            load_vocabulary(plain, bos=wrong, eos="stop")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "{}", "no vocabulary"),
        ("a.json", '{"a": 0, "b": 0}', "share an id"),
        ("a.json", '{"a": 0, "b": 2}', "leave out 1"),
        ("a.txt", "a\na\n", "twice"),
        ("a.txt", "dog 12\nbarks 7\n", "more than a word a line: 'dog 12'"),
        ("a.csv", "dog,120\nbarks,7\n", "leave out 0"),  # counts, not ids
        ("a.csv", "0,1\n1,0\n", "are numbers"),
        ("a.csv", "dog,0\ndog,1\n", "names 'dog' twice"),
        ("a.txt", "", "no vocabulary"),
        ("a.txt", b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_bad_vocabularies_are_one_line(name, text, words, tmp_path):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CapfixError, match=words):
        load_vocabulary(str(path))


def test_words_that_look_like_an_old_pickle_are_words(tmp_path):
    for words in (["cat", "dog", "pig"], ["(", ")", "."], ["]", "q"], ["cos", "system", "(x"]):
        path = tmp_path / "words.txt"
        path.write_text("\n".join([*words, "<s>", "</s>", ""]))
        assert load_vocabulary(str(path)).words == (*words, "<s>", "</s>")
    path.write_text('word,id\n7,0\n",",1\n0,2\n')  # numbers are words too, if a name says so
    assert load_vocabulary(str(path), bos=0, eos=1).words == ("7", ",", "0")


def read_or_complain(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        with contextlib.suppress(CapfixError):  # and nothing else
            assert len(load_vocabulary(str(path), bos=0, eos=1)) > 0


NAMES = ["words.json", "words.txt", "words.csv", "words.p", "tokenizer.json"]


@examples(st.binary(max_size=300), st.sampled_from(NAMES))
def test_no_bytes_crash_the_vocabulary_reader(data, name):
    read_or_complain(name, data)


def damaged(data: st.DataObject, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    return bytes(changed[: data.draw(st.integers(1, len(changed)))])


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    return {p.name: p.read_bytes() for p in vocabulary_files(tmp_path_factory.mktemp("v")).values()}


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@examples(st.data())
def test_no_damage_to_a_vocabulary_crashes_its_reader(intact, data):
    name = data.draw(st.sampled_from(sorted(intact)))
    read_or_complain(name, damaged(data, intact[name]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["vocab", "model", "added_tokens", "word2idx", "id", "content", "tokenizer", "idx2word"]
)


@examples(JSON | st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON)))
def test_no_json_crashes_the_vocabulary_reader(value):
    read_or_complain("words.json", json.dumps(value).encode())
    read_or_complain("tokenizer.json", json.dumps({"model": {"vocab": value}}).encode())


CONFIG_NAMES = st.sampled_from(
    ["model_type", "architectures", "auto_map", "is_encoder_decoder", "decoder", "vocab_size"]
)


@settings(max_examples=60)
@examples(
    JSON | st.dictionaries(CONFIG_NAMES, JSON),
    st.sampled_from(["config.json", "generation_config.json", "preprocessor_config.json"]),
)
@pytest.mark.slow
def test_no_config_crashes_an_inspection_or_its_check(value, name):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text('{"model_type": "whisper"}')
        (Path(folder) / name).write_text(json.dumps(value))
        torch.save({"w": torch.zeros(2)}, Path(folder) / "pytorch_model.bin")
        with contextlib.suppress(CapfixError):
            inspect_checkpoint(folder)
        with contextlib.suppress(CapfixError):
            load_folder(folder, "cpu")


@examples(st.data())
def test_no_damage_to_a_config_crashes_an_inspection(data):
    whole = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 8}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_bytes(damaged(data, json.dumps(whole).encode()))
        torch.save({"w": torch.zeros(2)}, Path(folder) / "pytorch_model.bin")
        with contextlib.suppress(CapfixError):
            inspect_checkpoint(folder)


# Trust


def test_a_whole_module_needs_trust_and_is_told_what_it_imports(tmp_path):
    path = str(tmp_path / "model.pt")
    torch.save(NET, path)
    with pytest.raises(CapfixError, match=r"imports and runs .*test_checkpoints.Net.*"):
        load_module(path)
    with use(ModelOptions(trust=True)):
        assert same(load_module(path))


class Harm:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        import os

        return (os.system, (f"touch {self.canary}",))


def test_trust_does_not_open_what_reaches_for_the_system(tmp_path, capfix):
    path, canary = tmp_path / "model.pt", tmp_path / "canary"
    torch.save({"model": STATE, "x": Harm(canary)}, path)
    for words in (["diagnose", path, "--audio", tmp_path, "--trust"],):
        told = capfix(*words).complaint
        assert "posix.system" in told
        assert "--trust does not open" in told
    assert not canary.exists()


def test_torchscript_runs_only_with_trust(tmp_path):
    import warnings

    path = str(tmp_path / "script.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(nn.Linear(2, 3)).save(path)
        with pytest.raises(CapfixError, match="TorchScript program"):
            load_module(path)
        with pytest.raises(CapfixError, match="TorchScript program"):
            load_weights(path)
        with use(ModelOptions(trust=True)):
            assert load_module(path)(torch.ones(1, 2)).shape == (1, 3)


# Hugging Face


@pytest.fixture(scope="module", params=["whisper", "speech_encoder_decoder"])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("hf") / request.param
    return getattr(hugging, f"save_{request.param}")(path)


def test_hugging_face_steps_agree_with_whole_prefixes_and_with_its_own_generate(folder):
    captioner = load_folder(str(folder), "cpu")
    lengths = torch.tensor([16_000, 9_000, 16_000])
    waveforms = 0.1 * torch.randn(3, 16_000, generator=torch.Generator().manual_seed(0))
    waveforms[1, 9_000:] = 0
    forced = [1, 4, 5] if folder.name == "whisper" else [1]
    assert captioner.start_prefix(2).tolist() == [forced, forced]
    from capfix_cli.decoding.decode import EncodedBatch, decode
    from capfix_cli.decoding.decoding_options import GREEDY

    with torch.inference_mode():
        memory = captioner.encode(waveforms, lengths)
        captioner.max_length = 8
        ours = decode(captioner, EncodedBatch(("a", "b", "c"), memory), GREEDY, 0)
        prefix, state = captioner.start_prefix(3), captioner.start(memory)
        for token in prefix.unbind(1):
            scores, state = captioner.step(token, state, memory)
        assert torch.allclose(scores, captioner.logits(prefix, memory), atol=1e-4)
        # transformers' own greedy search over the same encoded audio
        from transformers.generation import GenerationMixin
        from transformers.modeling_outputs import BaseModelOutput

        theirs = GenerationMixin.generate(
            captioner.module,
            encoder_outputs=BaseModelOutput(last_hidden_state=memory["hidden"]),
            **({"attention_mask": memory["mask"]} if "mask" in memory else {}),
            decoder_input_ids=prefix,
            max_new_tokens=8,
            use_cache=False,
            do_sample=False,
        )
    for caption, row in zip(ours, theirs[:, len(forced) :].tolist(), strict=True):
        until = row.index(2) if 2 in row else len(row)
        assert list(caption.tokens) == row[:until]


@pytest.mark.slow
def test_a_hugging_face_folder_is_diagnosed(folder, world, capfix):
    done = capfix("diagnose", folder, "--audio", world.test_audio, "--json", "--quiet")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["model"]["format"] == "huggingface"
    assert len(told["model"]["sha256"]) == 64
    seen = json.loads(capfix("inspect", folder, "--json").out)
    assert seen["format"] == "huggingface"
    assert seen["facts"]["conditioning"]["value"] == "cross-attention"
    assert seen["facts"]["decoder.layers"]["value"] == 2


def test_sharded_hugging_face_folders_load(tmp_path):
    path = hugging.save_whisper(tmp_path / "sharded", max_shard_size="20KB")
    assert (path / "model.safetensors.index.json").exists()
    assert load_folder(str(path), "cpu").max_length == 11


def test_features_of_whisper_are_had_apart_and_encode_to_the_same(tmp_path):
    captioner = load_folder(str(hugging.save_whisper(tmp_path / "w")), "cpu")
    assert separates(captioner)
    waveforms, lengths = torch.randn(2, 16_000) * 0.1, torch.tensor([16_000, 9_000])
    with torch.inference_mode():
        frames, counts = captioner.features(waveforms, lengths)
        assert frames.shape == (2, 3000, 80)
        assert counts.tolist() == [3000, 3000]
        whole = captioner.encode(waveforms, lengths)["hidden"]
        assert torch.equal(captioner.encode_features(frames, counts)["hidden"], whole)
        loud = on_features(captioner, lambda x: x + 1).encode(waveforms, lengths)["hidden"]
    assert not torch.allclose(loud, whole)


def test_features_with_a_mask_are_had_apart_and_encode_to_the_same(tmp_path):
    captioner = load_folder(str(hugging.save_speech2text(tmp_path / "s")), "cpu")
    assert separates(captioner)
    waveforms, lengths = torch.randn(2, 16_000) * 0.1, torch.tensor([16_000, 9_000])
    with torch.inference_mode():
        frames, counts = captioner.features(waveforms, lengths)
        assert (frames.shape[0], frames.shape[2]) == (2, 40)
        assert counts[1] < counts[0] == frames.shape[1]
        whole = captioner.encode(waveforms, lengths)
        again = captioner.encode_features(frames, counts)
        wave = load_folder(str(hugging.save_speech_encoder_decoder(tmp_path / "e")), "cpu")
    assert torch.equal(whole["hidden"], again["hidden"])
    assert torch.equal(whole["mask"], again["mask"])
    assert not separates(wave)


def change(folder: Path, name: str, **values: object) -> None:
    data = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**data, **values}))


def test_hugging_face_folders_that_cannot_run_are_one_line(tmp_path, capfix):
    path = hugging.save_whisper(tmp_path / "w")

    def told() -> str:
        return capfix("diagnose", path, "--audio", tmp_path).complaint

    original = (path / "config.json").read_text()
    change(path, "config.json", auto_map={"AutoModel": "evil.Evil"})
    (path / "evil.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    assert "evil.Evil" in told()
    assert not (tmp_path / "canary").exists()
    (path / "config.json").write_text(original)
    change(path, "config.json", architectures=["GPT2LMHeadModel"], model_type="gpt2")
    assert "decoder alone" in told()
    assert "decoder-only" in capfix("inspect", path).out
    (path / "config.json").write_text(original)
    change(path, "config.json", d_model=32)
    assert "cannot load" in told() or "lack" in told()
    (path / "config.json").write_text("{")
    assert "config.json cannot be read as JSON" in told()
    (path / "config.json").write_text(original)
    forced = (path / "generation_config.json").read_text()
    for wrong in ("word", [1, 2], [[1, "word"]]):
        change(path, "generation_config.json", forced_decoder_ids=wrong)
        assert "cannot load" in (line := told()) or "forced_decoder_ids" in line
    (path / "generation_config.json").write_text(forced)
    preprocessor = (path / "preprocessor_config.json").read_text()
    change(path, "preprocessor_config.json", sampling_rate="fast")
    assert "cannot load" in (line := told()) or "sampling_rate" in line
    (path / "preprocessor_config.json").write_text(preprocessor)
    (path / "preprocessor_config.json").unlink()
    assert "cannot load" in told()
    (path / "model.safetensors").unlink()
    assert "is a folder without" in told()


ROLES = {
    "gpt2": "decoder-only",
    "gpt_neox": "decoder-only",
    "llama": "decoder-only",
    "opt": "decoder-only",
    "qwen2": "decoder-only",
    "bart": "text-only",
    "t5": "text-only",
    "wav2vec2": "encoder-only",
    "bert": "encoder-only",
    "whisper": "encoder-decoder",
    "speech-encoder-decoder": "encoder-decoder",
    "qwen2_audio": None,
    "of_our_own": None,
}


@pytest.mark.parametrize("kind", ROLES)
def test_a_folders_role_is_told_by_its_model_type_alone(kind, tmp_path, capfix):
    role = ROLES[kind]
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    torch.save(Net().state_dict(), tmp_path / "pytorch_model.bin")
    fact = inspect_checkpoint(str(tmp_path)).facts["model.role"]
    assert fact.value == role
    assert kind in fact.evidence[0]
    if role in {"decoder-only", "text-only", "encoder-only"}:
        assert "adapter" in fact.evidence[-1]
        told = capfix("diagnose", tmp_path, "--audio", tmp_path).complaint
        assert f"model_type: {kind}" in told
        assert "adapter" in told


def test_architectures_say_more_than_the_model_type(tmp_path):
    config = {"model_type": "bart", "architectures": ["BartForCausalLM"]}
    assert families.role_of(config) == ("decoder-only", "architectures: BartForCausalLM")
    assert families.role_of({"architectures": "GPT2LMHeadModel"}) is None  # no list: broken
    assert families.role_of({"model_type": ["gpt2"], "is_encoder_decoder": "yes"}) is None


def test_a_pickle_in_a_hugging_face_folder_is_refused(tmp_path, capfix):
    path = hugging.save_whisper(tmp_path / "w")
    (path / "model.safetensors").unlink()
    canary = tmp_path / "canary"
    torch.save({"x": Harm(canary)}, path / "pytorch_model.bin")
    assert "posix.system" in capfix("diagnose", path, "--audio", tmp_path).complaint
    assert not canary.exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("saved_model.pb", b"\x08\x01\x12\x90graph", "TensorFlow graph"),
        ("net.tflite", b"\x1c\x00\x00\x00TFL3" + bytes(8), "TensorFlow Lite"),
        ("flax_model.msgpack", b"\x82\xa6params\x81", "Flax weights"),
        ("ckpt.index", b"\x00" * 64, "TensorFlow checkpoint"),
        (
            "model.pt",
            b"version https://git-lfs.github.com/spec/v1\n",
            "git lfs pull",
        ),
        ("model.bin", b"<!DOCTYPE html><html></html>", "web page"),
    ],
)
def test_files_of_other_programs_are_named_for_what_they_are(
    name, content, words, capfix, tmp_path
):
    (tmp_path / name).write_bytes(content)
    assert words in capfix("inspect", tmp_path / name).complaint


@pytest.mark.parametrize(
    ("entry", "words"), [("model.weights.h5", "Keras model"), ("weight.npy", "NumPy archive")]
)
def test_archives_of_other_programs_are_named(entry, words, capfix, tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr(entry, b"\x93NUMPY")
    assert words in capfix("inspect", tmp_path / "model.zip").complaint


def test_a_vocabulary_among_lightnings_settings_is_found(tmp_path):
    words = {"<pad>": 0, "<bos>": 1, "<eos>": 2, "dog": 3}
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {}, "hyper_parameters": {"lr": 0.1, "vocab": words}}, path)
    assert load_vocabulary(str(path)).words == tuple(words)
