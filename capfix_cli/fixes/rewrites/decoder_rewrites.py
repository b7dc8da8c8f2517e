"""Fixes 2.2 and 2.3 for a recurrent decoder: its input grows by what is heard at each word."""

from __future__ import annotations

import re

from capfix_cli.fixes.rewrites.architecture_names import (
    ArchitectureNames,
    Recurrence,
    Size,
    attribute,
)
from capfix_cli.fixes.rewrites.code_writing import Written, nothing_to_rewrite, one_line, write

# After either fix: what was learnt is kept, and what is new starts without a say.
_KEEP = '''
def keep_learnt(decoder: nn.Module, saved: dict[str, torch.Tensor]) -> list[str]:
    """Copy the old decoder's tensors, names as in `$place`; gives the names that stay new.

    The columns for the audio start at zero: at first the decoder says what it said before.
    """
    own, kept = decoder.state_dict(), set()
    for name, old in saved.items():
        if name in own and own[name].shape == old.shape:
            own[name].copy_(old)
            kept.add(name)
        elif name == "$weight" and name in own:
            own[name].zero_()[:, : old.shape[1]] = old
            kept.add(name)
    return [name for name in own if name not in kept]
'''

_EVERY_STEP = '''
class Decoder(nn.Module):
    """Words [batch, T] and audio [batch, AUDIO] -> scores of the next word [batch, T, VOCABULARY].

    Audio may be frames [batch, frames, AUDIO] too: their mean is taken, padding included, so give
    a clip's own mean where clips differ in length.
    """

    def __init__(self) -> None:
        super().__init__()
        self.$embed = nn.Embedding(VOCABULARY, EMBEDDING)
        # It was nn.$layer(EMBEDDING, HIDDEN): the audio stands beside each word now.
        self.$rnn = nn.$layer(EMBEDDING + AUDIO, HIDDEN$options)
        $head_line

    def forward(self, words, audio, state=None):
        # state: your first state, made as you make it today.
        if audio.dim() == 3:
            audio = audio.mean(dim=1)
        $run
        return self.$head($outputs)

'''

_ATTENTION = '''
class FrameAttention(nn.Module):
    """Frames [batch, F, AUDIO] weighed by the decoder's state [batch, HIDDEN] -> [batch, AUDIO]."""

    def __init__(self) -> None:
        super().__init__()
        self.of_frame, self.of_state = nn.Linear(AUDIO, MATCH), nn.Linear(HIDDEN, MATCH, bias=False)
        self.score = nn.Linear(MATCH, 1, bias=False)

    def forward(self, frames, state, real=None):
        # real [batch, F]: True at frames of the clip, False at padding. Give it if clips differ.
        scores = self.score(torch.tanh(self.of_frame(frames) + self.of_state(state)[:, None]))
        scores = scores.squeeze(2)
        if real is not None:
            scores = scores.masked_fill(~real, float("-inf"))
        return (scores.softmax(dim=1)[:, None] @ frames).squeeze(1)


class Decoder(nn.Module):
    """Words [batch, T] and frames [batch, F, AUDIO] -> scores [batch, T, VOCABULARY]."""

    def __init__(self) -> None:
        super().__init__()
        self.$embed = nn.Embedding(VOCABULARY, EMBEDDING)
        self.attention = FrameAttention()
        # It was nn.$layer($was, HIDDEN): what is heard stands beside each word now.
        self.$rnn = nn.$layer(EMBEDDING + AUDIO, HIDDEN$options)
        $head_line

    def forward(self, words, frames, real=None, state=None):
        # state: your first state, made as you make it today; zeros where there is none.
        if state is None:
            state = $zeros
        outputs = []
        for word in self.$embed(words).unbind(dim=1):
            heard = self.attention(frames, $top, real)
            $step
            outputs.append($output)
        return self.$head(torch.stack(outputs, dim=1))

'''


def every_step(found: ArchitectureNames) -> Written:
    """2.2: the recurrent layer takes the audio beside each word."""
    rnn = _recurrent(found, "2.2")
    more = rnn.inputs - (found.embedding.value or 0)
    if more > 0:
        raise nothing_to_rewrite(
            "2.2", found, f"{rnn.weight} takes {more} numbers beside each word already"
        )
    words = _words(found, rnn)
    if rnn.cell:
        run = (
            "outputs = []\n"
            f"        for word in self.{words['embed']}(words).unbind(dim=1):\n"
            f"            state = self.{words['rnn']}(torch.cat([word, audio], dim=1), state)\n"
            f"            outputs.append({'state[0]' if rnn.kind == 'LSTM' else 'state'})"
        )
        outputs = "torch.stack(outputs, dim=1)"
    else:
        run = (
            "beside = audio[:, None].expand(-1, words.shape[1], -1)\n"
            f"        inputs = torch.cat([self.{words['embed']}(words), beside], dim=2)\n"
            f"        outputs, _ = self.{words['rnn']}(inputs, state)"
        )
        outputs = "outputs"
    where = (
        f"It stands for the module of {rnn.place}: {rnn.kind} from {_from(found)} to"
        f" {_from(found)} + {found.audio.value or 'AUDIO'}. In your decoding loop give the audio"
        " at each call, too."
    )
    return write(
        "2.2",
        found,
        where=where,
        numbers=_numbers(found, rnn),
        template=_EVERY_STEP + _KEEP,
        words={**words, "run": run, "outputs": outputs},
        checks=(
            f"`capfix inspect` says conditioning: concatenated, and that {rnn.weight} takes"
            f" {_wider(found)}.",
            "Another clip's audio changes the odds of the last word, not of the first alone.",
        ),
    )


