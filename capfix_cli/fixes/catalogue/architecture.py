"""Category 2: how the audio is heard and handed to the words; a changed model is trained anew."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import CATEGORY_TITLES, Fix, FixSetting

BETTER_ENCODER = Fix(
    id="2.1",
    title="Better audio encoder (keep time)",
    category=2,
    category_title=CATEGORY_TITLES[2],
    aliases=("better encoder", "better audio encoder", "keep time", "pooling", "encoder"),
    what=(
        "Pools over frequency only and keeps every frame. Each 2x2 max-pooling with stride 2 "
        "throws away half of the frames, and with them what happened when."
    ),
    when="When sampling did not help and the encoder pools time away.",
    settings=(
        FixSetting(
            name="encoder.pooling",
            value="frequency",
            recommended="frequency",
            ranges=(
                ("time", "50% of the frames lost in each block"),
                ("frequency", "stride (2, 1): mel bands shrink, frames stay"),
            ),
        ),
        FixSetting(
            name="encoder.downsampling",
            value="pool",
            recommended="pool or stride",
            ranges=(
                ("pool", "max-pooling after each convolution"),
                ("stride", "the convolution's own stride: nearly twice as fast"),
            ),
        ),
    ),
    pros=("A few changed lines", "Gives every later fix, attention above all, frames to work on"),
    cons=("Needs retraining", "More frames, so more memory and time"),
    impact="high",
    effort="10 min",
    retrain=True,
    priority=2,
    snippet="""\
from torch import nn


class FrequencyPooledEncoder(nn.Module):
    # [batch, 1, mels, frames] -> [batch, frames, width]: a stride over mels, never over frames.
    def __init__(self, width: int = 128, depth: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for block in range(depth):
            layers += [nn.Conv2d(width if block else 1, width, 3, stride=(2, 1), padding=1)]
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
        self.blocks = nn.Sequential(*layers)

    def forward(self, mels):
        return self.blocks(mels).mean(dim=2).transpose(1, 2)
""",
    caution=(
        "Check before rewriting: if shuffling a clip's frames leaves the encoder's output "
        "unchanged, time is lost. The wrong mel scale gives the same caption everywhere from a "
        "sound encoder (log10 for natural log: 2 % distinct captions, .09 bits; our measurement)."
    ),
    source="the document, 2.1",
)

EVERY_STEP = Fix(
    id="2.2",
    title="Audio at every step",
    category=2,
    category_title=CATEGORY_TITLES[2],
    aliases=("audio injection", "audio injection strategy", "every step", "conditioning"),
    what=(
        "Gives the decoder the audio beside every word, where a first hidden state alone is "
        "forgotten after a few words."
    ),
    when="When sampling did not help and the audio matters for the first words at most.",
    settings=(
        FixSetting(
            name="conditioning",
            value="every-step",
            recommended="every-step",
            ranges=(
                ("initial-state", "audio once, before the first word"),
                ("every-step", "audio joined to each word's embedding"),
                ("attention", "audio chosen anew for each word (fix 2.3)"),
            ),
        ),
    ),
    pros=("Audio cannot be forgotten along the caption", "Little code, little extra cost"),
    cons=("Needs retraining", "The same summary for every word; attention lifts that"),
    impact="high",
    effort="20 min",
    retrain=True,
    priority=2,
    snippet="""\
import torch
from torch import nn


class EveryStepDecoder(nn.Module):
    # words [batch, T] and audio [batch, A] -> next-word logits [batch, T, vocabulary].
    def __init__(self, vocabulary: int, audio: int, embedding: int = 128, hidden: int = 192):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, embedding)
        self.rnn = nn.GRU(embedding + audio, hidden, batch_first=True)
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, words: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        at_each_word = audio[:, None].expand(-1, words.shape[1], -1)
        states, _ = self.rnn(torch.cat([self.embed(words), at_each_word], dim=-1))
        return self.head(states)
