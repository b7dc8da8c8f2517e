"""Proof of identity: the user's captions and loss beside what capfix reads of the same model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.contract.contract_check import check_contract
from capfix_cli.captioners.derived.own_script import OwnScript
from capfix_cli.captions.own_captions import compare_captions
from capfix_cli.core.errors import CapfixError
from capfix_cli.diagnosis.own_loss import LossCheck, read_number


def test_captions_are_compared_by_their_words() -> None:
    same = compare_captions({"a": "A dog barks."}, {"a": "a dog barks", "b": "rain"}, "mine.csv")
    assert (same.compared, same.equal, same.parted) == (1, 1, ())
    assert same.sentence == "These are your captions: 1 of 1 (mine.csv)"
    parts = compare_captions(
        {"a": "a dog barks", "b": "rain falls"},
        {"a": "a cat barks", "b": "rain falls hard"},
        "mine.csv",
    )
    assert parts.equal == 0
    assert [row.word for row in parts.parted] == [2, 3]
    assert "0 of 2" in parts.sentence
    assert "part at word 2" in parts.sentence


def test_a_loss_is_known_by_any_of_the_usual_averages() -> None:
    values = {"a token": 2.3149, "a caption": 20.1}
    near = LossCheck(captions=9, values=values, yours=2.31, decimals=2)
    assert near.same == "a token"
    assert "capfix's, a token" in near.sentence
    far = LossCheck(captions=9, values=values, yours=4.4, decimals=1)
    assert far.same is None
    assert "scores other than training did" in far.sentence
    with pytest.raises(CapfixError, match="--loss x is no number"):
        read_number("x")


class Fixed(Captioner):
    """Says words by the first sample; its front end is as a test wants it."""

    sample_rate = 1000
    vocabulary = ("<s>", "</s>", "dog", "cat")
    bos_id, eos_id = 0, 1

    def __init__(self, given: object = None) -> None:
        self.given = given

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        if self.given is not None:
            return self.given(waveforms, lengths)  # type: ignore[operator,no-any-return]
        return waveforms[:, ::10, None], (lengths + 9) // 10

    def encode_features(self, features: Tensor, lengths: Tensor) -> Tensor:
        return features.mean((1, 2))[:, None]

    def logits(self, prefix: Tensor, memory: Tensor) -> Tensor:
        return torch.cat([memory * 0, memory * 0, memory, -memory], 1) + prefix[:, -1:] * 0.1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda w, n: w[:, ::10, None], "gave a Tensor, not"),
        (lambda w, n: (w[:, ::10, None], n.tolist()), "gave Tensor and list"),
        (lambda w, n: (w[:, ::10, None].transpose(0, 1), n // 10), "does not count the 3 clips"),
        (lambda w, n: (w[:, ::10, None], n / 10), "whole numbers of frames"),
        (lambda w, n: (w[:, ::10, None], n), "lengths must be in frames"),
    ],
)
def test_a_front_end_must_give_a_tensor_and_lengths_in_frames(given: object, told: str) -> None:
    clause = next(one for one in check_contract(Fixed(given)) if one.name == "features")
    assert not clause.kept
    assert told in clause.what


def test_a_sound_front_end_keeps_the_clause() -> None:
    clause = next(one for one in check_contract(Fixed()) if one.name == "features")
    assert clause.kept
    assert clause.what == "[3, 400, 1], lengths in frames"


def by_path(path: str) -> str:
    return "dog" if Path(path).name == "a.wav" else "cat"


def by_samples_and_words(x: Tensor, vocab: object) -> list[int]:
    if x.ndim != 1:
        raise ValueError("one clip")
    return [2 if float(x[0]) > 0 else 3, 1, 1]


@pytest.mark.parametrize("function", [by_path, by_samples_and_words])
def test_a_script_is_called_as_it_wants_to_be(function: object) -> None:
    script = OwnScript(function, "mine", Fixed(), "x.pt")  # type: ignore[arg-type]
    assert script.caption(Path("a.wav"), torch.ones(50)) == "dog"
    assert script.caption(Path("b.wav"), -torch.ones(50)) == "cat"


def test_a_script_that_fails_is_told_with_its_error() -> None:
    def broken(path: str) -> str:
        raise OSError("no weights here")

    with pytest.raises(CapfixError, match="no weights here"):
        OwnScript(broken, "mine", Fixed(), "x.pt").caption(Path("a.wav"), torch.ones(50))