def attention(found: ArchitectureNames) -> Written:
    """2.3: the recurrent layer takes what it attends to beside each word."""
    rnn = _recurrent(found, "2.3")
    if found.conditioning == "additive-attention":
        raise nothing_to_rewrite("2.3", found, "it has an attention already")
    words = _words(found, rnn)
    lstm, name = rnn.kind == "LSTM", words["rnn"]
    if rnn.cell:
        zeros = "frames.new_zeros(len(words), HIDDEN)"
        top = "state[0]" if lstm else "state"
        step = f"state = self.{name}(torch.cat([word, heard], dim=1), state)"
        output = top
    else:
        zeros = f"frames.new_zeros({rnn.layers}, len(words), HIDDEN)"
        top = "state[0][-1]" if lstm else "state[-1]"
        step = (
            "inputs = torch.cat([word, heard], dim=1)[:, None]\n"
            f"            output, state = self.{name}(inputs, state)"
        )
        output = "output.squeeze(1)"
    words |= {"top": top, "step": step, "output": output, "was": str(rnn.inputs)}
    words["zeros"] = f"({zeros}, {zeros})" if lstm else zeros
    match = Size(min(rnn.hidden, 512), "the width in which they are compared: yours to choose")
    where = (
        f"It stands for the module of {rnn.place}, which attends to the encoder's frames: give it"
        " [batch, frames, AUDIO], not their mean (fix 2.1 keeps them)."
    )
    return write(
        "2.3",
        found,
        where=where,
        numbers={**_numbers(found, rnn), "MATCH": match},
        template=_ATTENTION + _KEEP,
        words=words,
        checks=(
            "`capfix inspect` says conditioning: additive-attention.",
            "The weights differ between words and between clips; spread evenly over all frames"
            " they are a mean, and nothing is gained.",
        ),
    )


def _recurrent(found: ArchitectureNames, fix_id: str) -> Recurrence:
    if found.attends:
        raise nothing_to_rewrite(
            fix_id, found, "its decoder attends to the encoder at every word already"
        )
    if found.recurrence is None:
        raise nothing_to_rewrite(
            fix_id, found, "no recurrent layer that takes words was found in it"
        )
    if found.embedding.value is None:
        raise nothing_to_rewrite(fix_id, found, "no word embedding was found in it")
    return found.recurrence


def _from(found: ArchitectureNames) -> str:
    return str(found.embedding.value or "EMBEDDING")


def _wider(found: ArchitectureNames) -> str:
    if found.embedding.value is None or found.audio.value is None:
        return "EMBEDDING + AUDIO"
    return str(found.embedding.value + found.audio.value)


def _numbers(found: ArchitectureNames, rnn: Recurrence) -> dict[str, Size]:
    return {
        "VOCABULARY": found.vocabulary,
        "EMBEDDING": found.embedding,
        "AUDIO": found.audio,
        "HIDDEN": Size(rnn.hidden, f"the state of {rnn.place}"),
    }


def _words(found: ArchitectureNames, rnn: Recurrence) -> dict[str, str]:
    """Names of the user's own modules, and what differs between kinds of layer."""
    embed = attribute(found.embedding_place, "embedding")
    name = attribute(rnn.place, "rnn")
    head = attribute(found.head_place, "head")
    if len({embed, name, head}) < 3:
        embed, name, head = "embedding", "rnn", "head"
    options = "" if rnn.cell else f", num_layers={rnn.layers}, batch_first=True"
    return {
        "embed": embed,
        "rnn": name,
        "head": head,
        "layer": f"{rnn.kind}Cell" if rnn.cell else rnn.kind,
        "options": options,
        "head_line": _head_line(found, rnn, embed, head),
        "place": re.sub(r"[^\w.]", "?", rnn.place.rpartition(".")[0] or rnn.place),
        "weight": f"{name}.{rnn.weight.rpartition('.')[2]}",
    }


def _head_line(found: ArchitectureNames, rnn: Recurrence, embed: str, head: str) -> str:
    line = f"self.{head} = nn.Linear(HIDDEN, VOCABULARY)"
    if not found.head_place:
        scored = one_line(found.embedding_place or "something else")
        if found.embedding.value == rnn.hidden:
            return f"{line}\n        self.{head}.weight = self.{embed}.weight  # shared, as now"
        return f"{line}  # yours scores words by {scored}"
    takes = found.head_inputs.value
    if takes is not None and takes != rnn.hidden:
        return f"{line}  # yours takes {takes}: keep what you have between them"
    return line
