"""Fixes that concern the whole model: 2.5, a Transformer of its size, and 5.1, dropout in it."""

from __future__ import annotations

from capfix_cli.fixes.rewrites.architecture_names import ArchitectureNames, Size
from capfix_cli.fixes.rewrites.code_writing import Written, nothing_to_rewrite, write

HEADS = 4
SMALLEST, WIDEST = 128, 512  # widths of a Transformer for captioning data sets
DROPOUT, DROPOUT_2D = 0.3, 0.2  # the document, 5.1: .3 to .5 in the decoder, .2 to .3 in the CNN

_TRANSFORMER = '''
def places(count: int, like: torch.Tensor) -> torch.Tensor:
    """Sines and cosines of places in time: [count, WIDTH]."""
    place = torch.arange(count, device=like.device)[:, None]
    pace = 10000.0 ** (-torch.arange(0, WIDTH, 2, device=like.device) / WIDTH)
    return torch.cat([(place * pace).sin(), (place * pace).cos()], dim=1)


class Captioner(nn.Module):
    """Features [batch, frames, MELS], words [batch, T] -> scores [batch, T, VOCABULARY]."""

    def __init__(self, layers: int = 3, dropout: float = 0.2) -> None:
        super().__init__()
        sizes = {"dim_feedforward": 4 * WIDTH, "dropout": dropout}
        how = {"batch_first": True, "norm_first": True, "activation": "gelu"}
        # Four frames become one place: attention costs the square of the places.
        self.stem = nn.Conv1d(MELS, WIDTH, 4, stride=4)
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        hearing = nn.TransformerEncoderLayer(WIDTH, HEADS, **sizes, **how)
        speaking = nn.TransformerDecoderLayer(WIDTH, HEADS, **sizes, **how)
        norms = [nn.LayerNorm(WIDTH) for _ in range(2)]
        self.encoder = nn.TransformerEncoder(hearing, layers, norms[0], enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(speaking, layers, norms[1])
        self.head = nn.Linear(WIDTH, VOCABULARY)

    def encode(self, features, lengths):
        """Give the places and their mask, True at padding; lengths [batch] are of the clips."""
        x = self.stem(features.transpose(1, 2)).transpose(1, 2)
        count = torch.arange(x.shape[1], device=x.device)
        padding = count[None] >= (lengths // 4).clamp(min=1)[:, None]
        x = self.encoder(x + places(x.shape[1], x), src_key_padding_mask=padding)
        return x, padding

    def forward(self, features, lengths, words):
        memory, padding = self.encode(features, lengths)
        x = self.embedding(words)
        x = x + places(words.shape[1], x)
        later = torch.ones(words.shape[1], words.shape[1], device=words.device).triu(1).bool()
        x = self.decoder(x, memory, tgt_mask=later, memory_key_padding_mask=padding)
        return self.head(x)
'''

_DROPOUT = '''
def add_dropout(model: nn.Module) -> nn.Module:
    """Drop whole channels after each convolution, and numbers before the words are scored.

    Hooks and not layers: names stay what they are, so that saved weights still load. Call it once,
    after the model is built and before it is trained; in eval mode nothing is dropped.
    """
    modules = dict(model.named_modules())
    for name in CONVOLUTIONS:
        def after(module, inputs, output):
            drop = nn.functional.dropout2d if output.dim() == 4 else nn.functional.dropout1d
            return drop(output, IN_ENCODER, module.training)

        modules[name].register_forward_hook(after)
    for name in HEADS:
        def before(module, inputs):
            first = nn.functional.dropout(inputs[0], IN_DECODER, module.training)
            return (first, *inputs[1:])

        modules[name].register_forward_pre_hook(before)
    return model
'''


def transformer(found: ArchitectureNames) -> Written:
    """2.5: a Transformer as wide as the user's decoder."""
    if found.attends:
        raise nothing_to_rewrite("2.5", found, "its decoder is a Transformer already")
    hidden = 0 if found.recurrence is None else found.recurrence.hidden
    step = 2 * HEADS  # every head as wide, and places in pairs
    width = min(WIDEST, max(SMALLEST, -(-hidden // step) * step))
    why = f"about as wide as {found.recurrence.place}" if found.recurrence else "yours to choose"
    return write(
        "2.5",
        found,
        where="It stands for encoder and decoder; nothing of the old weights fits it.",
        numbers={
            "VOCABULARY": found.vocabulary,
            "MELS": found.mels,
            "WIDTH": Size(width, why),
            "HEADS": Size(HEADS, "they part the width evenly"),
        },
        template=_TRANSFORMER,
        words={},
        checks=(
            "`capfix inspect` says decoder.kind: transformer and conditioning: cross-attention.",
            "A word's scores do not move when later words are changed.",
            "A clip alone and the same clip padded beside longer ones get the same scores.",
        ),
    )


def dropout(found: ArchitectureNames) -> Written:
    """5.1: dropout around the user's own modules, by their names."""
    convolutions = [t.name.rpartition(".")[0] for t in found.convolutions]
    heads = [found.head_place] if found.head_place else []
    if not convolutions and not heads:
        raise nothing_to_rewrite("5.1", found, "neither a convolution nor a last layer was found")
    named = (
        f"IN_ENCODER, IN_DECODER = {DROPOUT_2D}, {DROPOUT}  # 0.2 to 0.3, and 0.3 to 0.5\n"
        f"CONVOLUTIONS = {convolutions!r}\nHEADS = {heads!r}\n"
    )
    return write(
        "5.1",
        found,
        where="Call add_dropout(model) on your own model; its names are those of the checkpoint.",
        numbers={},
        template=_DROPOUT,
        words={},
        checks=(
            "In train mode two passes over the same clip differ; in eval mode they do not.",
            "Dropout leaves no trace in weights: keep its rates in your settings.",
        ),
        constants=named,
    )
