"""Verdicts on published outputs, whole and subsampled, as often right as the project promises."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import real_data

from benchmarks.accuracy import verdicts

SEEDS = 20
LEAST = {50: 0.95, 100: 0.99, 200: 0.99, 400: 0.99}


@pytest.mark.slow
def test_verdicts_are_right_at_every_size():
    folder = real_data("captions")
    wrong, judged = [], 0
    right: dict[int, list[float]] = {size: [] for size in LEAST}
    for case in verdicts.cases(folder):
        for with_references in (True, False):
            if case.audible and not with_references:
                continue
            everything = range(len(case.captions))
            whole = verdicts.verdict(case, everything, 0, with_references=with_references)
            assert whole == case.verdict, case.name
            judged += 1
            for size, least in LEAST.items():
                seeds = SEEDS if size < 200 else SEEDS // 4  # they hardly vary, and take longest
                share = verdicts.accuracy(case, size, seeds, with_references=with_references)
                right[size].append(share)
                if share < least:
                    wrong.append((case.name, size, share))
    assert judged == 17
    assert not wrong
    for size, least in LEAST.items():
        assert sum(right[size]) / len(right[size]) >= least


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [10, 64])
def test_a_closed_world_is_no_collapse(kinds):
    world = [f"{'loud' if n % 2 else 'quiet'} sound of kind{n % kinds}" for n in range(300)]
    told = [[text, text] for text in world]  # people say the same sentences
    varied = [[text, f"a {text}"] for text in world]  # people have two for each
    cases = [
        (verdicts.Case("own", "healthy", world, told), {"healthy"}),
        (verdicts.Case("plain", "healthy", world, varied), {"healthy", "generic"}),
        (verdicts.Case("same", "collapsed", [world[0]] * 300, varied), {"collapsed"}),
        (
            verdicts.Case("moved", "ungrounded", world[7:] + world[:7], told),
            {"ungrounded"},
        ),
    ]
    for case, allowed in cases:
        for size in (50, 100, 300):
            for seed in range(4):
                index = np.random.default_rng([seed, size]).permutation(300)[:size].tolist()
                found = verdicts.verdict(case, index, seed, with_references=True)
                assert found in allowed, (case.name, size, seed)


def test_references_that_are_all_the_same_judge_nobody_healthy():
    same = verdicts.Case("same", "collapsed", ["a dog"] * 60, [["a dog", "dogs"]] * 60)
    assert verdicts.accuracy(same, 50, 3, with_references=True) == 1


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, "healthy"), (0.3, "generic"), (0.9, "collapsed")]
)
def test_without_references_grave_repetition_is_told_from_bland(share, expected):
    captions = [
        "a dog barks" if n < share * 200 else f"sound {n} of kind {n * 7 % 90}" for n in range(200)
    ]
    case = verdicts.Case("mixed", expected, captions, [[]] * 200)
    for size in (50, 100, 200):
        assert verdicts.accuracy(case, size, 5, with_references=False) == 1, size
