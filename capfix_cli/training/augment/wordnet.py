"""Synonyms from WordNet's own data files, such as Debian's wordnet-base installs.

Formats: wndb(5WN). ``index.POS`` lists a lemma's synsets, the most frequent sense first;
``data.POS`` has at each synset's offset its words.
"""

from __future__ import annotations

from pathlib import Path

from capfix_cli.core.errors import CapfixError

PARTS = ("noun", "verb", "adj", "adv")


class WordNet:
    """Synonyms by lemma and part of speech.

    Args:
        folder: with ``index.noun``, ``data.noun`` and so on.

    Raises:
        CapfixError: no such folder, or files missing from it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        names = [f"{kind}.{part}" for kind in ("index", "data") for part in PARTS]
        absent = [name for name in names if not (self.folder / name).is_file()]
        if absent:
            raise CapfixError(
                f"The WordNet folder {folder} has no {', '.join(absent)}.",
                "Give WordNet's data files in augmentation.wordnet: Debian has them in the package"
                " wordnet-base, under /usr/share/wordnet; nltk's corpora/wordnet has them too.",
            )
        self._senses = {part: self._read_index(part) for part in PARTS}
        self._data = {part: (self.folder / f"data.{part}").read_bytes() for part in PARTS}

    def parts(self, word: str) -> list[str]:
        """The parts of speech that a word is listed under, as it is written."""
        return [part for part in PARTS if word in self._senses[part]]

    def synonyms(self, word: str, part: str) -> list[str]:
        """Give the other words of a word's most frequent sense, single words only.

        Rarer senses are left out: a "bank" of a river is none of money.
        """
        offset = self._senses[part].get(word)
        if offset is None:
            return []
        data = self._data[part]
        line = data[offset : data.index(b"\n", offset)].decode("utf-8", "replace")
        fields = line.split()
        count = int(fields[3], 16)  # words of the synset, in hexadecimal
        words = [fields[4 + 2 * place] for place in range(count)]
        # Adjectives carry their place in parentheses: "loud(a)".
        plain = [word.partition("(")[0] for word in words]
        return [other for other in plain if other != word and other.isalpha() and other.islower()]

    def _read_index(self, part: str) -> dict[str, int]:
        senses = {}
        with (self.folder / f"index.{part}").open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith(" "):
                    continue  # the licence
                fields = line.split()
                # lemma pos synsets pointers [symbols] senses tagged offset...
                offsets = 6 + int(fields[3])
                senses[fields[0]] = int(fields[offsets])
        return senses
