"""Whatever is drawn follows the seed: the captioner's generators, named streams and orders."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from capfix_cli.core import randomness
from capfix_cli.core.randomness import drawn_order, seeded, stream, torch_seed

PACKAGE = Path(randomness.__file__).parents[1]


def test_draws_depend_on_the_seed_alone_and_leave_no_trace():
    torch.manual_seed(5)
    untouched = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1):
        first = torch.rand(3)
    assert torch.equal(torch.rand(3), untouched)
    with seeded(1):
        again = torch.rand(3)
    with seeded(2):
        other = torch.rand(3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


# stream -> what it is about, and the key that version 0.1's figures, worlds and trainings used
KEYS = {
    "measures.bootstrap": ((90,), [7, 90]),
    "measures.halves": ((90,), [7, 90]),
    "measures.top-counts": ((90, 5), [7, 90, 5]),
    "compression.order": ((), [7, 1]),
    "pairwise-bleu.order": ((), [7, 2]),
    "vendi.probes": ((), [7, 3]),
    "vendi.captions": ((), [7, 4]),
    "vendi.tried": ((), [7, 5]),
    "reference-listening.pairing": ((90,), [7, 90, 3]),
    "reference-listening.pool": ((90,), [7, 90, 5]),
    "reference-listening.bootstrap": ((90,), [7, 90, 7]),
    "captions.judged-reference": ((90,), [7, 90, 11]),
    "paired.bootstrap": ((90,), [7, 90, 13]),
    "paired.halves": ((90,), [7, 90, 15]),
    "references.one-a-clip": ((), [7, 17]),
    "bleu.bootstrap": ((90,), [7, 90, 19]),
    "measure.sample": ((), [7, 23]),
    "imbalance.draws": ((90,), [7, 90, 23]),
    "shifted-pairs.distances": ((90,), [7, 90, 29]),
    "memorisation.pairs": ((90,), [7, 90, 31]),
    "world.pairs": ((), [7, 0]),
    "world.scenes": ((2,), [7, 1, 2]),
    "world.sounds": ((2, 4), [7, 2, 2, 4]),
    "training.caption": ((3,), [7, 41, 3]),
    "training.order": ((3,), [7, 43, 3]),
    "augment.alteration": ((1, 97), [7, 47, 1, 97]),
    "augment.synonyms": ((4,), [7, 53, 4]),
    "training.variant": ((3, 4), [7, 59, 3, 4]),
    "training.mask": ((3, 4), [7, 61, 3, 4]),
    "training.mix": ((3, 4), [7, 67, 3, 4]),
    "training.step": ((8, 0), [7, 71, 8, 0]),
}


def test_every_stream_is_the_one_that_published_figures_were_drawn_by():
    assert set(KEYS) == {*randomness._AFTER, *randomness._BEFORE}
    for name, (about, key) in KEYS.items():
        drawn = stream(7, name, *about).random(4)
        assert np.array_equal(drawn, np.random.default_rng(key).random(4)), name
        assert np.array_equal(drawn, stream(7, name, *about).random(4)), name
        assert not np.array_equal(drawn, stream(8, name, *about).random(4)), name
    assert torch_seed(7, "training.step", 8, 0) == (
        int(np.random.SeedSequence([7, 71, 8, 0]).generate_state(1, np.uint64)[0]) >> 1
    )
    with pytest.raises(KeyError):
        stream(7, "no such stream")


def test_every_stream_is_drawn_from_in_one_place():
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py")))
    for name in KEYS:
        assert len(re.findall(rf'(?:stream|torch_seed)\([^")]*"{name}"', text)) == 1, name


def test_an_order_depends_on_each_name_and_the_seed_alone():
    names = [f"{number}.wav" for number in range(50)] + ["\udcff.wav"]
    order = [names[place] for place in drawn_order(names, 3)]
    assert sorted(order) == sorted(names)
    assert [names[::-1][place] for place in drawn_order(names[::-1], 3)] == order
    fewer = [name for name in names if name != order[10]]
    assert [fewer[place] for place in drawn_order(fewer, 3)] == order[:10] + order[11:]
    assert drawn_order(names, 3) != drawn_order(names, 4)
    assert drawn_order(names, 3) != drawn_order(names, 3, "absent")
    assert drawn_order(["a", "b", "c"], 0) == [2, 0, 1]
    assert drawn_order([], 0) == []
