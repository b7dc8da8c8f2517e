"""The X-ray over networks written in many habits: what it states is right, whatever the names.

Every network's truth is written down by hand. Statements are counted: at a confidence of .9 and
more none may be wrong, below it one of fifty.
"""

from __future__ import annotations

import collections

import pytest
import torch
from torch import nn

from capfix_cli.checkpoints.inspection import inspect_checkpoint

WORDS, WIDTH, STATE = 300, 48, 64
ALWAYS = {"encoder.residual", "weights.untrained", "weights.initial-layers", "decoder.width"}


def convolutions(*channels, norm=True):
    layers = []
    for inner, outer in zip((1, *channels), channels, strict=False):
        layers += [nn.Conv2d(inner, outer, 3, padding=1), *[nn.BatchNorm2d(outer)] * norm]
    return nn.Sequential(*layers)


class Net(nn.Module):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def recurrent(**more):
    return {
        "vocabulary.size": WORDS,
        "embedding.width": WIDTH,
        "autoregressive": True,
        "output.tied": False,
        "decoder.kind": "gru",
        "decoder.layers": 1,
        **more,
    }


CNN = {"encoder.kind": "cnn", "encoder.conv-layers": 3, "encoder.batchnorm": True}
ATTENDED = {"conditioning": "additive-attention"}


def plain():
    """Encoder and decoder under their own names."""
    net = Net(
        encoder=convolutions(8, 16, 32),
        decoder=Net(
            embedding=nn.Embedding(WORDS, WIDTH),
            gru=nn.GRU(WIDTH + 32, STATE),
            out=nn.Linear(STATE, WORDS),
        ),
    )
    return net, recurrent(**CNN, conditioning="concatenated")


def flat():
    """All layers side by side, one projection named after the audio."""
    net = Net(
        layer1=convolutions(8),
        layer2=nn.Conv2d(8, 16, 3),
        layer3=nn.Conv2d(16, 32, 3),
        audio_proj=nn.Linear(32, STATE),
        word_emb=nn.Embedding(WORDS, WIDTH),
        rnn=nn.LSTM(WIDTH, STATE, 2),
        classifier=nn.Linear(STATE, WORDS),
    )
    told = {**CNN, "decoder.kind": "lstm", "decoder.layers": 2, "conditioning": "not-concatenated"}
    return net, recurrent(**told)


def wrapped(name):
    def make():
        net, truth = plain()
        return Net(**{name: net}), truth

    make.__doc__ = f"The plain one as the attribute {name}."
    return make


def attending():
    """A cell, soft attention, a gate; makers of the first state."""
    net = Net(
        cnn=convolutions(8, 16, 32),
        decoder=Net(
            attention=Net(
                encoder_att=nn.Linear(32, 40),
                decoder_att=nn.Linear(STATE, 40),
                full_att=nn.Linear(40, 1),
            ),
            embedding=nn.Embedding(WORDS, WIDTH),
            decode_step=nn.LSTMCell(WIDTH + 32, STATE),
            init_h=nn.Linear(32, STATE),
            f_beta=nn.Linear(STATE, 32),
            fc=nn.Linear(STATE, WORDS),
        ),
    )
    return net, recurrent(**CNN, **ATTENDED, **{"decoder.kind": "lstm"})


def two_cells():
    """Top-down attention; its first cell is called the encoder."""
    net = Net(
        audio_encoder=convolutions(8, 16, 32),
        text_encoder=Net(word_embeddings=nn.Embedding(WORDS, WIDTH)),
        encoder=nn.LSTMCell(WIDTH + 2 * STATE, STATE),
        attention=Net(query_projection=nn.Linear(STATE, 40), linear=nn.Linear(40, 1)),
        decoder=Net(
            lstm_cell=nn.LSTMCell(STATE + 32, STATE),
            dense=nn.utils.parametrizations.weight_norm(nn.Linear(STATE, WORDS)),
        ),
    )
    told = {"decoder.kind": "lstm", "decoder.layers": 2}
    return net, recurrent(**CNN, **ATTENDED, **told)


