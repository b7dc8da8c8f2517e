"""Twelve decoding trials over one hearing of the clips, against twelve calls of ``generate``.

    python -m benchmarks.speed.audio_language_sweep [--clips 4] [--tokens 30]

A Qwen2-Audio with random weights (an encoder of Whisper-tiny's size, a language model of four
layers, 384 wide) hears clips of ten seconds: 250 places of audio and a prompt. capfix's trials are
those of its diagnosis, encoding included; ``generate`` of transformers gets the same processed
features and decodes as nearly alike as it can (it knows no contrast and does less work there).
Seconds are of this process's CPU, on one thread. At most .3 of ``generate`` is asked for.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.result_files import write_result
from benchmarks.zoo.audio_language_parts import CHATML, library, make_tokenizer, save_folder
from capfix_cli.captioners.loading import load
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.fixes.decoding_fixes import DECODING_FIXES

SECONDS, RATE, WORDS = 10, 16_000, 4_000
MOST = 0.3  # of generate's time


def save_model(folder: Path) -> Path:
    """Save the model that is measured."""
    names = library()
    tokenizer = make_tokenizer("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
    place = tokenizer.convert_tokens_to_ids("<|AUDIO|>")
    config = names.Qwen2AudioConfig(
        audio_config={
            "model_type": "qwen2_audio_encoder",
            "d_model": 384,
            "encoder_layers": 4,
            "encoder_attention_heads": 6,
            "encoder_ffn_dim": 1536,
            "num_mel_bins": 80,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": WORDS,
            "hidden_size": 384,
            "intermediate_size": 1024,
            "num_hidden_layers": 4,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "initializer_range": 0.1,
        },
        audio_token_id=place,
        audio_token_index=place,
    )
    torch.manual_seed(0)
    processor = names.Qwen2AudioProcessor(
        names.WhisperFeatureExtractor(feature_size=80),
        tokenizer,
        chat_template=CHATML.replace("AUDIO", "<|audio_bos|><|AUDIO|><|audio_eos|>"),
    )
    return save_folder(folder, names.Qwen2AudioForConditionalGeneration(config), processor)


def list_trials() -> list[DecodingOptions]:
    """Give twelve ways of decoding: those that a diagnosis tries, and two more."""
    trials = [fix.options for fix in DECODING_FIXES.values()]
    trials += [DecodingOptions(num_beams=3), DecodingOptions(do_sample=True, min_p=0.1)]
    trials += [DecodingOptions(num_beams=2), DecodingOptions(do_sample=True, top_k=50)]
    return trials[:12]


def as_generate(options: DecodingOptions) -> dict[str, Any]:
    """Spell options as transformers does, what it has no word for left out."""
    known = options.to_dict()
    for own in ("contrast", "contrast_cutoff", "contrast_against", "num_beam_groups"):
        known.pop(own, None)
    for own in ("diversity_penalty", "rerank", "num_candidates"):
        known.pop(own, None)
    if known.get("do_sample"):
        known.setdefault("top_k", 0)
    return known


def timed(work: Callable[[], Any]) -> float:
    """Seconds of this process's CPU."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=30)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place, torch.inference_mode():
        captioner: Any = load(str(save_model(Path(place) / "model"))).captioner
        captioner.max_length = given.tokens
        generator = torch.Generator().manual_seed(0)
        waveforms = 0.1 * torch.randn(given.clips, SECONDS * RATE, generator=generator)
        lengths = torch.full((given.clips,), SECONDS * RATE)
        trials = list_trials()
        names = tuple(map(str, range(given.clips)))

        def ours() -> None:
            chunk = EncodedBatch(names, captioner.encode(waveforms, lengths))
            for options in trials:
                decode(captioner, chunk, options, 0)

        fed: dict[str, Tensor] = captioner._fed(waveforms, lengths)
        mine, each = timed(ours), {}
        print(f"{len(trials)} trials: {mine:.1f} s", flush=True)
        for options in trials:
            known = {"min_new_tokens": given.tokens, **as_generate(options)}
            call = partial(captioner.module.generate, **fed, max_new_tokens=given.tokens, **known)
            each[options.describe()] = timed(call)
            print(
                f"    generate, {options.describe()}: {each[options.describe()]:.1f} s", flush=True
            )
    theirs = sum(each.values())
    ratio = mine / theirs
    print(f"{len(trials)} trials: {mine:.1f} s, generate {theirs:.1f} s: {ratio:.3f} of it")
    figures = {
        "clips": given.clips,
        "tokens": given.tokens,
        "trials": len(trials),
        "seconds": round(mine, 2),
        "generate_seconds": round(theirs, 2),
        "ratio": round(ratio, 3),
        "most": MOST,
        "generate": {name: round(value, 2) for name, value in each.items()},
    }
    print(write_result("speed/audio_language_sweep", figures))


if __name__ == "__main__":
    main()
