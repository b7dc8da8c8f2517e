"""Adapters written from the X-ray, and the parts that the generic adapters find by themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import capfix_cli
from benchmarks.zoo import hugging
from capfix_cli.captioners.adapter_template import GAP
from capfix_cli.core.errors import CapfixError

WORDS = ["<pad>", "<start>", "<end>", "dog", "barks", "rain", "falls"]


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(20, 12, 3, padding=1)

    def forward(self, features):
        return self.conv(features.transpose(1, 2)).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.of_encoder, self.of_decoder = nn.Linear(12, 8), nn.Linear(10, 8)
        self.full = nn.Linear(8, 1)

    def forward(self, memory, hidden):
        energy = self.of_encoder(memory) + self.of_decoder(hidden).unsqueeze(1)
        weights = self.full(energy.relu()).softmax(dim=1)
        return (weights * memory).sum(1), weights


class Decoder(nn.Module):
    """As in the tutorial of sgrvinod: an LSTM cell, attention, its first state from the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.embedding = nn.Embedding(len(WORDS), 6)
        self.decode_step = nn.LSTMCell(6 + 12, 10)
        self.init_h, self.init_c = nn.Linear(12, 10), nn.Linear(12, 10)
        self.fc = nn.Linear(10, len(WORDS))


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.listener, self.speaker = Encoder(), Decoder()


def written(model: Path, capfix) -> str:
    done = capfix("adapter", "new", model)
    assert done.status == 0, done.err
    compile(done.out, "ad.py", "exec")
    return done.out