def tutorial():
    """PyTorch's AttnDecoderRNN."""
    net = Net(
        encoder=Net(gru=nn.GRU(WIDTH, STATE)),
        decoder=Net(
            embedding=nn.Embedding(WORDS, STATE),
            attn=nn.Linear(2 * STATE, 20),
            attn_combine=nn.Linear(2 * STATE, STATE),
            gru=nn.GRU(STATE, STATE),
            out=nn.Linear(STATE, WORDS),
        ),
    )
    told = {"embedding.width": STATE, "encoder.kind": "rnn", "encoder.layers": 1}
    none = {"encoder.batchnorm": False, "encoder.conv-layers": 0}
    return net, recurrent(**told, **none, **ATTENDED)


def transformer():
    """PyTorch's own layers, no part named an encoder."""
    net = Net(
        conv=convolutions(8, 16, 32),
        pos=Net(pe=nn.Parameter(torch.randn(100, WIDTH))),
        transformer_decoder=nn.TransformerDecoder(nn.TransformerDecoderLayer(WIDTH, 4, 64), 2),
        word_emb=nn.Embedding(WORDS, WIDTH),
        dec_fc=nn.Linear(WIDTH, WORDS),
    )
    told = {"decoder.kind": "transformer", "decoder.layers": 2, "conditioning": "cross-attention"}
    return net, recurrent(**CNN, **told)


def both_transformers():
    """Under a wrapper that is called a captioning model."""
    with pytest.warns(UserWarning, match="enable_nested_tensor"):
        encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 4, 64), 3)
    net = Net(
        captioning_model=Net(
            encoder=encoder,
            decoder=nn.TransformerDecoder(nn.TransformerDecoderLayer(WIDTH, 4, 64), 2),
            embed=nn.Embedding(WORDS, WIDTH),
            generator=nn.Linear(WIDTH, WORDS),
        )
    )
    told = {"decoder.kind": "transformer", "decoder.layers": 2, "conditioning": "cross-attention"}
    none = {"encoder.batchnorm": False, "encoder.conv-layers": 0}
    return net, recurrent(**{"encoder.kind": "transformer", "encoder.layers": 3}, **none, **told)


def vectors():
    """Words are vectors from outside."""
    net = Net(
        encoder=convolutions(8, 16, 32),
        decoder=Net(gru=nn.GRU(100, STATE), out=nn.Linear(STATE, WORDS)),
    )
    told = {"embedding.width": None, "output.tied": None, "conditioning": None}
    return net, recurrent(**CNN, **told)


def one_hot():
    """Words are one-hot."""
    net = Net(
        encoder=convolutions(8, 16, 32),
        decoder=Net(gru=nn.GRU(WORDS, STATE), out=nn.Linear(STATE, WORDS)),
    )
    told = {"embedding.width": None, "output.tied": None, "conditioning": None}
    return net, recurrent(**CNN, **told)


def repeated():
    """The encoder's last frame at each step; words are never seen."""
    net = Net(
        encoder=Net(gru_1=nn.GRU(64, 20, bidirectional=True)),
        decoder=Net(rnn=nn.GRU(40, STATE)),
        classifier=nn.Linear(STATE, WORDS),
    )
    told = {"autoregressive": False, "embedding.width": None, "output.tied": None}
    rest = {"encoder.kind": "rnn", "encoder.layers": 1, "encoder.conv-layers": 0}
    return net, recurrent(**told, **rest, **{"encoder.batchnorm": False, "conditioning": None})


