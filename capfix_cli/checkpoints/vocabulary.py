"""Vocabularies: read from a file or a checkpoint without running anything; ids never guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capfix_cli.checkpoints.model_options import given
from capfix_cli.checkpoints.word_files import read_words
from capfix_cli.checkpoints.word_maps import words_of
from capfix_cli.core.errors import CapfixError

# Names by which special tokens go, the field's commonest first.
NAMES = {
    "bos": (
        *("<bos>", "<sos>", "<start>", "<s>", "[bos]", "[sos]", "[cls]", "<|startoftext|>"),
        *("startseq", "<startseq>", "startofseq", "<bos_token>", "<start_token>", "<go>"),
    ),
    "eos": (
        *("<eos>", "<end>", "</s>", "[eos]", "[sep]", "<|endoftext|>"),
        *("endseq", "<endseq>", "endofseq", "<eos_token>", "<end_token>", "<stop>"),
    ),
    "pad": ("<pad>", "[pad]", "<blank>", "<padding>", "<null>"),
    "unk": ("<unk>", "[unk]", "<oov>", "<unknown>"),
}
# The same without brackets, which may be words as well: they count among the first or last ids
# alone, and only where both ends of a caption are there.
BARE = {
    "bos": ("bos", "sos", "start"),
    "eos": ("eos", "end"),
    "pad": ("pad",),
    "unk": ("unk",),
}
OUTERMOST = 4  # ids at either end that vocabularies keep for special tokens


@dataclass(frozen=True)
class Vocabulary:
    """Words by id, and the ids that are no words.

    Attributes:
        words: token id -> word.
        bos_id: opens a caption.
        eos_id: ends it.
        pad_id: fills batches; None where there is none.
        unk_id: stands for unknown words; None where there is none.
    """

    words: tuple[str, ...]
    bos_id: int
    eos_id: int
    pad_id: int | None = None
    unk_id: int | None = None

    def __len__(self) -> int:
        """How many tokens there are: the width that logits must have."""
        return len(self.words)


def load_vocabulary(
    source: str | Mapping[Any, Any] | Sequence[str],
    *,
    bos: str | int | None = None,
    eos: str | int | None = None,
    pad: str | int | None = None,
) -> Vocabulary:
    """Read a vocabulary; ``--vocabulary``, ``--bos``, ``--eos`` and ``--pad`` come first.

    Args:
        source: a checkpoint that holds one, a file (JSON word map either way round, JSON list,
            ``tokenizer.json``, text with a word a line, CSV of words and ids, a SentencePiece
            model, a pickled list, map, pair of maps, or object that holds them), or the words.
            Where ids begin at 1, row 0 is taken for padding.
        bos: name or id of the token that opens a caption, where its name does not tell.
        eos: of the one that ends it.
        pad: of the one that fills batches.

    Raises:
        CapfixError: nothing readable, ids that leave gaps, or special tokens that are not there.
    """
    options = given()
    if options.vocabulary is not None:
        source = options.vocabulary
    place = source if isinstance(source, str) else "the vocabulary"
    ids = read_words(Path(source)) if isinstance(source, str) else words_of(source)
    if not ids:
        raise CapfixError(
            f"{place} holds no vocabulary that can be read.",
            "Give a word list or word map with --vocabulary FILE.",
        )
    words = _in_order(ids, place)
    ids = {word: id_ for id_, word in enumerate(words)}
    chosen = {
        "bos": _special("bos", options.bos if options.bos is not None else bos, ids, place),
        "eos": _special("eos", options.eos if options.eos is not None else eos, ids, place),
        "pad": _special("pad", options.pad if options.pad is not None else pad, ids, place),
        "unk": _special("unk", None, ids, place),
    }
    first, last = chosen["bos"], chosen["eos"]
    if first is None or last is None:
        kind = "bos" if first is None else "eos"
        what = "opens" if first is None else "ends"
        raise CapfixError(
            f"{place} does not tell which token {what} a caption: none is called "
            f"{', '.join(NAMES[kind][:4])} or the like.",
            f"Give it by name or id: --{kind} TOKEN.",
        )
    return Vocabulary(words, first, last, chosen["pad"], chosen["unk"])


def _special(kind: str, told: str | int | None, ids: Mapping[str, int], place: str) -> int | None:
    """Find a special token by what was told, else by its usual names."""
    if told is None:
        lower = {word.lower(): id_ for word, id_ in ids.items()}
        found = next((lower[name] for name in NAMES[kind] if name in lower), None)
        return found if found is not None else _bare(kind, lower)
    if isinstance(told, str) and told in ids:
        return ids[told]
    text = str(told)
    if text.isascii() and text.isdigit() and int(text) in set(ids.values()):
        return int(text)
    raise CapfixError(
        f"{place} has no token {told!r}, which --{kind} names.",
        f"It has {len(ids)} tokens; give one of them by name or id.",
    )


def _bare(kind: str, lower: Mapping[str, int]) -> int | None:
    outer = {
        word: id_ for word, id_ in lower.items() if id_ < OUTERMOST or id_ >= len(lower) - OUTERMOST
    }
    if not all(any(name in outer for name in BARE[end]) for end in ("bos", "eos")):
        return None
    return next((outer[name] for name in BARE[kind] if name in outer), None)


def _in_order(ids: Mapping[str, int], place: str) -> tuple[str, ...]:
    """Put words in the order of their ids; gaps and doubles would shift every word."""
    by_id = {id_: word for word, id_ in ids.items()}
    if len(by_id) < len(ids):
        raise CapfixError(
            f"In {place} {len(ids) - len(by_id)} tokens share an id with another.",
            "Every token needs an id of its own.",
        )
    if min(by_id) == 1 and max(by_id) == len(by_id):
        # Keras and many scripts count words from 1: row 0 of the network is padding.
        by_id[0] = next(name for name in ("<pad>", "<row 0>") if name not in ids)
    gaps = [id_ for id_ in range(len(by_id)) if id_ not in by_id]
    if gaps:
        raise CapfixError(
            f"The ids of {place} leave out {gaps[0]} (they go to {max(by_id)}, "
            f"for {len(by_id)} tokens).",
            "Ids must go from 0 without gaps, as the output layer's rows do.",
        )
    return tuple(by_id[id_] for id_ in range(len(by_id)))