@pytest.fixture
def split(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "split.pt"
    parts = {"encoder": Encoder().state_dict(), "decoder": Decoder().state_dict()}
    words = {word: number for number, word in enumerate(WORDS)}
    torch.save({**parts, "decoder_optimizer": {"state": {}}, "word_map": words}, path)
    return path


def test_a_checkpoint_in_parts_is_loaded_in_parts_by_its_own_names(split, capfix):
    text = written(split, capfix)
    for line in (
        "capfix_cli.load_weights(checkpoint, encoder=encoder, decoder=decoder)",
        "embedding=decoder.embedding,",
        "rnn=decoder.decode_step,",
        "output=decoder.fc,",
        "attention=decoder.attention,",
        "(decoder.init_h(memory.mean(1)), decoder.init_c(memory.mean(1)))",
        "load_vocabulary(checkpoint),\n",
    ):
        assert line in text, line
    assert "network" not in text.partition("def load")[2]


def test_two_files_are_parts_too(tmp_path, capfix):
    torch.save(Encoder().state_dict(), tmp_path / "enc.pt")
    torch.save(Decoder().state_dict(), tmp_path / "my_decoder.pt")
    text = written(f"{tmp_path / 'enc.pt'},{tmp_path / 'my_decoder.pt'}", capfix)
    assert "load_weights(checkpoint, encoder=encoder, decoder=decoder)" in text


def test_a_whole_network_keeps_its_names(tmp_path, capfix):
    torch.save({"model": Whole().state_dict(), "epoch": 3}, tmp_path / "m.pt")
    text = written(tmp_path / "m.pt", capfix)
    assert "load_weights(checkpoint, network=network.to(device))" in text
    assert "rnn=network.speaker.decode_step," in text
    assert "output=network.speaker.fc," in text


FILLED = {
    "from your_project import Encoder, Decoder": "from test_adapter_new import Encoder, Decoder",
    "sample_rate=...": "sample_rate=16_000",
    "n_fft=...": "n_fft=512",
    "hop_length=...": "hop_length=256",
    "n_mels=...": "n_mels=20",
    "log=...": 'log="ln"',
}


def test_a_written_adapter_runs_once_its_gaps_are_filled(split, tmp_path, capfix):
    text = written(split, capfix)
    assert "16_000" not in text  # no setting of the features is guessed
    file = tmp_path / "ad.py"
    sys_path = f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    file.write_text(sys_path + text.replace(*next(iter(FILLED.items()))))
    unfilled = capfix("adapter", "check", file, split)
    assert "sample_rate of LogMelFrontEnd is not filled in" in unfilled.complaint
    for gap, value in FILLED.items():
        assert gap in text
        text = text.replace(gap, value)
    file.write_text(sys_path + text)
    done = capfix("adapter", "check", file, split)
    assert done.status == 0, done.err


def test_a_network_that_holds_its_mel_bank_takes_waveforms(tmp_path, capfix):
    import torchaudio

    network = Whole()
    network.listener.mel = torchaudio.transforms.MelSpectrogram(32_000, 1024, n_mels=64)
    torch.save(network.state_dict(), tmp_path / "m.pt")
    text = written(tmp_path / "m.pt", capfix)
    assert "LogMelFrontEnd" not in text
    assert "sample_rate=32000," in text
    assert "takes waveforms: listener.mel.mel_scale.fb" in text


def test_what_needs_no_adapter_says_so(tmp_path, tiny_model, capfix):
    folder = hugging.save_whisper(tmp_path / "w")
    for model in (folder, tiny_model):
        told = capfix("adapter", "new", model).complaint
        assert "needs no adapter" in told
        assert f"capfix diagnose {model}" in told
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    assert "decoder alone" in capfix("adapter", "new", folder).complaint


def test_a_new_adapter_overwrites_nothing(split, tmp_path, capfix):
    file = tmp_path / "mine.py"
    done = capfix("adapter", "new", split, "--output", file)
    assert done.status == 0
    gaps = file.read_text().count(f"{GAP}: ")
    assert f"has {gaps} gaps" in done.err
    assert gaps >= 6
    assert "is there already" in capfix("adapter", "new", split, "--output", file).complaint
    unfilled = capfix("adapter", "check", file, split)
    assert "No module named 'your_project'" in unfilled.complaint
    assert f"{file}:" in unfilled.complaint


def test_arguments_in_the_wrong_order_or_left_out_are_named(split, tmp_path, capfix):
    file = tmp_path / "ad.py"
    file.write_text(
        "import capfix_cli\ndef load(checkpoint, device):\n"
        "    capfix_cli.load_weights(checkpoint)\n"
    )
    assert "The adapter comes first" in capfix("adapter", "check", split, file).complaint
    assert "No checkpoint was given" in capfix("adapter", "check", file).complaint
    assert "gave a NoneType, not a Captioner" in capfix("adapter", "check", file, split).complaint


def test_a_file_that_was_cut_off_is_said_to_be(split, capfix):
    split.write_bytes(split.read_bytes()[:2000])
    assert "cut off" in capfix("inspect", split).complaint


def recurrent(module: nn.Module, **changed):
    known = {
        "module": module,
        "encoder": lambda waveforms: waveforms,
        "conditioning": "every-step",
        "vocabulary": capfix_cli.load_vocabulary(WORDS),
        "sample_rate": 8000,
    }
    return capfix_cli.RecurrentCaptioner(**{**known, **changed})


def test_parts_that_only_one_layer_can_be_are_found():
    network = Whole()
    found = recurrent(network)
    speaker = network.speaker
    assert found.embedding is speaker.embedding
    assert found.rnn is speaker.decode_step
    assert found.output is speaker.fc
    network.listener.rnn = nn.GRU(4, 4)
    assert recurrent(network, encoder=network.listener).rnn is speaker.decode_step
    network.listener.rnn = nn.GRU(4, 4, bidirectional=True)
    assert recurrent(network).rnn is speaker.decode_step  # one that reads backwards writes nothing


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, r"has 2 recurrent layer.*listener.rnn, speaker.decode_step.*Give rnn="),
        ({"rnn": nn.LSTMCell(18, 9)}, r"has no nn.Linear from 9 to 7, one a word.*output="),
        (
            {"vocabulary": capfix_cli.load_vocabulary([*WORDS, "wind"])},
            r"has 8 tokens, and speaker.embedding of Whole has 7 rows.*Give the vocabulary of",
        ),
        ({"sample_rate": None}, "not told the sample rate"),
        ({"vocabulary": WORDS}, r"given a list as its vocabulary.*load_vocabulary\(words"),
        ({"maxlength": 4}, "has no setting 'maxlength'.*Did you mean max_length"),
    ],
)
def test_parts_that_cannot_be_told_are_asked_for(changed, words):
    network = Whole()
    network.listener.rnn = nn.GRU(4, 4)
    with pytest.raises(CapfixError) as told:
        recurrent(network, **changed)
    assert re.search(words, f"{told.value} {told.value.hint}"), told.value


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ((..., 512, 256, 64), "sample_rate of LogMelFrontEnd is not filled in"),
        ((16_000, 512.0, 256, 64), "n_fft of LogMelFrontEnd is 512.0"),
        ((16_000, 512, 0, 64), "hop_length of LogMelFrontEnd is 0"),
        ((16_000, 512, 256, 64, "log"), "log of LogMelFrontEnd is 'log'"),
        ((16_000, 512, 256, 64, ...), "log of LogMelFrontEnd is not filled in"),
    ],
)
def test_settings_of_a_front_end_that_are_none_are_named(settings, words):
    with pytest.raises(CapfixError, match=re.escape(words)):
        capfix_cli.LogMelFrontEnd(*settings)


