"""Every choice of capfix's own captioners: the sections of a config, their fields and defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval

FrontEndKind = Literal["log-mel", "panns", "ast"]
EncoderKind = Literal["cnn", "transformer"]
Pooling = Literal["time", "frequency"]
Downsampling = Literal["pool", "stride"]
Pretrained = Literal["none", "panns", "ast"]
Conditioning = Literal["initial-state", "every-step", "attention"]
DecoderKind = Literal["gru", "transformer"]


@dataclass(frozen=True)
class FrontEndConfig:
    """Waveforms to frames of mel bands.

    Attributes:
        sample_rate: Hz.
        n_fft: samples a window; 40 ms at 16 kHz.
        hop_length: samples between frames; 20 ms at 16 kHz.
        n_mels: mel bands.
        kind: ``log-mel`` for natural logarithms; ``panns`` and ``ast`` are the front ends that the
            pre-trained encoders were trained behind, decibels and Kaldi's filter banks.
    """

    sample_rate: Annotated[int, Interval(ge=1_000, le=192_000)] = 16_000
    n_fft: Annotated[int, Interval(ge=16, le=65_536)] = 640
    hop_length: Annotated[int, Interval(ge=1, le=65_536)] = 320
    n_mels: Annotated[int, Interval(ge=1, le=512)] = 64
    kind: FrontEndKind = "log-mel"

    @property
    def min_samples(self) -> int:
        """Shortest clip that gives a frame with signal; Kaldi's frames lie inside the clip."""
        return self.n_fft if self.kind == "ast" else self.n_fft // 2


# What the published weights were trained behind: arXiv 1912.10211 section IV, 2104.01778 section 2.
FRONT_ENDS: dict[str, FrontEndConfig] = {
    "panns": FrontEndConfig(32_000, 1_024, 320, 64, "panns"),
    "ast": FrontEndConfig(16_000, 400, 160, 128, "ast"),
}


@dataclass(frozen=True)
class AstConfig:
    """Sizes of an Audio Spectrogram Transformer; a weight file's own take their place.

    Attributes:
        hidden: width.
        layers: blocks.
        heads: of attention.
        feed_forward: width inside a block.
        max_length: frames heard at once; longer clips are heard one such stretch after another.
        frequency_stride: mel bands from one 16 x 16 patch to the next.
        time_stride: frames from one patch to the next.
        epsilon: of the norms; its authors' 1e-6, transformers has another.
    """

    hidden: Annotated[int, Interval(ge=1, le=16_384)] = 768
    layers: Annotated[int, Interval(ge=1, le=96)] = 12
    heads: Annotated[int, Interval(ge=1, le=256)] = 12
    feed_forward: Annotated[int, Interval(ge=1, le=65_536)] = 3_072
    max_length: Annotated[int, Interval(ge=16, le=65_536)] = 1_024
    frequency_stride: Annotated[int, Interval(ge=1, le=112)] = 10
    time_stride: Annotated[int, Interval(ge=1, le=16)] = 10
    epsilon: Annotated[float, Interval(ge=0.0, le=1.0)] = 1e-6


@dataclass(frozen=True)
class EncoderConfig:
    """From log-mel frames to memory.

    Attributes:
        pooling: ``time`` averages time away, a CNN also halves it in every block (the document's
            failing baseline); ``frequency`` keeps time.
        depth: convolution blocks, 1 to 6, or layers of a Transformer.
        residual: add each convolution block's input to its output; Transformers always do.
        channels: channels of the first block; they double up to four times that. Of CNN14 they
            are the weight file's.
        width: size of the memory's vectors.
        segments: for vector conditioning with time kept: how many stretches of the clip, in
            their order, make up the vector.
        pretrained: ``panns`` (CNN14) or ``ast`` stand in place of ``kind``, with their front end.
        dropout: after each block.
        kind: ``cnn`` or ``transformer``.
        downsampling: how a CNN's blocks shrink: max ``pool``, or the convolution's ``stride``.
        heads: of attention, in a Transformer.
        weights: file or folder of the pre-trained weights. Read once, when a captioner is made to
            be trained; a saved captioner holds its weights and no path.
        frozen: keep the pre-trained weights as they are.
        ast: sizes, where ``pretrained`` is ``ast``.
    """

    pooling: Pooling = "time"
    depth: Annotated[int, Interval(ge=1, le=48)] = 3
    residual: bool = False
    channels: Annotated[int, Interval(ge=1, le=4_096)] = 16
    width: Annotated[int, Interval(ge=1, le=16_384)] = 128
    segments: Annotated[int, Interval(ge=1, le=256)] = 4
    pretrained: Pretrained = "none"
    dropout: Annotated[float, Interval(ge=0.0, le=0.95)] = 0.2
    kind: EncoderKind = "cnn"
    downsampling: Downsampling = "pool"
    heads: Annotated[int, Interval(ge=1, le=256)] = 4
    weights: str | None = None
    frozen: bool = False
    ast: AstConfig = field(default_factory=AstConfig)


@dataclass(frozen=True)
class CaptionerConfig:
    """One of capfix's own captioners.

    Attributes:
        front_end: waveform to frames.
        encoder: frames to memory.
        conditioning: how the decoder hears the memory; a Transformer always by attention.
        decoder: ``gru`` or ``transformer``.
        embedding: width of the word embeddings.
        hidden: width of the decoder's state.
        dropout: in the decoder, on embeddings and outputs.
        max_length: most tokens of a caption.
        decoder_layers: of a Transformer decoder; the GRU has one.
        decoder_heads: of attention, in a Transformer decoder.
    """

    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    conditioning: Conditioning = "initial-state"
    decoder: DecoderKind = "gru"
    embedding: Annotated[int, Interval(ge=1, le=16_384)] = 128
    hidden: Annotated[int, Interval(ge=1, le=16_384)] = 192
    dropout: Annotated[float, Interval(ge=0.0, le=0.95)] = 0.3
    max_length: Annotated[int, Interval(ge=1, le=1_000)] = 30
    decoder_layers: Annotated[int, Interval(ge=1, le=48)] = 2
    decoder_heads: Annotated[int, Interval(ge=1, le=256)] = 4
