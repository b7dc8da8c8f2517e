"""Every choice of capfix's own captioners: what is heard, when, and alike in any company."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from conftest import TINY
from torch import nn

from capfix_cli.captioners.contract.contract_check import check_contract
from capfix_cli.captioners.own.cnn_encoder import Encoder
from capfix_cli.captioners.own.gru_decoder import Decoder
from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.captioners.own.own_checkpoint import FORMAT, build, save
from capfix_cli.captioners.own.own_config import PRESETS, from_dict, to_dict
from capfix_cli.captioners.own.transformer_decoder import TransformerDecoder
from capfix_cli.captioners.own.transformer_encoder import TransformerEncoder
from capfix_cli.core.errors import CapfixError
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import DecodingOptions

WORDS = [*SPECIAL, "a", "dog", "barks", "and", "rain", "falls"]
STRIDED = {"downsampling": "stride"}
TRANSFORMER = {"kind": "transformer", "width": 16, "heads": 2}
DECODER = {"decoder": "transformer", "conditioning": "attention", "decoder_heads": 2}
NEW = {
    "stride, time pooled": ({**STRIDED, "pooling": "time", "depth": 3}, {}),
    "stride, time kept": ({**STRIDED, "pooling": "frequency", "residual": True}, {}),
    "odd bands": ({**STRIDED, "pooling": "frequency", "residual": True, "depth": 4}, {}),
    "transformer encoder": ({**TRANSFORMER, "pooling": "frequency"}, {"conditioning": "attention"}),
    "transformer encoder, every step": (
        {**TRANSFORMER, "pooling": "frequency"},
        {"conditioning": "every-step"},
    ),
    "transformer encoder, averaged": ({**TRANSFORMER, "pooling": "time"}, {}),
    "transformer decoder": ({"pooling": "frequency"}, DECODER),
    "transformer decoder on one frame": ({"pooling": "time"}, DECODER),
    "full transformer": ({**TRANSFORMER, "pooling": "frequency"}, DECODER),
}


def make(encoder, rest=(), **more):
    torch.manual_seed(3)
    config = dataclasses.replace(
        TINY, encoder=dataclasses.replace(TINY.encoder, **encoder), **{**dict(rest), **more}
    )
    captioner = OwnCaptioner(config, WORDS)
    # Norms as after some training: at their first values, padding would stay at zero by itself.
    for module in captioner.module.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
            nn.init.normal_(module.weight, 1.0, 0.2)
            nn.init.normal_(module.bias, 0.0, 0.5)
    captioner.module.eval()
    return captioner


@pytest.mark.parametrize("name", NEW)
def test_the_contract_is_kept(name):
    encoder, rest = NEW[name]
    mels = 60 if name == "odd bands" else 64
    front_end = dataclasses.replace(TINY.front_end, n_mels=mels)
    clauses = check_contract(make(encoder, rest, front_end=front_end))
    assert len(clauses) >= 8
    assert [clause for clause in clauses if not clause.kept] == []


@pytest.mark.parametrize("name", NEW)
def test_a_clip_is_heard_alike_alone_and_beside_longer_ones(name):
    captioner = make(*NEW[name])
    lengths = torch.tensor([16_000, 5_100, 320])
    waveforms = torch.randn(3, 16_000) * torch.tensor([[0.3], [0.01], [0.1]])
    for row, length in enumerate(lengths.tolist()):
        waveforms[row, length:] = 0
    prefix = torch.tensor([[1, 4, 5]] * 3)
    with torch.inference_mode():
        frames, mask = captioner.module.encoder(*captioner.features(waveforms, lengths))
        together = captioner.logits(prefix, captioner.encode(waveforms, lengths))
        for row, length in enumerate(lengths.tolist()):
            clip, own = waveforms[row : row + 1, :length], lengths[row : row + 1]
            heard, _ = captioner.module.encoder(*captioner.features(clip, own))
            assert heard.shape[1] == mask[row].sum()
            torch.testing.assert_close(heard[0], frames[row, mask[row]], atol=1e-5, rtol=1e-5)
            alone = captioner.logits(prefix[row : row + 1], captioner.encode(clip, own))
            torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(frames[0, 0], frames[1, 0], atol=1e-2)  # they are not all alike


@pytest.mark.parametrize("name", ["transformer decoder", "full transformer"])
def test_word_by_word_gives_the_scores_of_whole_captions(name):
    captioner = make(*NEW[name])
    memory = captioner.encode(torch.randn(2, 8_000) * 0.1, torch.tensor([8_000, 4_000]))
    tokens = torch.randint(4, 10, (2, 40))  # longer than max_length: places are a formula
    tokens[:, 0] = captioner.bos_id
    with torch.inference_mode():
        whole = captioner.sequence_logits(tokens, memory)
        prepared = captioner.prepare(memory)
        state = captioner.start(prepared)
        for position in range(tokens.shape[1]):
            stepped, state = captioner.step(tokens[:, position], state, prepared)
            torch.testing.assert_close(stepped, whole[:, position], atol=1e-5, rtol=1e-5)
            prefix = captioner.logits(tokens[:, : position + 1], memory)
            torch.testing.assert_close(stepped, prefix, atol=1e-5, rtol=1e-5)


def test_a_transformer_decoder_does_not_look_ahead():
    captioner = make(*NEW["full transformer"])
    memory = captioner.encode(torch.randn(1, 8_000) * 0.1, torch.tensor([8_000]))
    tokens = torch.tensor([[1, 4, 5, 6, 7, 8]])
    later = torch.tensor([[1, 4, 5, 6, 9, 4]])
    one, two = (captioner.sequence_logits(words, memory) for words in (tokens, later))
    torch.testing.assert_close(one[:, :4], two[:, :4])
    assert not torch.allclose(one[:, 4:], two[:, 4:], atol=1e-3)


@pytest.mark.parametrize("options", [{"num_beams": 4}, {"do_sample": True, "num_samples": 3}])
def test_beams_over_one_memory_find_what_copies_of_it_find(options):
    captioner = make(*NEW["full transformer"])
    for parameter in captioner.module.decoder.parameters():
        parameter.data *= 2  # far from uniform
    waveforms = torch.randn(3, 12_000) * torch.tensor([[0.01], [0.1], [0.5]])
    lengths = torch.tensor([12_000, 7_000, 3_000])
    fields = DecodingOptions.__dataclass_fields__
    chosen = DecodingOptions(**{name: value for name, value in options.items() if name in fields})
    with torch.inference_mode():
        memory = captioner.encode(waveforms, lengths)
    found = []
    for shares in (True, False):
        captioner.shares_memory = shares
        found.append(decode(captioner, EncodedBatch(("a", "b", "c"), memory), chosen, 0))
    texts = [[caption.text for caption in captions] for captions in found]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 1
    for one, other in zip(*found, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)


# --- when the audio is heard -------------------------------------------------------------------


def reach(captioner, steps=6):
    """How strongly each word's scores move with the audio, other than by the state before."""
    captioner.module.train()
    for module in captioner.module.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    features = torch.randn(2, 30, 64, requires_grad=True)
    memory = captioner.encode_features(features, torch.tensor([30, 20]))

    def moves(result):
        if not result.requires_grad:
            return 0.0
        (gradient,) = torch.autograd.grad(
            result.square().sum(), features, retain_graph=True, allow_unused=True
        )
        return 0.0 if gradient is None else float(gradient.abs().sum())

    state = captioner.start(memory)
    first = moves(state) if isinstance(state, torch.Tensor) else 0.0
    detached = []
    for step in range(steps):
        if isinstance(state, torch.Tensor):
            state = state.detach()
        else:
            state = tuple((keys.detach(), values.detach()) for keys, values in state)
        logits, state = captioner.step(torch.tensor([4, 5 + step % 3]), state, memory)
        detached.append(moves(logits))
    return first, detached