""",
    caution=(
        "An input as wide as the embedding says that the audio is not concatenated; whether it "
        "arrives otherwise only a probe shows: swap the memory and follow the change in the "
        "next-word odds along the caption."
    ),
    source="the document, 2.2",
)

ATTENTION = Fix(
    id="2.3",
    title="Attention mechanism",
    category=2,
    category_title=CATEGORY_TITLES[2],
    aliases=("attention", "bahdanau", "bahdanau attention", "additive attention"),
    what=(
        "Lets the decoder weigh the audio's frames afresh for each word and hear their weighted "
        "mean, so that each word can follow its own sound."
    ),
    when="When the simpler fixes did not suffice, or captions differ but are bland.",
    settings=(
        FixSetting(
            name="conditioning",
            value="attention",
            recommended="attention",
            ranges=(
                ("every-step", "one summary of the clip for all words (fix 2.2)"),
                ("attention", "a summary of its own for each word"),
            ),
        ),
    ),
    pros=("Each word can listen elsewhere", "Its weights show what was listened to"),
    cons=("Has to be implemented", "Of no use on frames that were pooled away (fix 2.1 first)"),
    impact="medium-high",
    effort="2 hours",
    retrain=True,
    priority=3,
    snippet="""\
import torch
from torch import nn


class FrameAttention(nn.Module):
    # frames [batch, T, F], state [batch, H] -> heard [batch, F] and its weights [batch, T].
    def __init__(self, frame: int, state: int, width: int = 128) -> None:
        super().__init__()
        self.of_frame, self.of_state = nn.Linear(frame, width), nn.Linear(state, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, frames: torch.Tensor, state: torch.Tensor, real: torch.Tensor):
        # real [batch, T]: True at frames of the clip, False at padding.
        match = torch.tanh(self.of_frame(frames) + self.of_state(state)[:, None])
        weights = self.score(match)[..., 0].masked_fill(~real, -torch.inf).softmax(dim=-1)
        return (weights[:, None] @ frames)[:, 0], weights
""",
    caution=(
        "Attention can be there and idle: entropy near log T, or the same weights for every word "
        "and clip, is a mean over time in disguise."
    ),
    source="the document, 2.3; Bahdanau et al. 2015 (arXiv 1409.0473)",
)

DEEPER_ENCODER = Fix(
    id="2.4",
    title="Deeper encoder (residual)",
    category=2,
    category_title=CATEGORY_TITLES[2],
    aliases=("deeper", "deeper encoder", "residual", "residual connections", "depth"),
    what=(
        "Adds convolution blocks for richer features, each with a residual connection so that "
        "the added depth still trains."
    ),
    when="When the encoder has 2 layers and its features hardly tell clips apart.",
    settings=(
        FixSetting(
            name="encoder.depth",
            value="3",
            recommended="3-4",
            ranges=(("2", "too shallow"), ("3-4", "recommended, with residual connections")),
        ),
    ),
    pros=("Better features", "Little work"),
    cons=("More parameters", "Slower training"),
    impact="medium",
    effort="low",
    retrain=True,
    priority=3,
    snippet="""\
import torch
from torch import nn


class ResidualBlock(nn.Module):
    # [batch, channels, mels, frames] -> the same shape: the input plus what two layers add.
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.added = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.added(x))
""",
    caution=(
        "Depth does not help a decoder that ignores its memory: follow the share of variance "
        "between clips layer by layer and mend the place where it vanishes."
    ),
    source="the document, 2.4; He et al. 2016 (arXiv 1512.03385)",
)

TRANSFORMER = Fix(
    id="2.5",
    title="Transformer architecture",
    category=2,
    category_title=CATEGORY_TITLES[2],
    aliases=("transformer", "transformers"),
    what="Replaces convolution and recurrence with a full transformer.",
    when="When nothing else worked and there is enough data.",
    settings=(
        FixSetting(
            name="decoder",
            value="transformer",
            recommended="transformer, given enough data",
            ranges=(
                ("gru", "learns from little"),
                ("transformer", "wants a large data set; Clotho might be too small"),
            ),
        ),
        FixSetting(
            name="encoder.kind",
            value="cnn",
            recommended="cnn, or transformer for a full one",
            ranges=(
                ("cnn", "a Transformer decoder over a CNN's frames, the smaller step"),
                ("transformer", "no convolution but the first, no recurrence"),
            ),
        ),
    ),
    pros=("Highest ceiling, given enough data", "Every word reaches every frame"),
    cons=(
        "Wants a large data set; Clotho might be too small",
        "More compute",
        "Sensitive to its hyperparameters",
        "A rewrite of the model",
    ),
    impact="high",
    effort="1 day",
    retrain=True,
    priority=4,
    snippet="""\
import torch
from torch import nn


