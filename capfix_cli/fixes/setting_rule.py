"""How a fix shows in the settings of training: its spellings, and the values that count as done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def words(text: str) -> frozenset[str]:
    """Part a text into its words."""
    return frozenset(text.split())


# Read in public training configs (DCASE baselines 2020 to 2024, ACT, AudioCaption, a Whisper
# captioner), in the arguments of Lightning's Trainer and in transformers' TrainingArguments.
SWITCHES = words("use enabled enable active apply")
TEACHER_FORCING = words("teacher_forcing_ratio teacher_forcing_prob teacher_forcing tf_ratio")


@dataclass(frozen=True, kw_only=True)
class SettingRule:
    """The settings that speak of one fix.

    Attributes:
        names: spellings of the key that holds the value.
        low: least value that counts as done.
        high: largest.
        wanted: the range in words, with its source.
        blocks: spellings of a mapping all of whose values speak of the fix.
        switch: whether any value above 0 counts: sizes then say nothing.
        words_count: whether a text that is not "none" counts (a schedule's name).
        block_keys: which keys inside a block speak of it; all of them where this is empty.
        idle: texts that mean "not used" here beside the usual ones.
        low_unknown: whether a value below the range says nothing (the last of a schedule).
    """

    names: frozenset[str]
    low: float
    high: float
    wanted: str
    blocks: frozenset[str] = frozenset()
    switch: bool = False
    words_count: bool = False
    block_keys: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()
    low_unknown: bool = False

    def speaks(self, keys: Sequence[str]) -> bool:
        """Say whether a setting at these keys is of this fix."""
        if keys[-1] in self.names:
            return True
        inside = any(key in self.blocks for key in keys[:-1])
        return inside and (not self.block_keys or keys[-1] in self.block_keys)