@pytest.mark.parametrize("pooling", ["time", "frequency"])
def test_initial_state_hears_before_the_first_word_and_never_again(pooling):
    first, later = reach(make({"pooling": pooling}))
    assert first > 1e-6
    assert later == [0.0] * 6


@pytest.mark.parametrize(
    ("encoder", "rest"),
    [
        ({"pooling": "time"}, {"conditioning": "every-step"}),
        ({"pooling": "frequency"}, {"conditioning": "every-step"}),
        ({"pooling": "frequency", **STRIDED}, {"conditioning": "attention"}),
        ({"pooling": "frequency", **TRANSFORMER}, {"conditioning": "attention"}),
        ({"pooling": "frequency"}, DECODER),
        ({"pooling": "frequency", **TRANSFORMER}, DECODER),
    ],
    ids=str,
)
def test_audio_reaches_every_word(encoder, rest):
    _, later = reach(make(encoder, rest))
    assert len(later) == 6
    assert min(later) > 1e-6


# --- where time is kept ------------------------------------------------------------------------


@pytest.mark.parametrize("downsampling", ["pool", "stride"])
def test_frequency_pooling_keeps_every_frame_in_its_place(downsampling):
    encoder = make({"pooling": "frequency", "downsampling": downsampling}).module.encoder
    features = torch.randn(1, 50, 64)
    frames, mask = encoder(features, torch.tensor([50]))
    assert frames.shape == (1, 50, 16)
    assert mask.sum() == 50
    changed = features.clone()
    changed[:, 40:] += 3  # two 3-wide convolutions see two frames to either side
    moved = (encoder(changed, torch.tensor([50]))[0] - frames).abs().amax(dim=(0, 2)) > 1e-6
    assert not moved[:38].any()
    assert moved[40:].any()


