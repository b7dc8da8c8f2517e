"""``--caption-function MODULE:NAME``: a person's function from clips to text."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from capfix_cli.captioners.text.function_calls import (
    CallForm,
    FunctionSignature,
    arguments,
    read_signature,
)
from capfix_cli.captioners.text.text_captioner import (
    CallFailed,
    GivenClip,
    TextAnswer,
    TextCaptioner,
    Wish,
    as_answers,
    as_text,
)
from capfix_cli.captioners.text.user_function import (
    TookTooLongError,
    import_function,
    time_limit,
    told_of,
)
from capfix_cli.captioners.text.wav_files import ClipFiles
from capfix_cli.checkpoints.formats.file_stamp import stamp_of
from capfix_cli.core.errors import CapfixError

# Decoding options that a function may take by their names; of anything else it is not asked.
DECODING = frozenset(
    (
        *("do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p", "num_beams"),
        *("num_beam_groups", "diversity_penalty", "length_penalty", "repetition_penalty"),
        *("no_repeat_ngram_size", "min_new_tokens", "max_new_tokens"),
    )
)


class FunctionCaptioner(TextCaptioner):
    """A function that takes one clip or a list, as paths or as waveforms, and returns text.

    How it is called is read from its annotations and names; what these leave open is tried on
    the first clips. A parameter ``sample_rate`` (or ``sr``, ...) is given the rate, one named
    ``prompt`` the prompt, and those named as decoding options these, where they are asked for.

    Args:
        function: the function.
        who: its name, for errors.
        sample_rate: Hz of waveforms; the function's own attribute ``sample_rate`` comes first.
        clips_a_call: most clips of a call, where it takes a list.
        call_timeout: seconds that a call may take.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        who: str,
        *,
        sample_rate: int = 16_000,
        clips_a_call: int = 32,
        call_timeout: float = 120.0,
    ) -> None:
        self.function = function
        self.who = who
        self.sample_rate = int(getattr(function, "sample_rate", sample_rate))
        self.signature: FunctionSignature = read_signature(function, who)
        self.takes_prompt = "prompt" in self.signature.names
        self.takes_decoding = DECODING & self.signature.names
        self.call_timeout = call_timeout
        self.files = ClipFiles()
        self._most = clips_a_call
        self._form: CallForm | None = None
        if len(self.signature.forms) == 1:
            self._settle(self.signature.forms[0])

    def _settle(self, form: CallForm) -> None:
        self._form = form
        self.by_file = form.form == "path"
        self.clips_a_call = self._most if form.several else 1

    def caption(self, waveforms: Sequence[Tensor], sample_rate: int) -> list[str]:
        """Caption waveforms, whichever way the function takes them."""
        clips = [
            GivenClip(f"clip {number}", wave, sample_rate, f"{number:016d}{id(wave):x}")
            for number, wave in enumerate(waveforms, 1)
        ]
        size = self.clips_a_call
        parts = [clips[start : start + size] for start in range(0, len(clips), size)]
        return [answer.text for part in parts for answer in self.answer(part, Wish())]

    def get_ready(self, clips: Sequence[GivenClip]) -> None:
        """Find out how the function is called."""
        self.find_form(clips)

    def find_form(self, clips: Sequence[GivenClip]) -> CallForm:
        """Find out how the function is called by calling it with one clip, or a list of two.

        Args:
            clips: two of the clips to caption, or one where there are no more.

        Raises:
            CapfixError: no way of calling it gives captions.
        """
        if self._form is None:
            gave: CapfixError | None = None
            failed: list[tuple[CallForm, CapfixError]] = []
            for form in self.signature.forms:
                chosen = list(clips[: 2 if form.several else 1])
                try:
                    self._call(form, chosen, Wish())
                except CallFailed as error:
                    failed.append((form, CapfixError(error.reason, error.hint)))
                except CapfixError as error:
                    gave = gave or error
                else:
                    self._settle(form)
                    break
            else:
                raise gave or self._no_form(failed)
        assert self._form is not None
        return self._form

    def _no_form(self, failed: Sequence[tuple[CallForm, CapfixError]]) -> CapfixError:
        form, first = failed[0]
        if len(failed) == 1:
            return first
        return CapfixError(
            f"{first.message.rstrip('.')} (given {form.told}; other ways failed too).",
            f"{first.hint} Annotate its parameter: str, list[str], np.ndarray or torch.Tensor.",
        )

    def answer(self, clips: Sequence[GivenClip], wish: Wish) -> list[TextAnswer]:
        """Call the function."""
        return self._call(self.find_form(clips), clips, wish)

    def _call(self, form: CallForm, clips: Sequence[GivenClip], wish: Wish) -> list[TextAnswer]:
        by_place, by_name = arguments(self.signature, form, clips, self.files)
        takes = self.takes_decoding
        by_name |= {name: value for name, value in wish.decoding.items() if name in takes}
        if wish.prompt is not None and self.takes_prompt:
            by_name["prompt"] = wish.prompt
        if wish.decoding and "seed" in self.signature.names:
            by_name["seed"] = wish.seed
        who = f"{self.who} (given {form.told})" if self._form is None else self.who
        with contextlib.redirect_stdout(sys.stderr):
            try:
                with (
                    time_limit(self.call_timeout, self.who),
                    told_of(self.who, f"failed on {clips[0].name}"),
                ):
                    value = self.function(*by_place, **by_name)
            except TookTooLongError:
                raise
            except CapfixError as error:
                raise CallFailed(error.message, error.hint) from error
        if form.several:
            if hasattr(value, "tolist"):
                value = value.tolist()
            return as_answers(value, clips, who)
        return [TextAnswer(as_text(value, clips[0].name, who))]

    def identity(self) -> Mapping[str, Any]:
        """Its file as it is now: with other code its answers are others."""
        try:
            file = inspect.getfile(inspect.unwrap(self.function))
        except TypeError:
            file = None
        return {"function": self.who, "file": stamp_of(file), "rate": self.sample_rate}


def open_function(
    target: str, *, sample_rate: int, clips_a_call: int, call_timeout: float
) -> TextCaptioner:
    """Make a captioner of what ``MODULE:NAME`` names: a function, or a TextCaptioner.

    Raises:
        CapfixError: it is neither, or cannot be imported.
    """
    found = import_function(target)
    if isinstance(found, type):
        with told_of(target):
            found = found()
    if isinstance(found, TextCaptioner):
        return found
    if not callable(found):
        found = found.caption
    return FunctionCaptioner(
        found,
        target,
        sample_rate=sample_rate,
        clips_a_call=clips_a_call,
        call_timeout=call_timeout,
    )
