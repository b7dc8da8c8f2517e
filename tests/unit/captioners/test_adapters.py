"""The worked adapters, the contract's clauses, the scaffold and installed plugins."""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.zoo.toys import BOS, EOS, PAD, Toy, deaf, healthy
from capfix_cli.captioners import adapters
from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.contract import contract_check as contract
from capfix_cli.captioners.contract.contract_check import check_contract
from capfix_cli.captioners.loading import HANDED_TRAINING
from capfix_cli.captioners.recurrent import RecurrentCaptioner
from capfix_cli.checkpoints.vocabulary import Vocabulary
from capfix_cli.core.errors import CapfixError

EXAMPLES = Path(__file__).parents[3] / "examples" / "adapters"
STYLES = (
    "initial_state",
    "first_token",
    "every_step",
    "attention",
    "encode_decode",
    "non_autoregressive",
    "prefix_language_model",
)
WORDS = ["<pad>", "<bos>", "<eos>", "<unk>", *(f"word{i}" for i in range(10))]


@pytest.fixture
def networks(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    sys.modules.pop("networks", None)
    yield importlib.import_module("networks")
    sys.modules.pop("networks", None)


def build(networks, style: str) -> nn.Module:
    """The random network that an example's adapter loads."""
    n = networks
    gru = nn.GRU(n.WIDTH, n.HIDDEN, batch_first=True)
    made = {
        "initial_state": lambda: n.Recurrent(True, gru, nn.Linear(n.WIDTH, n.HIDDEN)),
        "first_token": lambda: n.Recurrent(True, nn.LSTM(n.WIDTH, n.HIDDEN, batch_first=True)),
        "every_step": lambda: n.Recurrent(True, nn.GRU(2 * n.WIDTH, n.HIDDEN, batch_first=True)),
        "attention": lambda: n.Recurrent(False, nn.LSTMCell(2 * n.WIDTH, n.HIDDEN), n.Attention()),
        "encode_decode": n.Transformer,
        "non_autoregressive": n.AllAtOnce,
        "prefix_language_model": n.PrefixedGPT2,
    }
    torch.manual_seed(3)
    return made[style]()


@pytest.fixture
def saved(networks, tmp_path):
    def save(style: str) -> Path:
        path = tmp_path / f"{style}.pt"
        weights = build(networks, style).state_dict()
        vocabulary = {word: number for number, word in enumerate(WORDS)}
        torch.save({"model": weights, "word2idx": vocabulary, "epoch": 3}, path)
        return path

    return save


def test_every_style_has_its_worked_file():
    files = {file.stem for file in EXAMPLES.glob("*.py")} - {"networks"}
    assert files == set(STYLES)


@pytest.mark.parametrize("style", STYLES)
def test_a_worked_adapter_keeps_every_clause(style, saved, capfix):
    done = capfix("adapter", "check", EXAMPLES / f"{style}.py", saved(style), "--json")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["kept"]
    assert len(told["clauses"]) >= 9
    noted = [clause["name"] for clause in told["clauses"] if clause["note"]]
    assert noted == (["step"] if style in {"encode_decode", "non_autoregressive"} else [])


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_a_worked_adapter_is_diagnosed(style, saved, world, capfix):
    done = capfix(
        "diagnose", saved(style), "--audio", world.test_audio,
        "--adapter", f"{EXAMPLES / style}.py:load", "--json", "--quiet",
    )  # fmt: skip
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["model"]["format"] == "adapter"
    assert told["audio"]["clips"] >= 20
    assert told["verdict"] in {"collapsed", "generic", "ungrounded", "healthy"}


@pytest.mark.parametrize("style", STYLES)
def test_a_usual_adapter_needs_few_lines_of_its_own(style):
    """What a person writes inside load(), the closing bracket and the class's name aside."""
    lines = (EXAMPLES / f"{style}.py").read_text().split('parts."""\n')[1].splitlines()
    assert 5 < sum(bool(line.strip(" )")) for line in lines) <= 15


@pytest.mark.parametrize(
    ("conditioning", "rnn"),
    [
        (conditioning, rnn)
        for conditioning in ("initial-state", "first-token", "every-step", "attention")
        for rnn in ("GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell")
    ],
)
def test_recurrences_agree_with_pytorch_on_whole_sequences(conditioning, rnn):
    torch.manual_seed(0)
    wide = conditioning in {"every-step", "attention"}
    layers = {} if rnn.endswith("Cell") else {"num_layers": 2}
    cell = getattr(nn, rnn)(10 if wide else 5, 6, **layers)
    embedding, output, first = nn.Embedding(9, 5), nn.Linear(6, 9), nn.Linear(5, 6)
    count = 2 if layers else 1

    def state(memory):
        return first(memory).expand(count, -1, -1)

    captioner = RecurrentCaptioner(
        module=nn.ModuleList([cell, embedding, output]),
        encoder=lambda x: x[:, :5],
        vocabulary=Vocabulary(tuple("abcdefghi"), 1, 2),
        sample_rate=8_000,
        embedding=embedding,
        rnn=cell,
        output=output,
        conditioning=conditioning,
        first_state=state if conditioning == "initial-state" else None,
        attention=(lambda memory, hidden: memory) if conditioning == "attention" else None,
    )
    memory, prefix = torch.randn(3, 5), torch.randint(0, 9, (3, 4))
    words = embedding(prefix)
    if wide:
        words = torch.cat([words, memory.unsqueeze(1).expand(-1, 4, -1)], dim=2)
    if conditioning == "first-token":
        words = torch.cat([memory.unsqueeze(1), words], dim=1)
    begin = state(memory) if conditioning == "initial-state" else torch.zeros(count, 3, 6)
    pair = (begin, torch.zeros_like(begin))
    if rnn.endswith("Cell"):
        hidden = (pair[0][0], pair[1][0]) if "LSTM" in rnn else begin[0]
        for word in words.unbind(1):
            hidden = cell(word, hidden)
        last = hidden[0] if "LSTM" in rnn else hidden
    else:
        last = cell(words.transpose(0, 1), pair if rnn == "LSTM" else begin)[0][-1]
    assert torch.allclose(captioner.logits(prefix, memory), output(last), atol=1e-6)


class Loud(Toy):
    """Keeps the contract; each test breaks one clause of it."""

    def encode(self, waveforms, lengths):
        return waveforms.abs().amax(dim=1, keepdim=True)

    def logits(self, prefix, memory):
        scores = torch.arange(len(self.vocabulary), dtype=torch.float32) * memory
        return scores + prefix[:, -1:] / 7


class Padded(Loud):
    def encode(self, waveforms, lengths):
        return waveforms.abs().mean(dim=1, keepdim=True)


class ByRow(Loud):
    def encode(self, waveforms, lengths):
        rows = torch.arange(len(lengths)).unsqueeze(1)
        return super().encode(waveforms, lengths) + rows


class TimeFirst(Loud):
    def encode(self, waveforms, lengths):
        return torch.zeros(50, len(lengths), 4)


class Whole(Loud):
    def logits(self, prefix, memory):
        return torch.zeros(prefix.shape[0], prefix.shape[1], len(self.vocabulary))


class Narrow(Loud):
    def logits(self, prefix, memory):
        return super().logits(prefix, memory)[:, :-2]


class Whole64(Loud):
    def logits(self, prefix, memory):
        return torch.zeros(prefix.shape[0], len(self.vocabulary), dtype=torch.int64)


class NotFinite(Loud):
    def logits(self, prefix, memory):
        return super().logits(prefix, memory) * torch.nan


class Raises(Loud):
    def encode(self, waveforms, lengths):
        raise ValueError("mat1 and mat2 do not fit")


class Endless(Loud):
    def logits(self, prefix, memory):
        scores = super().logits(prefix, memory).clone()
        scores[:, EOS] = -torch.inf
        return scores


class OtherStep(Loud):
    def start(self, memory):
        return torch.zeros(len(memory), 1)

    def step(self, token, state, memory):
        return super().logits(token.unsqueeze(1), memory).flip(1), state


class NotBlind(Loud):
    autoregressive = False


class Leaves(Loud):
    def detokenize(self, ids):
        return " ".join(self.vocabulary[i] for i in ids)


class LateNaN(Loud):
    def logits(self, prefix, memory):
        return super().logits(prefix, memory) * (torch.nan if prefix.shape[1] > 3 else 1)


class BareStep(OtherStep):
    def step(self, token, state, memory):
        return super().step(token, state, memory)[0]


class StateTimeFirst(OtherStep):
    def step(self, token, state, memory):
        return super().step(token, state, memory)[0], torch.zeros(5, len(token), 2)


class FlatStart(Loud):
    def start_prefix(self, batch):
        return torch.tensor([BOS, EOS])


class TextAxis(Loud):
    memory_batch_dim = "0"


class Listed(Loud):
    def detokenize(self, ids):
        return [self.vocabulary[i] for i in ids]


class TooShort(Loud):
    def encode(self, waveforms, lengths):
        if waveforms.shape[1] < 1.5 * self.sample_rate:
            raise RuntimeError("Output size is too small")
        return super().encode(waveforms, lengths)


class BagOfWords(Loud):
    """Hears words in any order alike, which is not to ignore them."""

    autoregressive = False

    def logits(self, prefix, memory):
        words = nn.functional.one_hot(prefix, len(self.vocabulary)).sum(dim=1)
        return super().logits(prefix[:, :1], memory) + words


class NoTensor(Loud):
    def encode(self, waveforms, lengths):
        return "memory"


@pytest.mark.parametrize(
    ("kind", "clause", "words"),
    [
        (ByRow, "batch", "the clips beside it, or on its row"),
        (TimeFirst, "memory", "set memory_batch_dim = 1"),
        (NoTensor, "memory", "gave a str without any tensor"),
        (Whole, "logits", r"gave \[3, 1, 23\], not \[3, 23\]: give the last place"),
        (Narrow, "logits", "scores 21 tokens, the vocabulary has 23"),
        (Whole64, "logits", "torch.int64, not floating-point"),
        (NotFinite, "logits", "NaN or infinity"),
        (Raises, "encode", r"ValueError: mat1 and mat2 do not fit \(at .*test_adapters.py:\d+"),
        (Endless, "end token", "can never come"),
        (OtherStep, "step", "disagrees with logits"),
        (NotBlind, "autoregressive", "scores follow the prefix"),
        (BagOfWords, "autoregressive", "scores follow the prefix"),
        (LateNaN, "logits", r"after 5 tokens logits\(\) holds NaN"),
        (BareStep, "step", r"must give \(scores"),
        (StateTimeFirst, "step", r"\[5, 3, 2\]: axis 0 \(state_batch_dim"),
        (FlatStart, "start_prefix", r"start_prefix\(3\) gave \[2\]"),
        (TextAxis, "attributes", "memory_batch_dim is '0'"),
        (Listed, "detokenize", "gave a list, no string"),
        (TooShort, "encode", "given 1 s alone: is that too short"),
        (Leaves, "detokenize", "leaves <bos> in the caption"),
    ],
)
def test_a_broken_clause_is_named(kind, clause, words):
    broken = [c for c in contract.check_contract(kind(healthy, 20)) if not c.kept]
    assert broken
    assert broken[0].name == clause
    assert pytest.approx(1) == len(broken) or clause in {"batch", "step"}
    import re

    assert re.search(words, broken[0].what), broken[0].what


def test_what_keeps_the_contract_is_not_blamed():
    assert all(clause.kept for clause in contract.check_contract(Loud(healthy, 20)))
    assert contract.quick_check(Loud(deaf, 20)) is None


@pytest.mark.parametrize(
    "kind", [BareStep, StateTimeFirst, FlatStart, TextAxis, Listed, NoTensor, Whole]
)
def test_what_would_end_a_diagnosis_is_seen_at_first_sight(kind):
    assert contract.quick_check(kind(healthy, 20))


@pytest.mark.parametrize("kind", [LateNaN, NotFinite])
def test_numbers_that_are_none_are_for_the_diagnosis_to_explain(kind):
    assert contract.quick_check(kind(healthy, 20)) is None


@pytest.mark.parametrize("name", ["bos_id", "eos_id", "pad_id"])
def test_ids_outside_the_vocabulary_are_named(name):
    captioner = Loud(healthy, 20)
    setattr(captioner, name, 23)
    assert f"{name} is 23" in (contract.quick_check(captioner) or "")
    assert {BOS, EOS, PAD} == {0, 1, 2}


def test_padding_that_moves_scores_is_a_note_and_no_breach(capfix, tmp_path):
    clauses = {c.name: c for c in contract.check_contract(Padded(healthy, 20))}
    assert clauses["padding"].kept
    assert clauses["padding"].note
    assert "how far its batch is padded" in clauses["padding"].what
    assert not {c.name: c for c in contract.check_contract(Loud(healthy, 20))}["padding"].note
    file = tmp_path / "ad.py"
    file.write_text(
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_adapters import Padded, healthy\n"
        "def load(checkpoint, device):\n    return Padded(healthy, 20)\n"
    )
    done = capfix("adapter", "check", file)
    assert done.status == 0, done.err
    assert "-  padding: a clip's scores depend on how far" in done.out


def test_installed_adapters_are_found_by_name(monkeypatch):
    points = [EntryPoint("toy-captioner", "benchmarks.zoo.toys:load_healthy", adapters.GROUP)]
    monkeypatch.setattr(adapters, "entry_points", lambda group: points)
    assert isinstance(adapters.load_with_adapter("toy-captioner", "", "cpu"), Toy)
    with pytest.raises(CapfixError, match="Did you mean toy-captioner"):
        adapters.load_with_adapter("toy-captoner", "", "cpu")
    points[0] = EntryPoint("broken", "benchmarks.zoo.toys:absent", adapters.GROUP)
    with pytest.raises(CapfixError, match="broken failed: AttributeError"):
        adapters.load_with_adapter("broken", "", "cpu")


MISTAKES = """
import sys
from benchmarks.zoo.toys import Toy, deaf

print("chatter at import")

class Chatty(Toy):
    def encode(self, waveforms, lengths):
        print("chatter in encode")
        return super().encode(waveforms, lengths)

def load(checkpoint, device):
    print("chatter in load")
    return Chatty(deaf, 20)

def leaves(checkpoint, device):
    sys.exit(3)

def short(checkpoint):
    return Chatty(deaf, 20)

def worded(checkpoint, device):
    captioner = Chatty(deaf, 20)
    captioner.vocabulary = 8
    return captioner

def named(checkpoint, device):
    captioner = Chatty(deaf, 20)
    captioner.module = "net"
    return captioner
"""


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("leaves", "SystemExit: 3. It was raised at "),
        ("short", "is called as load(checkpoint, device)"),
        ("worded", "is of type int, not a sequence of words"),
        ("named", "is of type str, not an nn.Module"),
        ("", "Did you mean mistakes.py:load?"),
    ],
)
def test_what_a_factory_gets_wrong_is_one_line(factory, words, capfix, tmp_path):
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    assert words in capfix("adapter", "check", f"mistakes.py:{factory}").complaint
    (tmp_path / "mistakes.py").write_text("def load(:")
    assert "mistakes.py:1" in capfix("adapter", "check", "mistakes.py").complaint


