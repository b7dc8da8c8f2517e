"""CIDEr-D and BLEU equal those of aac-metrics; other metrics come from it."""

from __future__ import annotations

import random

import numpy as np
import pytest
from conftest import real_data

from capfix_cli.captions.caption_layouts import read_captions
from capfix_cli.measures.cider import CiderD
from capfix_cli.measures.reference_bleu import bleu, bleu_statistics

aac = pytest.importorskip(
    "aac_metrics", reason="aac-metrics is not installed: pip install 'capfix[metrics]'"
)
pytestmark = pytest.mark.filterwarnings("ignore")


def check(captions, references):
    from aac_metrics.functional.bleu import bleu as their_bleu
    from aac_metrics.functional.cider_d import cider_d

    said = [text.split() for text in captions]
    people = [[text.split() for text in texts] for texts in references]
    _, theirs = cider_d(captions, references)
    assert CiderD(said, people).scores() == pytest.approx(theirs["cider_d"].numpy(), abs=1e-9)
    corpus, clips = their_bleu(captions, references, return_1_to_n=True)
    statistics = bleu_statistics(said, people)
    assert bleu(statistics.sum(axis=0)) == pytest.approx(corpus["bleu_1_to_4"].numpy(), abs=1e-9)
    assert bleu(statistics) == pytest.approx(clips["bleu_1_to_4"].numpy().T, abs=1e-9)


def test_on_random_sentences():
    generator = random.Random(0)

    def sentence():
        return " ".join(generator.choice("abcd") for _ in range(generator.randint(0, 9)))

    for _ in range(100):
        total = generator.randint(2, 8)
        references = [[sentence() for _ in range(generator.randint(1, 3))] for _ in range(total)]
        if any(text for texts in references for text in texts):
            check([sentence() for _ in range(total)], references)


@pytest.mark.parametrize("name", ["conette_audiocaps_test", "aac_metrics_example_1"])
def test_on_published_captions(name):
    table = read_captions(real_data("captions") / f"{name}.csv")
    check([caption.text for caption in table.captions], table.references)


def test_the_bridge_gives_aac_metrics_values_with_intervals():
    from capfix_cli.measures.external_metrics import field_metrics

    captions = ["a man is speaking", "rain falls", "a dog barks"] * 4
    references = [["a man speaks", "someone speaks"], ["rain is falling"], ["a dog barks"]] * 4
    table = field_metrics(("rouge_l", "cider_d"), captions, references, 0)
    assert table["rouge_l"].low <= table["rouge_l"].value <= table["rouge_l"].high
    words = [text.split() for text in captions]
    people = [[text.split() for text in texts] for texts in references]
    assert table["cider_d"].value == pytest.approx(float(np.mean(CiderD(words, people).scores())))