def output(kind):
    layers = {
        "norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(STATE, WORDS)),
        "convolution": lambda: nn.Conv1d(STATE, WORDS, 1),
        "adaptive": lambda: nn.AdaptiveLogSoftmaxWithLoss(STATE, WORDS, [50, 150]),
        "fewer": lambda: nn.Linear(STATE, WORDS - 2),
    }

    def make():
        net, truth = plain()
        net.decoder.out = layers[kind]()
        # Of an output that leaves words out, either count is the vocabulary's.
        sizes = {WORDS, WORDS - 2} if kind == "fewer" else {WORDS}
        return net, {**truth, "vocabulary.size": sizes}

    make.__doc__ = f"An output of another kind: {kind}."
    return make


def codebook():
    """A quantiser before the decoder."""
    net, truth = plain()
    net.vq = Net(_embedding=nn.Embedding(512, 32))
    net.vq.register_buffer("_ema_cluster_size", torch.zeros(512))
    return net, truth


def pooled():
    """An attention in the encoder, with the name of PyTorch's over an encoder."""
    net, truth = plain()
    net.encoder = Net(conv=convolutions(8, 16, 32), multihead_attn=nn.MultiheadAttention(32, 4))
    return net, truth


def tagger():
    """No captioner at all."""
    net = Net(stages=convolutions(8, 16, 32), audio_head=nn.Linear(32, 527))
    none = dict.fromkeys(("vocabulary.size", "autoregressive", "output.tied", "conditioning"))
    none |= {"embedding.width": None, "decoder.layers": None}
    return net, {**CNN, **none, "decoder.kind": "none"}


def late_norm():
    """A norm over a hidden layer that is named like one over mel bands."""
    net, truth = plain()
    net.batch_norm = nn.BatchNorm1d(256)
    return net, truth


def unnamed_table():
    """A word table without a telling name."""
    net = Net(
        encoder=convolutions(8, 16, 32),
        lex=nn.Embedding(WORDS, WIDTH),
        step=nn.GRUCell(WIDTH + 32, STATE),
        scores=nn.Linear(STATE, WORDS),
    )
    return net, recurrent(**CNN, conditioning="concatenated")


NAMES = ("model", "captioner", "lm", "net", "text_model", "decoder_wrapper", "audio_captioner")
HABITS = {
    **{f"wrapped-{name}": wrapped(name) for name in NAMES},
    **{f"output-{kind}": output(kind) for kind in ("norm", "convolution", "adaptive", "fewer")},
    **{
        make.__name__: make
        for make in (plain, flat, attending, two_cells, tutorial, transformer, both_transformers)
    },
    **{
        make.__name__: make
        for make in (vectors, one_hot, repeated, codebook, pooled, tagger, late_norm, unnamed_table)
    },
}


def judged(make, path):
    """Count a network's statements by whether they are right and how sure."""
    torch.manual_seed(0)
    net, truth = make()
    torch.save({"state_dict": net.state_dict()}, path)
    count, wrong = collections.Counter(), []
    for name, fact in inspect_checkpoint(str(path)).facts.items():
        if name in ALWAYS or fact.value is None:
            count["undecided"] += fact.value is None
            continue
        known = truth.get(name)
        right = fact.value in known if isinstance(known, set) else fact.value == known
        sure = "sure" if fact.confidence >= 0.9 else "less"
        count[f"{'right' if right else 'wrong'}, {sure}"] += 1
        if not right:
            wrong.append(f"{name}: {fact.value} ({fact.confidence}), not {known}: {fact.evidence}")
    return count, wrong


@pytest.mark.parametrize("habit", HABITS)
def test_nothing_sure_is_wrong_of_any_habit(habit, tmp_path):
    count, wrong = judged(HABITS[habit], tmp_path / "m.pt")
    assert not wrong
    assert count["right, sure"] + count["right, less"] >= 3


def test_statements_are_many_and_wrong_ones_few(tmp_path):
    count = sum((judged(m, tmp_path / "m.pt")[0] for m in HABITS.values()), collections.Counter())
    assert count["wrong, sure"] == 0
    assert count["wrong, less"] * 50 <= count["right, less"]
    assert count["right, sure"] + count["right, less"] > 3 * count["undecided"]