def test_what_an_adapter_prints_stays_out_of_the_json(capfix, world, tmp_path):
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    for told in (
        ("adapter", "check", "mistakes.py", "--json"),
        ("diagnose", "x", "--audio", world.test_audio, "--adapter", "mistakes.py:load", "--json"),
    ):
        done = capfix(*told)
        assert json.loads(done.out)
        assert "chatter in encode" in done.err


LATE = """
from benchmarks.zoo.toys import RATE, Toy, deaf

class Late(Toy):
    def encode(self, waveforms, lengths):
        if waveforms.shape[1] not in {RATE, int(2.5 * RATE)}:
            raise RuntimeError("only one and two seconds")
        return waveforms.abs().amax(dim=1)

def load(checkpoint, device):
    return Late(deaf, 20)
"""


@pytest.mark.parametrize("mode", [True, False])
def test_a_network_handed_over_in_train_mode_is_told_of(mode, capfix, world, tmp_path):
    (tmp_path / "modes.py").write_text(
        "import torch.nn as nn\nfrom benchmarks.zoo.toys import Toy, healthy\n\n\n"
        "def load(checkpoint, device):\n"
        "    toy = Toy(healthy)\n"
        f"    toy.module = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train({mode})\n"
        "    return toy\n"
    )
    done = capfix(
        "diagnose", "x", "--audio", world.test_audio, "--adapter", "modes.py:load", "--json"
    )
    assert done.status == 0, done.err
    found = json.loads(done.out)
    told = any("handed over in train mode" in note for note in found["notes"])
    assert told == mode
    assert found["model"]["facts"].get(HANDED_TRAINING, False) == mode


