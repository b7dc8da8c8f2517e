"""Comparing what a user's own script says with what capfix reads from the same model."""

from __future__ import annotations

import re
from collections.abc import Mapping

from capfix_cli.core.text import split_words
from capfix_cli.schemas.identity_record import Identity, Parted

# <unk>, [UNK] and the like, which scripts write or leave out.
_MARKED = re.compile(r"<[^<> ]*>|\[[^][ ]*\]")
SHOWN = 5  # clips that part, told in full


def compare_captions(yours: Mapping[str, str], capfix: Mapping[str, str], source: str) -> Identity:
    """Compare captions of the clips that both have, word by word.

    Case, punctuation, spacing and marks such as <unk> count for nothing: scripts write the same
    words in their own ways.

    Args:
        yours: clip -> what the user's script says.
        capfix: clip -> what capfix reads.
        source: where the user's come from, in words.
    """
    parted: list[Parted] = []
    shared = sorted(yours.keys() & capfix.keys())
    for name in shared:
        first, second = (split_words(_MARKED.sub(" ", text[name])) for text in (yours, capfix))
        if first != second:
            pairs = zip(first, second, strict=False)
            same = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
            word = min(len(first), len(second)) if same is None else same
            parted.append(
                Parted(file_name=name, yours=yours[name], capfix=capfix[name], word=word + 1)
            )
    return Identity(
        source=source,
        compared=len(shared),
        equal=len(shared) - len(parted),
        parted=tuple(parted[:SHOWN]),
    )
