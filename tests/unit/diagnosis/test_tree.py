"""Every branch of the decision tree, walked with a tiny real captioner."""

from __future__ import annotations

import pytest

from benchmarks.zoo import toys
from capfix_cli.api import run_diagnosis
from capfix_cli.audio.clip_sample import PROBED
from capfix_cli.captioners.loading import Loaded, facts
from capfix_cli.decoding.encode_pass import encode_and_caption
from capfix_cli.diagnosis.decision_tree import (
    LEAVES,
    NODES,
    NOT_ASKED,
    ROOT,
    TRIALS_OF,
    Observations,
    walk,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.verdict import Decision
from capfix_cli.fixes.decoding_fixes import DECODING_FIXES
from capfix_cli.schemas.diagnosis_record import ModelSummary


def walked(rule, folder, references=None):
    captioner = rule if isinstance(rule, toys.Toy) else toys.Toy(rule)
    heard = encode_and_caption(captioner, str(folder), batch_size=8, seed=0)
    loaded = Loaded(captioner, ModelSummary("toy", "adapter", None, None, facts(captioner, {})))
    return run_diagnosis(DiagnosisContext(loaded=loaded, clips=heard, references=references))


BRANCHES = [
    (toys.healthy, "healthy", ["integrity:no", "same-caption:no", "healthy"]),
    (
        toys.hidden_by_search,
        "collapsed",
        ["integrity:no", "same-caption:yes", "first-decoding:yes", "keep-and-tune"],
    ),
    (
        toys.needs_contrast,
        "collapsed",
        [
            *("integrity:no", "same-caption:yes", "first-decoding:no"),
            *("other-decoding:yes", "keep-other"),
        ],
    ),
    (
        toys.deaf,
        "collapsed",
        [
            *("integrity:no", "same-caption:yes", "first-decoding:no"),
            *("other-decoding:no", "retrain"),
        ],
    ),
    (
        toys.bland_until_sampled,
        "generic",
        ["integrity:no", "same-caption:generic", "generic-decoding:yes", "keep-other"],
    ),
    (
        toys.bland,
        "generic",
        ["integrity:no", "same-caption:generic", "generic-decoding:no", "attention"],
    ),
    (
        toys.Looping(toys.own_words_in_order),
        "degenerate",
        [
            *("integrity:no", "same-caption:degenerate"),
            *("degenerate-decoding:yes", "keep-other"),
        ],
    ),
    (
        toys.Unending(toys.healthy),
        "degenerate",
        ["integrity:no", "same-caption:degenerate", "degenerate-decoding:no", "sentences"],
    ),
    (toys.Endless(toys.healthy), "degenerate", ["integrity:yes", "repair:yes", "keep-repair"]),
    (toys.broken, "collapsed", ["integrity:yes", "repair:no", "repair-first"]),
]


def path_of(examined):
    *steps, leaf = examined.walk.steps
    return [*(f"{step.node}:{step.answer}" for step in steps), leaf.node]


@pytest.mark.parametrize(
    ("rule", "verdict", "path"), BRANCHES, ids=lambda x: getattr(x, "__name__", "")
)
def test_branch(rule, verdict, path, tmp_path):
    examined = walked(rule, toys.write_clips(tmp_path / "clips"))
    assert path_of(examined) == path
    assert examined.decision.verdict == verdict
    assert all(step.evidence for step in examined.walk.steps[:-1])


def test_branches_above_are_all_there_are():
    taken = {step for _, _, path in BRANCHES for step in path}
    every = {f"{node.id}:{answer}" for node in NODES.values() for answer in node.edges} | set(
        LEAVES
    )
    # What is not asked is walked below.
    assert taken == {step for step in every if not step.endswith(f":{NOT_ASKED}")} - {"look-inside"}
    assert all(
        end in NODES or end in LEAVES for node in NODES.values() for end in node.edges.values()
    )
    assert ROOT in NODES
    assert {name for names in TRIALS_OF.values() for name in names} <= set(DECODING_FIXES)


@pytest.mark.parametrize(
    ("verdict", "path"),
    [
        ("collapsed", ["first-decoding", "other-decoding"]),
        ("ungrounded", ["first-decoding", "other-decoding"]),
        ("generic", ["generic-decoding"]),
        ("degenerate", ["degenerate-decoding"]),
    ],
)
def test_what_cannot_be_asked_for_is_no_answer(verdict, path):
    decision = Decision(verdict, differ=False, decides=False, evidence=())

    def made(name):
        raise AssertionError(name)

    walked = walk(
        Observations(
            faults="", fault_evidence=(), decision=decision, run_trial=made, blocked=str.upper
        )
    )
    answers = {step.node: step.answer for step in walked.steps}
    assert [node for node, answer in answers.items() if answer == NOT_ASKED] == path
    assert walked.leaf.id == "look-inside"
    assert not walked.leaf.retrain


def test_copies_of_one_clip_are_found_before_the_captioner_is_blamed(tmp_path):
    examined = walked(toys.healthy, toys.write_clips(tmp_path / "clips", copies=True))
    assert path_of(examined) == ["integrity:yes", "repair:no", "repair-first"]
    assert [cause.id for cause in examined.causes] == ["input.duplicate-audio"]
    assert examined.plan[0].priority == 0
    assert examined.plan[0].status == "needed"
    assert examined.trials == ()


def test_broken_scores_are_diagnosed_and_nothing_is_tried(tmp_path):
    examined = walked(toys.broken, toys.write_clips(tmp_path / "clips"))
    assert examined.listening is None
    assert examined.trials == ()
    assert [cause.id for cause in examined.causes] == ["weights.missing"]
    assert "Restore" in examined.plan[0].reason


def test_hot_sampling_of_a_deaf_captioner_is_rejected_for_what_it_is(tmp_path):
    examined = walked(toys.deaf, toys.write_clips(tmp_path / "clips"))
    hot = next(trial for trial in examined.trials if trial.name == "temperature 1.5")
    assert hot.verdict == "ungrounded"
    assert not hot.kept
    assert hot.reason.startswith("diverse, not listening")
    needed = [row.fix for row in examined.plan if row.status == "needed"]
    assert needed == ["2.1", "2.2", "3.1"]


def test_a_search_that_hides_the_audio_is_the_cause(tmp_path):
    examined = walked(toys.hidden_by_search, toys.write_clips(tmp_path / "clips"))
    assert [cause.id for cause in examined.causes] == ["decoding.search"]
    assert examined.best is not None
    assert examined.best.kept


def test_wrong_references_take_the_verdict_down(tmp_path):
    folder = toys.write_clips(tmp_path / "clips")
    own = [f"word{toys.COMMON + toys.VARIANTS * n}" for n in range(toys.CLIPS)]
    right = {f"{n:02d}.wav": [own[n]] for n in range(toys.CLIPS)}
    wrong = {f"{n:02d}.wav": [own[(n + 7) % toys.CLIPS]] for n in range(toys.CLIPS)}
    assert walked(toys.healthy, folder, right).decision.verdict == "healthy"
    assert walked(toys.healthy, folder, wrong).decision.verdict == "ungrounded"


def test_trials_encode_nothing_and_experiments_a_bounded_sample(tmp_path):
    class Counting(toys.Toy):
        encoded = 0

        def encode(self, waveforms, lengths):
            self.encoded += len(lengths)
            return super().encode(waveforms, lengths)

    captioner = Counting(toys.deaf)
    heard = encode_and_caption(
        captioner, str(toys.write_clips(tmp_path / "clips")), batch_size=8, seed=0
    )
    loaded = Loaded(captioner, ModelSummary("toy", "adapter", None, None, {}))
    assert len(run_diagnosis(DiagnosisContext(loaded=loaded, clips=heard)).trials) == 10
    once = captioner.encoded - toys.CLIPS
    assert once <= 8 * PROBED
    assert run_diagnosis(DiagnosisContext(loaded=loaded, clips=heard)).trials
    assert captioner.encoded - toys.CLIPS == 2 * once