def test_an_adapter_that_fails_on_real_clips_is_blamed_in_a_line(capfix, world, tmp_path):
    (tmp_path / "late.py").write_text(LATE)
    done = capfix("diagnose", "x", "--audio", world.test_audio, "--adapter", "late.py:load")
    assert "only one and two seconds" in done.complaint
    assert "late.py:7" in done.complaint


class Faster(Captioner):
    """Scores whole captions at once and rows of a clip over one memory, rightly or wrongly."""

    sample_rate, bos_id, eos_id, max_length = 8_000, 0, 1, 6
    vocabulary = ("<s>", "</s>", "a", "b", "c", "d", "e", "f")
    state_batch_dim = 1
    shares_memory = True
    peeks = forgets = False

    def encode(self, waveforms, lengths):
        clips = [row[:length].abs().mean() for row, length in zip(waveforms, lengths, strict=True)]
        return torch.stack(clips)[:, None]

    def logits(self, prefix, memory):
        return self.sequence_logits(prefix, memory)[:, -1]

    def sequence_logits(self, tokens, memory):
        heard = memory.repeat_interleave(len(tokens) // len(memory), dim=0)
        seen = tokens.flip(1).cumsum(1).flip(1) if self.peeks else tokens.cumsum(1)
        return torch.sin(seen[:, :, None] * torch.arange(1, 9) + 40 * heard[:, None])

    def start(self, memory):
        return torch.zeros(1, len(memory), 1)

    def step(self, token, state, memory):
        state = state + token[None, :, None]
        order = memory.repeat(len(token) // len(memory), 1)
        heard = (
            order if self.forgets else memory.repeat_interleave(len(token) // len(memory), dim=0)
        )
        return torch.sin(state[0] * torch.arange(1, 9) + 40 * heard), state


def test_the_faster_forms_are_tried_where_they_are_given():
    found = {clause.name: clause for clause in check_contract(Faster())}
    assert all(clause.kept for clause in found.values()), found
    assert not found["sequence"].note
    assert found["shares_memory"].kept
    peeking = Faster()
    peeking.peeks = True
    peeking.logits = lambda prefix, memory: Faster().logits(prefix, memory)
    found = {clause.name: clause for clause in check_contract(peeking)}
    assert found["sequence"].note
    assert "later ones" in found["sequence"].what
    forgetful = Faster()
    forgetful.forgets = True
    found = {clause.name: clause for clause in check_contract(forgetful)}
    assert not found["shares_memory"].kept


def test_a_state_that_counts_clips_elsewhere_is_named_with_its_axis():
    wrong = Faster()
    wrong.state_batch_dim = 0
    found = {clause.name: clause for clause in check_contract(wrong)}
    assert not found["step"].kept
    assert "state_batch_dim" in found["step"].what