def test_a_tokenizer_file_becomes_a_tokenizer(tmp_path):
    folder = hugging.save_whisper(tmp_path / "w")
    for path in (folder, folder / "tokenizer.json"):
        found = capfix_cli.load_tokenizer(str(path))
        assert (found.bos_token, found.eos_token, found.pad_token) == ("<s>", "</s>", "<pad>")
        ids = found("dog barks", add_special_tokens=False).input_ids
        assert found.decode([1, *ids, 2], skip_special_tokens=True) == "dog barks"
    words = tmp_path / "words.json"
    words.write_text('["<s>", "</s>", "dog"]')
    with pytest.raises(CapfixError, match="no tokenizer of the tokenizers library"):
        capfix_cli.load_tokenizer(str(words))


def test_writing_an_adapter_needs_no_torch(split):
    code = (
        "import sys\nfrom capfix_cli.captioners.adapter_template import new_adapter\n"
        f"assert new_adapter({str(split)!r})\nassert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Branching(Attention):
    def forward(self, memory, hidden):
        if hidden.abs().max() > 1e9:  # a value decides: no transform can spread that
            raise ValueError("too loud")
        return super().forward(memory, hidden)


class InPlace(Attention):
    def forward(self, memory, hidden):
        context, weights = super().forward(memory, hidden)
        memory[:, 0] += 0.0 * hidden[:, :1]
        return context, weights


@pytest.mark.parametrize("kind", [Attention, Branching, InPlace])
def test_rows_of_a_clip_share_what_attention_computes_of_it(kind):
    torch.manual_seed(0)
    network = Whole()
    network.speaker.attention = kind()
    called = []
    network.speaker.attention.of_encoder.register_forward_hook(
        lambda module, given, out: called.append(given[0].shape[0])
    )
    captioner = recurrent(network, conditioning="attention", attention=network.speaker.attention)
    assert captioner.shares_memory
    memory, tokens = torch.randn(3, 5, 12), torch.arange(6)
    with torch.inference_mode():
        memory = memory.clone()
        state = tuple(torch.randn(6, 1, 10) for _ in range(2))
        alone = (
            torch.cat(
                [
                    captioner.step(tokens[row::2], tuple(p[row::2] for p in state), memory)[0]
                    for row in range(2)
                ]
            )
            .view(2, 3, -1)
            .transpose(0, 1)
            .flatten(0, 1)
        )
        called.clear()
        together, _ = captioner.step(tokens, state, memory)
    assert torch.allclose(alone, together, atol=1e-6)
    if kind is Attention:
        assert called == [3]  # once a clip, not once a row
    else:
        assert called[-1] == 6  # each row by itself: slower, and right


def test_a_vector_beside_every_word_is_shared_too():
    captioner = recurrent(Whole(), rnn=nn.LSTMCell(18, 10))
    memory, state = torch.randn(3, 12), tuple(torch.zeros(6, 1, 10) for _ in range(2))
    together, _ = captioner.step(torch.zeros(6, dtype=torch.long), state, memory)
    assert torch.allclose(together[0::2], together[1::2])
    assert not torch.allclose(together[0], together[2])
