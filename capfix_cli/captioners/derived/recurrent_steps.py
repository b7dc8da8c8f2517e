"""One word at a time through a user's own loop, without saying the whole caption again.

A recurrent decoder carries what it knows in the state of its recurrent layers. The loop is run for
two words: at the first the layers give the state that was kept, and the word is chosen for it; at
the second they compute, and the loop's own code gives the next scores. Where a loop carries more
than that (an attention's last context, say) the scores come out otherwise, which is found before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from capfix_cli.captioners.derived.choice_forcing import Enough, ForcedChoices
from capfix_cli.captioners.derived.programs import GenerateProgram

State = tuple[Tensor, ...]  # of each recurrent call its tensors, rows first
Recurrent = (nn.RNNBase, nn.RNNCellBase)


class RecurrentSteps:
    """A user's captioning loop, a step at a time.

    Args:
        network: whose recurrent layers carry the state.
        program: the user's captioning.
        before: recurrent calls before the first word is chosen.
        names: the layers that are called for each word, in order.
    """

    def __init__(
        self, network: nn.Module, program: GenerateProgram, before: int, names: Sequence[str]
    ) -> None:
        self.network, self.program = network, program
        self.before, self.names = before, tuple(names)

    def first(self, clips: Tensor, token: Tensor) -> tuple[Tensor, State]:
        """Score the first word: [R, *features] and [R] begin tokens -> [R, V] and the state."""
        with self._watched(None) as calls:
            choices = self.program.forced(clips, token[:, None])
        return choices.scores[0], self._state(calls(0)[-len(self.names) :])

    def next(self, clips: Tensor, token: Tensor, state: State) -> tuple[Tensor, State]:
        """Score the word after ``token`` [R], which is fed in the state before it."""
        words = ForcedChoices(self.program.settings.words, len(token), token[:, None], 2)
        with (
            self._watched(state, words) as calls,
            contextlib.suppress(Enough),
            words,
        ):
            self.program.result(clips, narrow=True)
        return words.scores[1], self._state(calls(1))

    @contextlib.contextmanager
    def _watched(
        self, state: State | None, words: ForcedChoices | None = None
    ) -> Iterator[Callable[[int], list[tuple[str, Any]]]]:
        """While entered, keep what recurrent layers give; for the first word give the state."""
        found: dict[int, list[tuple[str, Any]]] = {0: [], 1: []}
        waiting = list(state or ())
        changed = []

        def watch(name: str, module: nn.Module) -> Callable[..., Any]:
            compute = module.forward

            def forward(given: Tensor, *args: Any, **kwargs: Any) -> Any:
                word = 0 if words is None else len(words.scores)
                late = len(found[0]) >= self.before - len(self.names)
                if state is not None and word == 0 and late:
                    output = _as_output(module, given, waiting)
                else:
                    output = compute(given, *args, **kwargs)
                found.setdefault(word, []).append((name, output))
                return output

            return forward

        try:
            for name in dict.fromkeys(self.names):
                module = self.network.get_submodule(name)
                module.forward = watch(name, module)
                changed.append(module)
            yield lambda word: found[word]
        finally:
            for module in changed:
                del module.forward

    def _state(self, calls: Sequence[tuple[str, Any]]) -> State:
        parts: list[Tensor] = []
        for name, output in calls:
            module = self.network.get_submodule(name)
            hidden = output[1] if isinstance(module, nn.RNNBase) else output
            several = hidden if isinstance(hidden, tuple) else (hidden,)
            for part in several:
                layered = isinstance(module, nn.RNNBase)
                parts.append(part.transpose(0, 1) if layered and part.ndim == 3 else part)
        return tuple(parts)


def _as_output(module: nn.Module, given: Tensor, waiting: list[Tensor]) -> Any:
    """Make a recurrent layer's output of the state after it, which is taken off the list."""
    count = 2 if isinstance(module, nn.LSTM | nn.LSTMCell) else 1
    parts = [waiting.pop(0) for _ in range(count)]
    if isinstance(module, nn.RNNCellBase):
        return tuple(parts) if count > 1 else parts[0]
    last = parts[0][:, -1] if parts[0].ndim == 3 else parts[0][-1]
    hidden = [part.transpose(0, 1) if part.ndim == 3 else part for part in parts]
    if given.ndim == 2:
        sequence = last[None] if last.ndim == 1 else last
    else:
        sequence = last.unsqueeze(1 if module.batch_first else 0)
    return sequence, (tuple(hidden) if count > 1 else hidden[0])


@torch.no_grad()
def find_steps(
    network: nn.Module, program: GenerateProgram, audio: Tensor, tokens: Tensor
) -> RecurrentSteps | None:
    """Find out whether a user's loop can be run a step at a time, and rightly.

    Args:
        network: whose layers are looked at.
        program: the user's captioning.
        audio: [B, *features], one clip where it takes one at a time.
        tokens: [B, T] words, at least four.

    Returns:
        None where there are no recurrent layers, or steps score otherwise than whole captions.
    """
    recurrent = {name: m for name, m in network.named_modules() if isinstance(m, Recurrent)}
    calls: list[tuple[int, str]] = []
    words = ForcedChoices(program.settings.words, len(tokens), tokens[:, 1:], tokens.shape[1])
    handles = [
        module.register_forward_hook(
            lambda _m, _a, _o, name=name: calls.append((len(words.scores), name))
        )
        for name, module in recurrent.items()
    ]
    try:
        with contextlib.suppress(Enough), words:
            program.result(audio, narrow=True)
    finally:
        for handle in handles:
            handle.remove()
    looped = [[name for word, name in calls if word == at] for at in (1, 2)]
    inside = set(looped[0])
    before = [name for word, name in calls if word == 0 and name in inside]
    if not looped[0] or looped[0] != looped[1] or before[-len(looped[0]) :] != looped[0]:
        return None
    steps = RecurrentSteps(network, program, len(before), looped[0])
    try:
        return steps if _agree(steps, audio, tokens) else None
    except Exception:  # a loop that is not what it seemed
        return None


def _agree(steps: RecurrentSteps, audio: Tensor, tokens: Tensor) -> bool:
    whole = steps.program.run(audio, tokens)
    scores, state = steps.first(audio, tokens[:, 0])
    found = [scores]
    for column in tokens[:, 1:].unbind(1):
        scores, state = steps.next(audio, column, state)
        found.append(scores)
    return torch.allclose(torch.stack(found, dim=1), whole, rtol=1e-4, atol=1e-5)
