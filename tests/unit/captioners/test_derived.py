"""A captioner derived from a live network: its own methods are run, forced and watched."""

from __future__ import annotations

import sys
import types

import pytest
import torch
from torch import Tensor, nn

import capfix_cli
from capfix_cli.captioners.contract.contract_check import check_contract
from capfix_cli.captioners.derived.choice_forcing import ForcedChoices
from capfix_cli.captioners.derived.constructor import Known, build_network
from capfix_cli.captioners.derived.network_loading import parse_arguments
from capfix_cli.captioners.derived.programs import own_captions
from capfix_cli.captioners.derived.score_layout import find_layout
from capfix_cli.captioners.derived.vocabulary_forms import VocabularyObject
from capfix_cli.captioners.derived.wrap import wrap
from capfix_cli.core.errors import CapfixError
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import DecodingOptions

RATE = 8000
WORDS = ["<pad>", "<sos>", "<eos>", *(f"w{i}" for i in range(20))]
BANDS = 12


def frames(wave: Tensor) -> Tensor:
    """[samples] -> [F, T]: band energies."""
    window = wave[: len(wave) // 400 * 400].view(-1, 400)
    return (torch.fft.rfft(window).abs()[:, 1 : BANDS + 1] + 1e-3).log().T


class LoopedAttention(nn.Module):
    """Cell, attention, teacher forcing by chance, captions one clip at a time as text."""

    sample_rate = RATE

    def __init__(self, words: list[str], width: int = 16) -> None:
        super().__init__()
        self.words = words
        self.listen = nn.Linear(BANDS, width)
        self.table = nn.Embedding(len(words), width)
        self.cell = nn.GRUCell(2 * width, width)
        self.score = nn.Linear(2 * width, 1)
        self.say = nn.Linear(width, len(words))

    def one(self, word: Tensor, state: Tensor, heard: Tensor) -> tuple[Tensor, Tensor]:
        spread = state[:, None].expand_as(heard)
        weights = self.score(torch.cat([heard, spread], 2)).softmax(1)
        context = (weights * heard).sum(1)
        state = self.cell(torch.cat([self.table(word), context], 1), state)
        return self.say(state), state

    def forward(self, mel: Tensor, caption: Tensor, teacher_forcing: float = 0.5) -> Tensor:
        heard = self.listen(mel)
        state, word, found = heard.mean(1), caption[:, 0], []
        for place in range(1, caption.shape[1]):
            scores, state = self.one(word, state, heard)
            found.append(scores)
            forced = torch.rand(()) < teacher_forcing
            word = caption[:, place] if forced else scores.argmax(1)
        return torch.stack(found, 1)

    @torch.no_grad()
    def describe(self, mel: Tensor, longest: int = 9) -> str:
        heard = self.listen(mel)
        state, word, said = heard.mean(1), 1, []
        for _ in range(longest):
            scores, state = self.one(torch.tensor([word]), state, heard)
            word = int(scores[0].argmax())
            if word == 2:
                break
            said.append(self.words[word])
        return " ".join(said)


class EncodeDecode(nn.Module):
    """A Transformer over time-first memories, in two methods; no captioning of its own."""

    def __init__(self, size: int, width: int, heads: int = 2) -> None:
        super().__init__()
        self.into = nn.Linear(BANDS, width)
        layer = nn.TransformerDecoderLayer(width, heads, 2 * width, dropout=0.1)
        self.layers = nn.TransformerDecoder(layer, 1)
        self.table = nn.Embedding(size, width)
        self.out = nn.Linear(width, size)

    def encode(self, mel: Tensor) -> Tensor:
        return self.into(mel).permute(1, 0, 2)

    def decode(self, memory: Tensor, words: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(len(words))
        return self.out(self.layers(self.table(words), memory, tgt_mask=mask))


class Samples(nn.Module):
    """Reads bare samples; draws its words in a batch, and gives ids and scores."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Conv1d(1, 8, 400, 200)
        self.table = nn.Embedding(len(WORDS), 8)
        self.cell = nn.LSTM(16, 12, 2)
        self.out = nn.Linear(12, len(WORDS))

    def sample(self, wav: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        heard = self.front(wav).relu().mean(2)
        word, state, ids, scores = torch.ones(len(wav), dtype=torch.long), None, [], []
        for _ in range(7):
            given = torch.cat([self.table(word), heard], 1)[None]
            hidden, state = self.cell(given, state)
            chances = (self.out(hidden[0]) / temperature).softmax(1)
            word = torch.multinomial(chances, 1)[:, 0]
            ids.append(word)
            scores.append(chances)
        return torch.stack(ids, 1), torch.stack(scores, 1)


def module_with(*things: object, **constants: object) -> types.ModuleType:
    """Make a module of a student's that holds these."""
    module = types.ModuleType("student")
    module.__file__ = __file__
    for thing in things:
        thing.__module__ = "student"  # type: ignore[attr-defined]
        setattr(module, thing.__name__, thing)  # type: ignore[attr-defined]
    for name, value in constants.items():
        setattr(module, name, value)
    return module


@pytest.fixture(autouse=True)
def _student(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {thing: thing.__module__ for thing in (LoopedAttention, EncodeDecode, Samples)}
    torch.manual_seed(0)
    monkeypatch.setitem(sys.modules, "student", module_with(frames, LoopedAttention))
    yield  # type: ignore[misc]
    for thing, name in kept.items():
        thing.__module__ = name
    frames.__module__ = __name__


def louder(network: nn.Module) -> nn.Module:
    """Scale random weights so that words and sounds matter."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(2.0)
    return network.eval()


def clips(count: int = 4) -> tuple[Tensor, Tensor]:
    """Tones and noise, not of one length."""
    generator = torch.Generator().manual_seed(1)
    waves = 0.2 * torch.randn(count, 2 * RATE, generator=generator)
    time = torch.arange(2 * RATE) / RATE
    waves += torch.sin(2 * torch.pi * torch.tensor([[150.0], [90.0], [200.0], [60.0]]) * time)[
        :count
    ]
    lengths = torch.tensor([2 * RATE, 2 * RATE, RATE, 2 * RATE - 800])[:count]
    for wave, length in zip(waves, lengths.tolist(), strict=True):
        wave[length:] = 0
    return waves, lengths


def greedy(captioner: capfix_cli.Captioner, waves: Tensor, lengths: Tensor) -> list[str]:
    names = tuple(str(i) for i in range(len(lengths)))
    with torch.inference_mode():
        batch = EncodedBatch(names, captioner.encode(waves, lengths))
        return [caption.text for caption in decode(captioner, batch, DecodingOptions(), 0)]


def test_captions_are_those_of_the_networks_own_method_whatever_the_lengths() -> None:
    network = louder(LoopedAttention(WORDS))
    captioner = wrap(network)
    waves, lengths = clips()
    own = captioner.own_captions(waves, lengths)
    assert own is not None
    assert len(set(own)) > 1
    assert greedy(captioner, waves, lengths) == own
    assert captioner.derivation.agree  # teacher forcing was found and set to 1
    assert captioner.max_length == 9
    assert captioner.derivation.front_end == "frames"
    broken = [clause for clause in check_contract(captioner) if not clause.kept]
    assert not broken


def test_what_the_words_do_not_move_is_computed_once() -> None:
    network = louder(LoopedAttention(WORDS))
    captioner = wrap(network)
    waves, lengths = clips()
    with torch.no_grad():
        memory = captioner.encode(waves, lengths)
        heard = []
        network.listen.register_forward_pre_hook(lambda m, a: heard.append(a[0].abs().sum()))
        before = captioner.logits(torch.ones(4, 1, dtype=torch.long), memory)
    assert captioner.derivation.kept == ("listen",)
    assert all(float(total) == 0 for total in heard)  # the features themselves are not kept
    assert before.isfinite().all()


def test_two_methods_over_a_time_first_memory() -> None:
    network = louder(EncodeDecode(len(WORDS), 16))
    captioner = wrap(network, vocabulary=WORDS, sample_rate=RATE, front_end=frames)
    waves, lengths = clips()
    with torch.no_grad():
        memory = captioner.encode(waves, lengths)
        tokens = torch.tensor([[1, 5, 6, 7]] * 4)
        found = captioner.sequence_logits(tokens, memory)[2]
        features = frames(waves[2, : int(lengths[2])]).T[None]
        wanted = network.decode(network.encode(features), tokens[:1].T)[:, 0]  # type: ignore[operator]
    assert torch.allclose(found, wanted, atol=1e-4)
    assert not [clause for clause in check_contract(captioner) if not clause.kept]


def test_a_loop_that_draws_is_made_to_say_any_word_and_run_a_step_at_a_time() -> None:
    network = louder(Samples())
    captioner = wrap(network, vocabulary=WORDS, sample_rate=RATE)
    assert captioner.derivation.front_end == ""
    assert captioner.steps is not None
    waves, lengths = clips()
    with torch.no_grad():
        memory = captioner.encode(waves, lengths)
        tokens = torch.tensor([[1, 4, 9, 3]] * 4)
        whole = captioner.sequence_logits(tokens, memory).log_softmax(2)
        state, scores = captioner.start(memory), []
        for column in tokens.unbind(1):
            found, state = captioner.step(column, state, memory)
            scores.append(found.log_softmax(1))
    assert torch.allclose(torch.stack(scores, 1), whole, atol=1e-4)


@pytest.mark.parametrize(
    "choose",
    [
        lambda s: s.argmax(-1),
        lambda s: s.argmax(dim=1, keepdim=True)[:, 0],
        lambda s: s.max(1)[1],
        lambda s: torch.max(s, dim=-1).indices,
        lambda s: s.topk(1)[1].squeeze(1),
        lambda s: s.softmax(1).topk(3).indices[:, 0],
        lambda s: torch.multinomial(s.softmax(1), 1).squeeze(1),
        lambda s: torch.distributions.Categorical(logits=s).sample(),
        lambda s: torch.from_numpy(s.numpy().argmax(1)),
        lambda s: torch.tensor([row.index(max(row)) for row in s.tolist()]),
    ],
)
def test_every_way_of_choosing_is_met(choose: object) -> None:
    scores = torch.randn(3, 11)
    wanted = torch.tensor([[4], [10], [0]])
    choices = ForcedChoices(11, 3, wanted)
    with choices:
        found = choose(scores.clone())  # type: ignore[operator]
    assert found.tolist() == [4, 10, 0]
    assert torch.allclose(choices.scores[0].log_softmax(1), scores.log_softmax(1), atol=1e-5)


def test_other_operations_are_let_alone() -> None:
    with ForcedChoices(11, 3, torch.zeros(3, 2, dtype=torch.long)) as choices:
        assert torch.tensor([3.0, 9.0]).argmax() == 1
        assert torch.maximum(torch.ones(3, 11), torch.zeros(3, 11)).sum() == 33
        assert torch.ones(3, 11).max() == 1
    assert choices.scores == []


def test_scores_are_found_in_any_layout() -> None:
    table = torch.randn(13, 13)
    tokens = torch.tensor([[1, 4, 5, 6, 7, 8], [1, 9, 10, 11, 12, 3], [1, 3, 6, 9, 12, 5]])

    def plain(words: Tensor) -> Tensor:
        return table[words].cumsum(1)

    for shaped in (
        plain,
        lambda words: plain(words).transpose(0, 1),
        lambda words: {"loss": torch.zeros(()), "logits": plain(words).transpose(1, 2)},
        lambda words: (plain(words).transpose(0, 1).reshape(-1, 13), words),
        lambda words: plain(words)[:, :-1].reshape(-1, 13),
        lambda words: torch.cat([torch.zeros(3, 1, 13), plain(words)], 1),
    ):
        layout = find_layout(shaped, tokens, 13)
        assert layout is not None
        assert not layout.sees_ahead
        found = layout.read(shaped(tokens), 3, 5)
        assert torch.allclose(found, plain(tokens)[:, :5])


def test_a_method_that_sees_the_words_to_come_is_told() -> None:
    table = torch.randn(13, 13)
    tokens = torch.tensor([[1, 4, 5, 6, 7, 8], [1, 9, 10, 11, 12, 3], [1, 3, 6, 9, 12, 5]])
    layout = find_layout(lambda w: table[w] + table[w].mean(1, keepdim=True), tokens, 13)
    assert layout is not None
    assert layout.sees_ahead


def test_numbers_of_a_constructor_are_read_off_the_weights() -> None:
    class Sized(nn.Module):
        def __init__(self, vocab_size: int, embed: int, hidden: int, layers: int = 1) -> None:
            super().__init__()
            self.table = nn.Embedding(vocab_size, embed)
            self.rnn = nn.LSTM(embed + hidden, hidden, layers)
            self.out = nn.Linear(hidden, vocab_size)

    trained = Sized(37, 20, 28, 3).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in trained.items()}
    built = build_network(Sized, "Sized", Known(shapes=shapes))
    assert {n: tuple(t.shape) for n, t in built.network.state_dict().items()} == shapes
    assert built.found["vocab_size"] == "the shapes of the weights"


def test_settings_come_by_name_from_any_depth_and_as_one_object() -> None:
    class Configured(nn.Module):
        def __init__(self, cfg: object) -> None:
            super().__init__()
            self.out = nn.Linear(cfg.model.width, cfg["words"])  # type: ignore[attr-defined,index]

    class Named(nn.Module):
        def __init__(self, width: int, words: int, n_heads: int) -> None:
            super().__init__()
            self.out = nn.Linear(width, words)
            self.heads = n_heads

    settings = {"model": {"width": 6}, "words": 9, "n-heads": 3}
    assert build_network(Configured, "Configured", Known(settings=settings)).network
    assert build_network(Named, "Named", Known(settings=settings)).network.heads == 3


def test_a_number_that_nothing_tells_is_asked_for_by_its_name() -> None:
    class Headed(nn.Module):
        def __init__(self, width: int, n_heads: int) -> None:
            super().__init__()
            self.out, self.heads = nn.Linear(width, 3), n_heads

    shapes = {"out.weight": (3, 6), "out.bias": (3,)}
    with pytest.raises(CapfixError, match="takes n_heads, which neither") as told:
        build_network(Headed, "Headed", Known(shapes=shapes))
    assert "--network-args n_heads=..." in told.value.hint
    given = Known(shapes=shapes, given=parse_arguments("n_heads=4"))
    assert build_network(Headed, "Headed", given).network.heads == 4


def test_arguments_are_read_as_python_writes_them() -> None:
    found = parse_arguments("a=3,b=[1,2],c='x,y',d=none")
    assert found == {"a": 3, "b": [1, 2], "c": "x,y", "d": "none"}
    with pytest.raises(CapfixError, match="is not NAME=VALUE"):
        parse_arguments("width")


@pytest.mark.parametrize(
    ("result", "rows", "found"),
    [
        (torch.tensor([[3, 4], [5, 6]]), 2, [[3, 4], [5, 6]]),
        (torch.tensor([[3, 5], [4, 6]]).T.contiguous(), 1, None),
        (torch.tensor([3, 4]), 1, [[3, 4]]),
        ([3, 4], 1, [[3, 4]]),
        ([torch.tensor([3]), torch.tensor([4])], 1, [[3, 4]]),
        (["a", "dog"], 1, ["a dog"]),
        ("a dog", 1, ["a dog"]),
        ([["a", "dog"], ["rain"]], 2, ["a dog", "rain"]),
        ((["a dog", "rain"], torch.zeros(2)), 2, ["a dog", "rain"]),
        (([[3, 4]], 0.5), 1, [[3, 4]]),
        (torch.zeros(2, 3), 2, None),
        (None, 1, None),
        ([3, 99], 1, None),
    ],
)
def test_captions_are_read_however_they_are_given(result: object, rows: int, found: object) -> None:
    assert own_captions(result, rows, 20) == found


def test_a_vocabulary_answers_in_every_usual_way() -> None:
    words = VocabularyObject(capfix_cli.load_vocabulary(WORDS))
    assert words.word2idx["w3"] == words.stoi["w3"] == words["w3"] == words("w3") == 6
    assert words.idx2word[6] == words.itos[6] == words[6] == "w3"
    assert (words.sos_idx, words.eos_token, words.pad_id, len(words)) == (1, 2, 0, 23)


def test_what_cannot_be_derived_names_the_option_that_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for kind in (Samples, EncodeDecode):  # nothing stands beside them
        monkeypatch.setattr(kind, "__module__", "nowhere")
    network = louder(Samples())
    with pytest.raises(CapfixError, match="vocabulary") as told:
        wrap(network, sample_rate=RATE)
    assert "--vocabulary FILE" in told.value.hint
    with pytest.raises(CapfixError, match="sample rate") as told:
        wrap(network, vocabulary=WORDS)
    assert "--sample-rate" in told.value.hint
    headless = louder(EncodeDecode(len(WORDS), 16))
    with pytest.raises(CapfixError, match="ways to call EncodeDecode") as told:
        wrap(headless, vocabulary=WORDS, sample_rate=RATE)
    assert "--front-end" in told.value.hint
