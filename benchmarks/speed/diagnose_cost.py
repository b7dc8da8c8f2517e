"""What a whole diagnosis costs, in greedy captioning passes over the same clips.

    python -m benchmarks.speed.diagnose_cost [--whisper | --taught] [--clips 500] [--runs 3]
    python -m benchmarks.speed.diagnose_cost --model MODEL --audio FOLDER

The peer is capfix's own greedy pass: the audio is read, encoded and captioned, nothing else. Both
run in this process, in turn, after one warm-up of each on few clips; printed are the medians of
seconds and of CPU seconds, and their ratios. Clips are five seconds of noise bursts, every other
one voiced. Without ``--model`` it is capfix's baseline with random weights and 1,500 words; by
``--taught`` the same after it was taught forty sentences whatever it heard, so that the whole tree
is walked for it; by ``--whisper`` a model of Whisper-tiny's size with random weights, saved as a
Hugging Face folder. Figures go to ``benchmarks/results/speed/diagnose-cost-NAME.json``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from benchmarks.result_files import write_result
from capfix_cli import api as pipeline
from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.captioners.own.own_checkpoint import save
from capfix_cli.captioners.own.own_config import BASELINE
from capfix_cli.decoding.decoding_options import GREEDY

RATE, SECONDS = 16_000, 5.0
WORDS = 51_865  # of Whisper
STEPS = 80  # that a captioner is taught in


def write_clips(folder: Path, clips: int) -> Path:
    """Write clips that differ."""
    folder.mkdir()
    times = np.arange(round(SECONDS * RATE)) / RATE
    for index in range(clips):
        drawn = np.random.default_rng(index)
        beat = (np.sin(2 * np.pi * drawn.uniform(0.3, 4) * times) > drawn.uniform(-0.5, 0.5)) * 1.0
        sound = drawn.standard_normal(len(times)) if index % 2 else np.zeros(len(times))
        for _ in range(4):
            sound += np.sin(2 * np.pi * drawn.uniform(80, 5_000) * times)
        soundfile.write(folder / f"{index:05d}.wav", 0.08 * beat * sound, RATE)
    return folder


def own_model(folder: Path) -> Path:
    """Save capfix's baseline with random weights."""
    torch.manual_seed(0)
    words = [*SPECIAL, *(f"word{i}" for i in range(1_500))]
    return save(OwnCaptioner(BASELINE, words), folder / "model.pt")


def taught_model(folder: Path) -> Path:
    """Save capfix's baseline after some steps on sentences that have nothing to do with clips."""
    torch.manual_seed(0)
    words = [*SPECIAL, *(f"word{i}" for i in range(1_500))]
    model = OwnCaptioner(BASELINE, words)
    drawn = np.random.default_rng(0)
    told = [" ".join(drawn.choice(words[len(SPECIAL) :], 8)) for _ in range(40)]
    optimizer = torch.optim.Adam(model.module.parameters(), 2e-3)
    model.module.train()
    for step in range(STEPS):
        waveforms = 0.1 * torch.randn(16, RATE)
        own = [told[(16 * step + row) % len(told)] for row in range(16)]
        loss = model.loss(waveforms, torch.full((16,), RATE), own)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.module.eval()
    return save(model, folder / "taught.pt")


def whisper(folder: Path) -> Path:
    """Save a model of Whisper-tiny's size with random weights."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    library: Any = import_module("transformers")  # these two are untyped
    path = folder / "whisper"
    names = ["<pad>", "<s>", "</s>", "<unk>"]
    vocabulary = {word: n for n, word in enumerate([*names, *(f"w{n}" for n in range(4, WORDS))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=WORDS,
            d_model=384,
            encoder_layers=4,
            decoder_layers=4,
            encoder_attention_heads=6,
            decoder_attention_heads=6,
            encoder_ffn_dim=1536,
            decoder_ffn_dim=1536,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
            suppress_tokens=None,
            begin_suppress_tokens=None,
        )
    )
    model.generation_config.max_length = 30
    model.save_pretrained(path)
    library.WhisperFeatureExtractor(feature_size=80).save_pretrained(path)
    library.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    ).save_pretrained(path)
    return path


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds and CPU seconds of one run."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Run both in turn and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--whisper", action="store_true")
    parser.add_argument("--taught", action="store_true")
    parser.add_argument("--model")
    parser.add_argument("--audio", help="a folder of clips such as --model was trained on")
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make = whisper if arguments.whisper else taught_model if arguments.taught else own_model
        model = arguments.model or str(make(folder))
        audio = arguments.audio or str(write_clips(folder / "audio", arguments.clips))
        few = str(write_clips(folder / "few", 24))
        settings = pipeline.Settings(root=folder)

        def greedy(clips: str) -> None:
            pipeline.generate(model, clips, GREEDY, settings)

        def whole(clips: str) -> None:
            pipeline.diagnose(model, clips, settings)

        greedy(few)
        whole(few)
        runs = []
        for _ in range(arguments.runs):
            plain, full = timed(lambda: greedy(audio)), timed(lambda: whole(audio))
            runs.append((*plain, *full))
            print(f"    greedy {plain[0]:.1f} s, diagnose {full[0]:.1f} s", flush=True)
        plain_s, plain_cpu, full_s, full_cpu = (
            statistics.median(column) for column in zip(*runs, strict=True)
        )
        print(
            f"{Path(model).name} on {Path(audio).name}, {arguments.clips} clips: greedy"
            f" {plain_s:.1f} s ({plain_cpu:.1f} CPU), diagnose {full_s:.1f} s ({full_cpu:.1f} CPU):"
            f" {full_s / plain_s:.2f} times, {full_cpu / plain_cpu:.2f} in CPU seconds"
        )
        figures = {
            "model": Path(model).name,
            "clips": arguments.clips,
            "runs": arguments.runs,
            "threads": torch.get_num_threads(),
            "greedy": {"seconds": round(plain_s, 2), "cpu_seconds": round(plain_cpu, 2)},
            "diagnose": {"seconds": round(full_s, 2), "cpu_seconds": round(full_cpu, 2)},
            "times": round(full_s / plain_s, 2),
            "times_in_cpu_seconds": round(full_cpu / plain_cpu, 2),
        }
        if arguments.model is None:
            write_result(f"speed/diagnose-cost-{Path(model).stem}", figures)


if __name__ == "__main__":
    main()