class TransformerCaptioner(nn.Module):
    # mels [batch, frames, mels] and words [batch, T] -> next-word logits [batch, T, vocabulary].
    def __init__(self, vocabulary: int, mels: int = 64, width: int = 128, longest: int = 4096):
        super().__init__()
        self.of_mels, self.of_word = nn.Linear(mels, width), nn.Embedding(vocabulary, width)
        self.place = nn.Embedding(longest, width)
        self.body = nn.Transformer(width, 4, 3, 3, 4 * width, batch_first=True)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, mels: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        places = [self.place(torch.arange(x.shape[1], device=x.device)) for x in (mels, words)]
        causal = torch.ones(words.shape[1], words.shape[1], device=words.device).triu(1).bool()
        sound, text = self.of_mels(mels) + places[0], self.of_word(words) + places[1]
        return self.head(self.body(sound, text, tgt_mask=causal))
""",
    caution=(
        "A transformer can learn to ignore audio like any other: one trained with its audio "
        "silenced answered to real audio with 1.34 bits and named 11 % of the events (a sound "
        "one: 4.03 bits, 59 %; our measurement). A positional code indexed by batch row, in "
        "place of time, is a defect we met in public code."
    ),
    source="the document, 2.5; Vaswani et al. 2017 (arXiv 1706.03762)",
)

PRETRAINED = Fix(
    id="2.6",
    title="Pre-trained encoders (PANNs, AST)",
    category=2,
    category_title=CATEGORY_TITLES[2],
    aliases=("pre-trained", "pretrained", "pretrained encoder", "panns", "cnn14", "ast"),
    what=(
        "Starts the encoder from weights trained to tag sounds on AudioSet, so that captions "
        "alone need not teach it to hear."
    ),
    when="At the end of the plan, or earlier where the captioning data are few.",
    settings=(
        FixSetting(
            name="encoder.pretrained",
            value="panns",
            recommended="panns or ast",
            ranges=(
                ("none", "hears only what the captions taught"),
                ("panns", "a CNN, 32 kHz log-mels (arXiv 1912.10211)"),
                ("ast", "a spectrogram transformer, 16 kHz (arXiv 2104.01778)"),
            ),
        ),
        FixSetting(
            name="encoder.weights",
            value="none",
            recommended="the published file or folder",
            ranges=(
                ("Cnn14_mAP=0.431.pth", "of panns"),
                ("audioset_10_10_0.4593.pth", "of ast; or its folder on Hugging Face"),
            ),
        ),
        FixSetting(
            name="encoder.frozen",
            value="true",
            recommended="true, with few captions",
            ranges=(
                ("true", "only what follows the encoder is trained"),
                ("false", "the encoder is trained on, at a small learning rate"),
            ),
        ),
    ),
    pros=("Hears hundreds of kinds of sound from the start", "Less captioning data needed"),
    cons=("Ties you to its front end", "A large encoder", "The decoder must be trained for it"),
    # The document rates neither; ours: as far-reaching as 2.5, and as much to rewire.
    impact="high",
    effort="1 day",
    retrain=True,
    priority=4,
    snippet="""\
import torch
from torch import nn


def load_pretrained(encoder: nn.Module, path: str) -> list[str]:
    # Fills your CNN14 (or AST) module from a downloaded checkpoint. Gives the names left unused.
    saved = torch.load(path, map_location="cpu", weights_only=True)
    saved = saved.get("model", saved)  # PANNs keep the weights under "model", AST at the top
    saved = {name.removeprefix("module."): tensor for name, tensor in saved.items()}
    missing, unused = encoder.load_state_dict(saved, strict=False)
    if missing:  # strict=False says nothing about layers that stay random
        raise ValueError(f"not in {path}: {', '.join(missing)}")
    return unused
""",
    caution=(
        "Feed it exactly its own front end: sample rate, mel bands, kind of log, scaling. A sound "
        "model on log10 in place of natural-log mels gave 2 % distinct captions (our measurement), "
        "and weights silently not loaded are a confirmed cause in public threads."
    ),
    source="the document, priority 4, item 11; PANNs (arXiv 1912.10211), AST (arXiv 2104.01778)",
)

FIXES: tuple[Fix, ...] = (
    BETTER_ENCODER,
    EVERY_STEP,
    ATTENTION,
    DEEPER_ENCODER,
    TRANSFORMER,
    PRETRAINED,
)