@pytest.mark.parametrize("encoder", [{}, STRIDED, TRANSFORMER], ids=str)
def test_time_pooling_leaves_one_frame(encoder):
    frames, mask = make({**encoder, "pooling": "time"}).module.encoder(
        torch.randn(2, 50, 64), torch.tensor([50, 31])
    )
    assert frames.shape == (2, 1, 16)
    assert mask.tolist() == [[True], [True]]


def test_a_transformer_keeps_a_quarter_of_the_frames_and_their_order():
    encoder = make({**TRANSFORMER, "pooling": "frequency"}).module.encoder
    assert isinstance(encoder, TransformerEncoder)
    features = torch.randn(2, 50, 64)
    lengths = torch.tensor([50, 31])
    frames, mask = encoder(features, lengths)
    assert frames.shape == (2, 13, 16)
    assert mask.sum(dim=1).tolist() == [13, 8]
    assert not frames[1, 8:].any()
    # The same event early and late in the same silence: alike but for its place.
    early, late = torch.zeros(2, 1, 64, 64).unbind()
    early[:, 16:20], late[:, 40:44] = 1.0, 1.0
    early, late = (encoder(clip, torch.tensor([64]))[0] for clip in (early, late))
    assert not torch.allclose(early[:, 4], late[:, 10], atol=1e-2)


@pytest.mark.parametrize("downsampling", ["pool", "stride"])
@pytest.mark.parametrize("depth", [2, 3, 4])
def test_residual_blocks_pass_their_input_on(downsampling, depth):
    features = [torch.randn(1, 20, 64) for _ in range(2)]
    apart = {}
    for residual in (False, True):
        encoder = make(
            {
                "pooling": "frequency",
                "residual": residual,
                "depth": depth,
                "downsampling": downsampling,
            }
        ).module.encoder
        assert isinstance(encoder, Encoder)
        assert len(encoder.blocks) == depth
        for block in encoder.blocks:  # the convolutions add nothing
            nn.init.zeros_(block.norm.weight)
            nn.init.zeros_(block.norm.bias)
        one, two = (encoder(clip, torch.tensor([20]))[0] for clip in features)
        apart[residual] = float((one - two).abs().max().detach())
    assert apart[False] == 0.0
    assert apart[True] > 1e-4


# --- configurations and files ------------------------------------------------------------------

