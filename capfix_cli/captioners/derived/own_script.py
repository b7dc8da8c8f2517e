"""``--generate MODULE:FUNCTION``: the user's own captioning script, called as it wants to be."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.derived.audio_forms import forms_of
from capfix_cli.captioners.derived.programs import own_captions
from capfix_cli.captioners.derived.roles import (
    Assignment,
    assignments,
    guessed_role,
    parameters_of,
)
from capfix_cli.captioners.derived.vocabulary_forms import VocabularyObject
from capfix_cli.checkpoints.vocabulary import Vocabulary
from capfix_cli.core.errors import CapfixError

_PATH = re.compile(r"path|file|fname|name|pfad|datei|fn$", re.I)
_WEIGHTS = re.compile(r"ckpt|checkpoint|weights|gewichte", re.I)


class OwnScript:
    """A function that says what the user's script says of a clip.

    It may take the clip's path, its waveform or its features, beside the network and the words;
    which of these it takes is found on the first clip.

    Args:
        function: the user's.
        name: of it, for messages.
        captioner: whose network and features it may want.
        checkpoint: path of the weights, which it may want too.
    """

    def __init__(
        self, function: Callable[..., Any], name: str, captioner: Captioner, checkpoint: str
    ) -> None:
        self.function, self.name = function, name
        self.captioner, self.checkpoint = captioner, checkpoint
        self._way: tuple[str, Assignment, int] | None = None

    def caption(self, path: Path, waveform: Tensor) -> str:
        """Say what it says of one clip.

        Args:
            path: of the clip's file.
            waveform: [samples] at the captioner's rate.

        Raises:
            CapfixError: it takes none of a path, a waveform and features, or gave no caption.
        """
        if self._way is not None:
            kind, assignment, form = self._way
            given = dict(self._audio(path, waveform, kind))[form]
            said = self._said(assignment, given)
            if said is None:
                raise CapfixError(
                    f"{self.name} gave no caption of {path.name}.", "It must give text or ids."
                )
            return said
        last: Exception | None = None
        for kind in self._kinds():
            for assignment in self._assignments():
                for form, given in self._audio(path, waveform, kind):
                    try:
                        said = self._said(assignment, given)
                    except Exception as error:
                        last = error
                        continue
                    if said is not None:
                        self._way = (kind, assignment, form)
                        return said
        told = "" if last is None else f" The last try failed with {type(last).__name__}: {last}."
        raise CapfixError(
            f"{self.name} gave a caption neither of a path, nor of a waveform, nor of"
            f" features.{' '.join(told.split(chr(10)))[:300]}",
            "Name a function: one clip -> its caption, as text or ids.",
        )

    def _kinds(self) -> tuple[str, ...]:
        first = next((name for name in parameters_of(self.function)), "")
        paths = any(_PATH.search(name) for name in parameters_of(self.function)) or not first
        return ("path", "features", "waveform") if paths else ("features", "waveform", "path")

    def _assignments(self) -> Iterator[Assignment]:
        parameters = parameters_of(self.function)
        wants = [name for name in parameters if guessed_role(name) == "network"]
        for name in [*wants, None]:
            rest = {other: one for other, one in parameters.items() if other != name}
            for found in assignments(rest, words=False):
                yield found if name is None else {name: "network", **found}

    def _audio(self, path: Path, waveform: Tensor, kind: str) -> Iterator[tuple[int, Any]]:
        if kind == "path":
            yield from enumerate((str(path), [str(path)]))
        elif kind == "waveform":
            yield from enumerate((waveform, waveform[None], waveform.numpy()))
        else:
            with contextlib.suppress(NotImplementedError):
                features, frames = self.captioner.features(
                    waveform[None], torch.tensor([len(waveform)])
                )
                clip = features[:, : int(frames[0])]
                forms = forms_of(clip.ndim - 1, turned=False, alone=True)
                yield from enumerate(form.arrange(clip) for form in forms)

    def _said(self, assignment: Assignment, audio: Any) -> str | None:
        captioner = self.captioner
        words = Vocabulary(
            tuple(captioner.vocabulary),
            captioner.bos_id,
            captioner.eos_id,
            captioner.pad_id,
            captioner.unk_id,
        )
        values: Mapping[str, Any] = {
            "audio": audio,
            "network": captioner.module,
            "vocabulary": VocabularyObject(words),
            "limit": captioner.max_length,
            "start": captioner.bos_id,
            "end": captioner.eos_id,
            "pad": captioner.pad_id,
            "beams": 1,
            "temperature": 1.0,
            "device": torch.device("cpu"),
        }
        given = {
            name: self.checkpoint
            if re.search("ckpt|checkpoint|weights", name, re.I)
            else values[role]
            for name, role in assignment.items()
            if role in values
        }
        with contextlib.redirect_stdout(sys.stderr), torch.no_grad():
            result = self.function(**given)
        said = own_captions(result, 1, len(words))
        if said is None:
            return None
        return as_text(said[0], captioner)


def as_text(said: list[int] | str, captioner: Captioner) -> str:
    """Write what a user's captioning gave as a caption: ids up to the end token, or text."""
    if not isinstance(said, str):
        ids = said[1:] if said[:1] == [captioner.bos_id] else said
        ids = ids[: ids.index(captioner.eos_id)] if captioner.eos_id in ids else ids
        return captioner.detokenize(ids)
    special = (captioner.bos_id, captioner.eos_id, captioner.pad_id)
    dropped = {captioner.vocabulary[i] for i in special if i is not None}
    return " ".join(word for word in said.split() if word not in dropped)
