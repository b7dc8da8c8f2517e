"""Augmentation of captions (fix 3.4): synonyms, guarded, and paraphrases by a local model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from capfix_cli.core.errors import CapfixError
from capfix_cli.core.randomness import stream
from capfix_cli.core.text import split_words
from capfix_cli.diagnosis.training_data.content_words import FUNCTION_WORDS

_SOUNDS = (
    # Sources and what they do: what is heard keeps its name.
    "bark barks barking woof meow meows purr purrs dog dogs puppy cat cats kitten bird birds "
    "chirp chirps chirping tweet tweets sing sings singing song crow crows crowing rooster "
    "hen duck quack goose frog croak cricket insect bee buzz buzzes buzzing horse neigh hoof "
    "cow moo sheep goat pig oink lion roar roars roaring howl howls rain rains raining "
    "thunder storm wind winds blow blows wave waves sea ocean water splash drip drips stream "
    "river fire crackle crackles crackling flame engine motor car cars truck bus train tram "
    "plane aircraft helicopter boat ship motorcycle bicycle siren sirens horn honk honks beep "
    "beeps alarm clock tick ticks ticking bell bells ring rings ringing chime phone telephone "
    "keyboard typing type click clicks clank clatter door doors knock knocks slam slams creak "
    "creaks squeak squeal footstep footsteps walk walks walking run runs running step steps "
    "clap claps clapping applause cheer laugh laughs laughing cry cries crying sob sneeze "
    "sneezes cough coughs snore snores breathe whisper whispers shout shouts scream screams "
    "speak speaks speaking speech talk talks talking voice whistle whistles music drum drums "
    "guitar piano violin saw chainsaw drill hammer gun gunshot shot explosion firework glass "
    "break breaks shatter vacuum fan hum hums humming hiss hisses rattle rattles rumble "
    "rumbles rustle rustles tap taps thump thud bang bangs pop pops"
)
SOUND_WORDS = frozenset(_SOUNDS.split())
_ARTICLES = "a an the this that each every some another its their his her"
_BEFORE_NOUNS = frozenset(_ARTICLES.split())


class Thesaurus(Protocol):
    """What synonyms are drawn from."""

    def parts(self, word: str) -> list[str]:
        """Parts of speech of a word."""

    def synonyms(self, word: str, part: str) -> list[str]:
        """Other words of the same meaning."""


def part_of_speech(words: Sequence[str], place: int, thesaurus: Thesaurus) -> str | None:
    """Say what a word is, or None where that is not certain.

    Certain is a word listed under one part of speech, and a noun straight after an article with
    nothing else to be named there: "a crowd of", but not "a close".
    """
    parts = thesaurus.parts(words[place])
    if len(parts) == 1:
        return parts[0]
    if "noun" in parts and "adj" not in parts and place and words[place - 1] in _BEFORE_NOUNS:
        follows = words[place + 1] if place + 1 < len(words) else ""
        return None if "noun" in thesaurus.parts(follows) else "noun"
    return None


def replace_synonyms(
    caption: str,
    share: float,
    thesaurus: Thesaurus,
    generator: np.random.Generator,
    known: frozenset[str] | None = None,
) -> str:
    """Replace a share of a caption's replaceable words by synonyms.

    Replaceable is a word whose part of speech is certain, that names no sound and no source of
    one, that is not a function word, and that has a synonym.

    Args:
        caption: in words.
        share: of the replaceable words, each drawn by itself.
        thesaurus: of synonyms.
        generator: draws.
        known: synonyms must be among these; any where None.
    """
    words = split_words(caption)
    told = []
    for place, word in enumerate(words):
        chosen = word
        if word not in FUNCTION_WORDS and word not in SOUND_WORDS:
            part = part_of_speech(words, place, thesaurus)
            others = thesaurus.synonyms(word, part) if part else []
            if known is not None:
                others = [other for other in others if other in known]
            others = [other for other in others if other not in SOUND_WORDS]
            if others and generator.random() < share:
                chosen = others[int(generator.integers(len(others)))]
        told.append(chosen)
    return _articles(told)


def _articles(words: Sequence[str]) -> str:
    """Mend "a" and "an" by the letter that follows; a new word may ask for the other."""
    mended = list(words)
    for place in range(len(mended) - 1):
        if mended[place] in {"a", "an"}:
            mended[place] = "an" if mended[place + 1][0] in "aeiou" else "a"
    return " ".join(mended)


def add_synonyms(
    captions: Sequence[Sequence[str]], share: float, thesaurus: Thesaurus, seed: int
) -> list[list[str]]:
    """Give every clip its captions and, beside each, one with synonyms where that differs."""
    out = []
    for number, texts in enumerate(captions):
        generator = stream(seed, "augment.synonyms", number)
        new = [replace_synonyms(text, share, thesaurus, generator) for text in texts]
        plain = {" ".join(split_words(text)) for text in texts}
        out.append([*texts, *dict.fromkeys(text for text in new if text not in plain)])
    return out


Write = Callable[[Sequence[str], int], list[list[str]]]  # captions, how many -> new ones of each


def keeps_sounds(caption: str, paraphrase: str) -> bool:
    """Say whether a paraphrase names every sound that its caption does, and no other."""
    told, anew = ({w for w in split_words(t) if w in SOUND_WORDS} for t in (caption, paraphrase))
    return told == anew and bool(split_words(paraphrase))


def add_paraphrases(
    captions: Sequence[Sequence[str]], number: int, write: Write
) -> list[list[str]]:
    """Give every clip its captions and the paraphrases that keep what is heard."""
    flat = [text for texts in captions for text in texts]
    written = iter(write(flat, number))
    out = []
    for texts in captions:
        new = [
            paraphrase
            for text in texts
            for paraphrase in next(written)
            if keeps_sounds(text, paraphrase) and paraphrase not in texts
        ]
        out.append([*texts, *dict.fromkeys(new)])
    return out


def local_paraphraser(folder: str, device: str = "cpu", batch: int = 32) -> Write:
    """Open a sequence-to-sequence model of transformers from a folder, without the network.

    Raises:
        CapfixError: transformers is missing, or the folder has no such model.
    """
    try:
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    except ImportError as error:
        raise CapfixError("Paraphrases need transformers.", "pip install 'capfix[hf]'") from error
    try:
        if not Path(folder).is_dir():
            raise OSError("no such folder")
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model: Any = AutoModelForSeq2SeqLM.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise CapfixError(
            f"No paraphrasing model can be opened in {folder or '(none named)'}:"
            f" {str(error).splitlines()[0]:.100}.",
            "Name in augmentation.paraphrase_model a folder that save_pretrained wrote.",
        ) from error
    model.to(device).eval()

    def write(captions: Sequence[str], number: int) -> list[list[str]]:
        told: list[list[str]] = []
        for start in range(0, len(captions), batch):
            part = list(captions[start : start + batch])
            given = tokenizer(part, return_tensors="pt", padding=True).to(device)
            ids = model.generate(
                **given, num_beams=number, num_return_sequences=number, max_new_tokens=40
            )
            texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
            told += [texts[i * number : (i + 1) * number] for i in range(len(part))]
        return told

    return write
