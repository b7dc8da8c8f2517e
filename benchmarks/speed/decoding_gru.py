"""What decoding costs a GRU captioner beyond the matrix products that it cannot do without.

The products are those of each step, on tensors of the same shapes, the same number of times: the
word and what is heard into the gates, the state into the gates, the state into the vocabulary.
Sizes are those of usual captioners on Clotho (4,368 words) and AudioCaps. Both are run in turn and
the median of the pairs' ratios is printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.captioners.own.own_config import CaptionerConfig, EncoderConfig
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import GREEDY, DecodingOptions

STEPS = 22  # words and end of a long Clotho caption
SIZES = ((64, 512, 256, 4368), (64, 256, 256, 1500), (256, 512, 256, 4368))
WAYS = {
    "greedy": GREEDY,
    "top-p": DecodingOptions(do_sample=True, temperature=0.8, top_p=0.9),
}


def captioner(hidden: int, width: int, words: int) -> OwnCaptioner:
    """Build one that never ends, so that every caption costs all steps."""
    config = CaptionerConfig(
        encoder=EncoderConfig(depth=2, channels=8, width=width, pooling="frequency"),
        conditioning="every-step",
        embedding=width,
        hidden=hidden,
        max_length=STEPS,
    )
    vocabulary = [*SPECIAL, *(f"w{i}" for i in range(words - len(SPECIAL)))]
    made = OwnCaptioner(config, vocabulary)
    made.module.eval()
    with torch.no_grad():
        made.module.decoder.out.bias[made.eos_id] = -1e4
    return made


def products(clips: int, hidden: int, width: int, words: int) -> Callable[[], None]:
    """Give the bare products of a whole decoding."""
    state, word = torch.randn(clips, hidden), torch.randn(clips, 2 * width)
    w_in, w_state = torch.randn(3 * hidden, 2 * width), torch.randn(3 * hidden, hidden)
    w_out = torch.randn(words, hidden)

    def run() -> None:
        for _ in range(STEPS):
            torch.nn.functional.linear(word, w_in)
            torch.nn.functional.linear(state, w_state)
            torch.nn.functional.linear(state, w_out)

    return run


def timed(work: Callable[[], object]) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@torch.inference_mode()
def main() -> None:
    """Run in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    for clips, hidden, width, words in SIZES:
        model = captioner(hidden, width, words)
        memory = model.encode(torch.randn(clips, 16_000) * 0.1, torch.full((clips,), 16_000))
        chunk = EncodedBatch(tuple(map(str, range(clips))), memory)
        bare = products(clips, hidden, width, words)
        print(f"{clips} clips, GRU {hidden}, {words} words, {STEPS} steps")
        for name, options in WAYS.items():
            ours = partial(decode, model, chunk, options, 0)
            pairs = [(timed(ours), timed(bare)) for _ in range(runs + 2)][2:]
            ratio = statistics.median(one / other for one, other in pairs)
            mine, theirs = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
            print(f"    {name:8s} {mine:7.1f} ms, products {theirs:7.1f} ms: ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
