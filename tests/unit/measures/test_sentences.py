"""Captions that are no sentences are seen, and people are never so called."""

from __future__ import annotations

from pathlib import Path

import pytest

from capfix_cli.captions.caption_layouts import read_captions
from capfix_cli.measures.caption_tokens import tokenise
from capfix_cli.measures.sentences import judge_sentences, looping

PUBLISHED = Path(__file__).parents[3].parent / "shared" / "data" / "captions"
GOOD = ["a dog barks at a car", "rain falls on a roof", "a man talks while water runs"]


@pytest.mark.parametrize(
    ("caption", "kind"),
    [
        ("", "empty"),
        (" . ", "empty"),
        ("rain rain rain", "looping"),
        ("a man is a a dog", "looping"),
        ("birds sing and birds sing and water runs", "looping"),
        ("a dog barks and a", "broken_off"),
        ("a dog <unk> at night", "special_tokens"),
        ("a dog [PAD] [PAD] at night", "special_tokens"),
        ("<|nospeech|> a dog", "special_tokens"),
    ],
)
def test_what_is_no_sentence_is_named(caption, kind):
    found = judge_sentences([*GOOD, caption])
    assert found.kinds == {kind: 0.25}
    assert found.examples == {kind: caption}
    assert found.are  # one in four
    assert not judge_sentences([caption] * 3 + GOOD).are


@pytest.mark.parametrize(
    "caption",
    [
        "knock knock",
        "a car drives by",
        "birds chirp, and birds sing",
        "an engine is turned on",
        "雨",
    ],
)
def test_sentences_of_people_are_none_of_it(caption):
    assert not judge_sentences([caption] * 20).kinds


def test_captions_that_never_end_are_no_sentences():
    found = judge_sentences(GOOD, [False, False, True])
    assert not found.are
    assert found.told == "67 % never end"


def test_references_say_how_captions_end_and_how_long_they_are():
    people = [[f"the kettle number {n} is on", f"und ein hund {n} bellt"] for n in range(40)]
    long = "a dog barks " + "near to the old house by the sea in the rain"
    found = judge_sentences([long, "a kettle is on"], None, people)
    assert found.kinds == {"too_long": 0.5}
    # "ein" stands in them often, before many words, and never last: no English list knows it.
    told = [[f"ein {noun} bellt und ein {noun} miaut"] for noun in map(str, range(200))]
    assert judge_sentences(["ein hund bellt und ein"], None, told).kinds == {"broken_off": 1.0}
    assert not judge_sentences(["ein hund bellt und ein"]).kinds
    # Where people end so, it is no fault.
    ending = [["the dog is what the cat was and"]] * 60
    assert not judge_sentences(["the dog and"], None, ending).kinds


def test_what_references_have_is_not_asked_of_a_captioner():
    loops = [["tick tick tick goes the clock"], ["a dog barks"]] * 30
    assert judge_sentences(["tick tick tick", "a dog barks"] * 10, None, loops).are
    assert judge_sentences(["tick tick tick", "a dog barks"] * 10, None, loops).axis.threshold < 0.4
    assert not judge_sentences(["tick tick tick", "a dog barks"] * 10).are


def test_loops_do_not_reach_into_the_next_caption():
    assert (
        looping(tokenise(["rain", "rain", "rain rain", "a dog", "a dog"])).tolist() == [False] * 5
    )
    assert looping(tokenise([])).tolist() == []
    assert looping(tokenise(["", ""])).tolist() == [False, False]


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published captions are not here")
def test_published_captions_are_sentences():
    files = sorted(PUBLISHED.glob("*.csv"))
    assert len(files) >= 6
    for path in files:
        table = read_captions(path)
        texts = [caption.text for caption in table.captions]
        for people in (table.references, None):
            found = judge_sentences(texts, None, people)
            assert found.are, path
            assert not found.axis.close, path
            assert found.axis.value > 0.9, path