# What capfix wrote before these choices existed, tensor by tensor.
FORMER = {
    "decoder": [
        *("embedding.weight", "initial.bias", "initial.weight", "out.bias", "out.weight"),
        *("gru.bias_hh_l0", "gru.bias_ih_l0", "gru.weight_hh_l0", "gru.weight_ih_l0"),
        *("summary.out.bias", "summary.out.weight"),
    ],
    "encoder": [
        *(f"input_norm.{name}" for name in ("bias", "num_batches_tracked", "weight")),
        *("input_norm.running_mean", "input_norm.running_var", "out.bias", "out.weight"),
        *(
            f"blocks.{block}.{name}"
            for block in (0, 1)
            for name in (
                *("conv.weight", "norm.bias", "norm.num_batches_tracked"),
                *("norm.running_mean", "norm.running_var", "norm.weight"),
            )
        ),
    ],
    "front_end": ["mel.mel_scale.fb", "mel.spectrogram.window"],
}
# (pooling, residual, conditioning) and the scores that capfix 0.1 gave: weights are a formula.
FORMER_SCORES = [
    (
        ("time", False, "initial-state"),
        [0.252144, 0.296438, 0.319675, 0.308448, 0.274568, 0.246401],
    ),
    (
        ("frequency", False, "every-step"),
        [0.189598, 0.212667, 0.276113, 0.337042, 0.354348, 0.31886],
    ),
    (
        ("frequency", True, "attention"),
        [-0.033467, 0.397753, -0.715801, 0.857238, -0.74694, 0.394691],
    ),
]


@pytest.mark.parametrize(("choice", "scores"), FORMER_SCORES, ids=str)
def test_former_checkpoints_load_and_sound_as_they_did(choice, scores):
    pooling, residual, conditioning = choice
    config = {
        "front_end": {"sample_rate": 16_000, "n_fft": 640, "hop_length": 320, "n_mels": 64},
        "encoder": {
            **{"pooling": pooling, "depth": 2, "residual": residual, "channels": 4, "width": 8},
            **{"segments": 4, "pretrained": "none", "dropout": 0.2},
        },
        **{"conditioning": conditioning, "decoder": "gru", "embedding": 6, "hidden": 10},
        **{"dropout": 0.3, "max_length": 30},
    }
    words = [*SPECIAL, "a", "dog"]
    blank = OwnCaptioner(from_dict(config), words).module.state_dict()
    names = {f"{part}.{name}" for part, inner in FORMER.items() for name in inner}
    if residual:
        names |= {f"encoder.blocks.{b}.shortcut.{n}" for b in (0, 1) for n in ("weight", "bias")}
    if conditioning == "attention":
        parts = ("key.weight", "query.bias", "query.weight", "score.weight")
        names |= {f"decoder.attention.{part}" for part in parts}
    assert set(blank) == names
    for number, (name, tensor) in enumerate(sorted(blank.items())):
        if tensor.is_floating_point() and not name.startswith("front_end"):
            place = torch.arange(tensor.numel(), dtype=torch.float64)
            values = (torch.sin(place * (number + 2) * 0.7 + number) * 0.4).reshape(tensor.shape)
            tensor.copy_(values.abs() + 0.5 if name.endswith("running_var") else values)
    data = {"format": FORMAT, "config": config, "vocabulary": words, "state_dict": blank}
    captioner = build(data, "former.pt", "cpu")
    sound = torch.sin(torch.arange(8000) * 0.05)[None] * 0.3 * torch.linspace(0, 1, 8000)
    with torch.inference_mode():
        memory = captioner.encode(sound, torch.tensor([8000]))
        found = captioner.logits(torch.tensor([[1, 4, 5]]), memory)[0]
    torch.testing.assert_close(found, torch.tensor(scores), atol=2e-5, rtol=0)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_transformers_are_saved_and_come_back_whole(suffix, tmp_path):
    from capfix_cli.captioners.loading import load

    captioner = make(*NEW["full transformer"])
    path = save(captioner, tmp_path / f"model{suffix}")
    if suffix == ".pt":
        torch.load(path, weights_only=True)
    loaded = load(str(path)).captioner
    assert isinstance(loaded.module.decoder, TransformerDecoder)
    assert loaded.config == captioner.config
    tokens = torch.tensor([[1, 4, 5]])
    sound, length = torch.randn(1, 8_000) * 0.1, torch.tensor([8_000])
    with torch.inference_mode():
        one, two = (c.logits(tokens, c.encode(sound, length)) for c in (captioner, loaded))
    torch.testing.assert_close(one, two)


