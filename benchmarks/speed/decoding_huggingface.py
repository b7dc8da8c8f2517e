"""capfix's decoding against ``model.generate`` of transformers, on a model of Whisper-tiny's size.

Random weights, 64 clips already encoded (or ``--clips``), 30 tokens. Both are run in turn; printed
are the medians, the ratio, and on how many clips the tokens are the same. The peer's diverse beam
search left transformers, so its beam search of as many beams stands beside ours. ``--sweep`` times
twelve trials, encoding included, against twelve calls of ``generate`` on the same features.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from capfix_cli.captioners.huggingface.huggingface_captioner import HuggingFaceCaptioner
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.fixes.decoding_fixes import DECODING_FIXES

TOKENS = 30
START, END = 50_258, 50_257
WORDS = 51_865
WAYS: dict[str, tuple[DecodingOptions, dict[str, Any]]] = {
    "greedy": (DecodingOptions(), {}),
    "top-p 0.9": (
        DecodingOptions(do_sample=True, top_p=0.9),
        {"do_sample": True, "top_p": 0.9, "top_k": 0},
    ),
    "beam 5": (DecodingOptions(num_beams=5), {"num_beams": 5}),
    "diverse beam 6": (
        DecodingOptions(num_beams=6, num_beam_groups=3, diversity_penalty=0.5),
        {"num_beams": 6},
    ),
}


class Words:
    """As much of a tokenizer as decoding needs."""

    bos_token_id, eos_token_id, pad_token_id, unk_token_id = START, END, END, None
    prefix_tokens = (START,)

    def get_vocab(self) -> dict[str, int]:
        """Name every id."""
        return {f"t{i}": i for i in range(WORDS)}

    def decode(self, ids: Sequence[int], **_: object) -> str:
        """Show the ids."""
        return " ".join(map(str, ids))


def make_model() -> Any:
    """Build Whisper-tiny's architecture with random weights."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=WORDS,
        d_model=384,
        encoder_layers=4,
        decoder_layers=4,
        encoder_attention_heads=6,
        decoder_attention_heads=6,
        encoder_ffn_dim=1536,
        decoder_ffn_dim=1536,
    )
    model: Any = WhisperForConditionalGeneration(config)
    return model.eval()


def generate(model: Any, options: dict[str, Any], **inputs: Any) -> Tensor:
    """Let transformers decode; Whisper's own method is for long audio and calls the same."""
    from transformers.generation.utils import GenerationMixin

    clips = len(next(iter(inputs.values()))[0])
    inputs = {n: v[0] if n == "input_features" else v for n, v in inputs.items()}
    found: Tensor = GenerationMixin.generate(
        model,
        decoder_input_ids=torch.full((clips, 1), START),
        max_new_tokens=TOKENS,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        eos_token_id=END,
        pad_token_id=END,
        **inputs,
        **options,
    )
    return found


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one run, and what it gave."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def main() -> None:
    """Run in turn and print."""
    from transformers.modeling_outputs import BaseModelOutput

    parser = argparse.ArgumentParser()
    parser.add_argument("ways", nargs="*", default=list(WAYS), metavar="WAY")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sweep", action="store_true", help="the sweep of trials in their place")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    model = make_model()
    features = torch.randn(arguments.clips, 80, 3000)

    def inputs(waveforms: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return {"input_features": features[: len(waveforms)]}

    captioner = HuggingFaceCaptioner(copy.deepcopy(model), Words(), inputs, 16_000, [START])
    captioner.max_length, captioner.never, captioner.never_first = TOKENS, [], []
    names = tuple(map(str, range(arguments.clips)))
    with torch.inference_mode():
        if arguments.sweep:
            sweep(model, captioner, features, names)
            return
        hidden = torch.randn(arguments.clips, 1500, 384)
        chunk = EncodedBatch(names, {"hidden": hidden})
        encoded = BaseModelOutput(last_hidden_state=hidden)
        for name in arguments.ways:
            options, theirs = WAYS[name]
            runs = []
            for _ in range(arguments.runs):
                ours, found = timed(partial(decode, captioner, chunk, options, 0))
                other, tokens = timed(partial(generate, model, theirs, encoder_outputs=encoded))
                runs.append((ours, other))
                print(f"    {name}: {ours:.2f} s, generate {other:.2f} s", flush=True)
            ratio = statistics.median(other / ours for ours, other in runs)
            mine, peer = (statistics.median(times) for times in zip(*runs, strict=True))
            same = sum(
                list(c.tokens) == row[1 : 1 + len(c.tokens)]
                for c, row in zip(found, tokens.tolist(), strict=True)
            )
            print(
                f"{name}: {mine:.2f} s, generate {peer:.2f} s: {ratio:.2f} times as fast, the "
                f"same tokens for {same} of {arguments.clips}",
                flush=True,
            )


def sweep(
    model: Any, captioner: HuggingFaceCaptioner, features: Tensor, names: tuple[str, ...]
) -> None:
    """Time twelve ways of decoding over one encoding, and twelve calls of generate."""
    trials = [fix.options for fix in DECODING_FIXES.values()]
    trials += [DecodingOptions(num_beams=3), DecodingOptions(do_sample=True, min_p=0.1)]
    trials = [options for options in trials if not options.contrast] + [
        options for options in trials if options.contrast
    ]

    def ours() -> None:
        memory = captioner.encode(torch.zeros(len(names), 1), torch.ones(len(names)).long())
        for options in trials:
            decode(captioner, EncodedBatch(names, memory), options, 0)

    def theirs() -> float:
        total = 0.0
        for options in trials:
            known = options.to_dict()
            # What generate has no word for is left out: it does less work there.
            for own in ("contrast", "num_beam_groups", "diversity_penalty"):
                known.pop(own, None)
            if known.get("do_sample"):
                known.setdefault("top_k", 0)
            took, _ = timed(partial(generate, model, known, input_features=[features]))
            print(f"    generate, {options.describe()}: {took:.1f} s", flush=True)
            total += took
        return total

    mine, _ = timed(ours)
    print(f"{len(trials)} trials: {mine:.1f} s", flush=True)
    peer = theirs()
    print(f"{len(trials)} trials: {mine:.1f} s, generate {peer:.1f} s: {mine / peer:.3f} of it")


if __name__ == "__main__":
    main()