def test_the_document_s_last_priority_is_a_config():
    full, over_cnn = PRESETS["priority-4"], PRESETS["priority-4-transformer-decoder"]
    assert (full.encoder.kind, full.decoder) == ("transformer", "transformer")
    assert (over_cnn.encoder.kind, over_cnn.decoder) == ("cnn", "transformer")
    assert PRESETS["priority-4-panns"].front_end.sample_rate == 32_000
    assert PRESETS["priority-4-ast"].front_end.n_mels == 128
    assert len(PRESETS) == 7
    for config in PRESETS.values():
        assert config == from_dict(to_dict(config))
    module = OwnCaptioner(full, WORDS).module
    assert isinstance(module.encoder, TransformerEncoder)
    assert isinstance(OwnCaptioner(PRESETS["priority-3"], WORDS).module.decoder, Decoder)


def test_what_other_fields_decide_may_be_left_out():
    assert from_dict({"decoder": "transformer"}).conditioning == "attention"
    assert from_dict({"encoder": {"pretrained": "ast"}}).front_end.kind == "ast"
    assert from_dict({}) == PRESETS["baseline"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"decoder": "transformer", "conditioning": "every-step"}, ["hears by attention"]),
        ({"decoder": "transformer", "hidden": 10}, ["hidden 10 cannot be parted"]),
        (
            {"encoder": {"kind": "transformer", "width": 9, "heads": 3}, "decoder": "tree"},
            ["decoder: Input should be 'gru' or 'transformer', not 'tree'"],
        ),
        ({"encoder": {"kind": "transformer", "width": 9, "heads": 3}}, ["encoder.width 9 is odd"]),
        (
            {"encoder": {"frozen": True, "weights": "Cnn14.pth"}},
            ["encoder.frozen", "encoder.weights is 'Cnn14.pth'", "2 error"],
        ),
        (
            {"encoder": {"pretrained": "panns"}, "front_end": {"n_mels": 64}},
            ["needs front_end {sample_rate: 32000", "kind: panns"],
        ),
        (
            {"encoder": {"ast": {"layers": 0, "wings": 2}}},
            ["encoder.ast.wings: not a field", "encoder.ast.layers: Input should be greater"],
        ),
        (
            {"encoder": {"downsampling": "skip", "kind": "rnn"}},
            ["'pool' or 'stride', not 'skip'", "2 error"],
        ),
    ],
    ids=str,
)
def test_contradictions_of_a_config_are_told_at_once(config, words):
    with pytest.raises(CapfixError) as caught:
        from_dict(config)
    for word in words:
        assert word in caught.value.message


def test_a_config_that_cannot_be_built_is_refused_where_it_is_built():
    with pytest.raises(CapfixError, match="hears by attention"):
        OwnCaptioner(dataclasses.replace(TINY, decoder="transformer"), WORDS)


def test_a_full_transformer_learns_two_sounds():
    captioner = make({**TRANSFORMER, "pooling": "frequency", "width": 32}, DECODER)
    captioner.module.train()
    time = torch.arange(16_000) / 16_000
    sounds = torch.stack([torch.sin(2 * torch.pi * hz * time) * 0.3 for hz in (300, 3000)])
    lengths = torch.tensor([16_000, 16_000])
    optimizer = torch.optim.Adam(captioner.module.parameters(), 3e-3)
    texts = ["a dog barks", "rain falls"]
    first = float(captioner.loss(sounds, lengths, texts).detach())
    for _ in range(60):
        optimizer.zero_grad()
        loss = captioner.loss(sounds, lengths, texts)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < first / 3
