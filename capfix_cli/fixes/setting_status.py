"""Which training fixes were done already, by the settings that training left behind.

``done`` needs a value that is on and in the document's range, ``needed`` one that is off or out of
it; where no setting is found it is ``unknown``: what a program does by default no file tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capfix_cli.fixes.setting_rule import SWITCHES, TEACHER_FORCING, SettingRule
from capfix_cli.fixes.setting_spellings import HUGGING_FACE_DEFAULTS, HUGGING_FACE_MARK, RULES
from capfix_cli.fixes.settings_files import TrainingSetting, flatten, read_settings
from capfix_cli.schemas.diagnosis_record import Status
from capfix_cli.schemas.measured_values import Evidence

CHECKPOINT = "the checkpoint"
NOT_FOUND = "no setting of it was found, and what a program does by default no file tells"


@dataclass(frozen=True)
class Mark:
    """Where one fix stands.

    Attributes:
        status: ``done``, ``needed`` or ``unknown``.
        reason: in words, with the setting's place and value.
        evidence: every setting that speaks of it.
    """

    status: Status
    reason: str
    evidence: tuple[Evidence, ...] = ()


def training_settings(
    facts: Mapping[str, Any],
    yaml_path: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
) -> dict[str, Mark]:
    """Mark each training fix by what the settings say.

    Args:
        facts: of the checkpoint; ``training.*`` and the dropout facts are used.
        yaml_path: the user's file of settings.
        config: found beside the weights (``Inspection.config``): Lightning's
            ``hyper_parameters``, an optimiser's settings, a saved namespace.

    Returns:
        Fix id -> mark, and two that are no fix of the catalogue: ``schedule`` and
        ``learning-rate``. Where the checkpoint and the file disagree the checkpoint is believed,
        for it was there, and the reason tells both.

    Raises:
        CapfixError: the file cannot be read as YAML.
    """
    known = [*_from_facts(facts), *flatten(config or {}, CHECKPOINT)]
    if yaml_path is not None:
        known += read_settings(yaml_path)
    known += _by_default(known)
    return {name: _mark(rule, known) for name, rule in RULES.items()}


def _from_facts(facts: Mapping[str, Any]) -> list[TrainingSetting]:
    """Take what facts say of training; an architecture's 0 dropout may be one we cannot see."""
    wanted = {name: value for name, value in facts.items() if name.startswith("training.")}
    for name in ("dropout", "encoder.dropout"):
        if facts.get(name) or (name in facts and "encoder.dropout" in facts):
            wanted[name] = facts[name]
    return [
        setting for name, value in wanted.items() for setting in flatten({name: value}, CHECKPOINT)
    ]


def _by_default(known: Sequence[TrainingSetting]) -> list[TrainingSetting]:
    """Add what transformers' Trainer does where its arguments do not say otherwise."""
    mark = next((setting for setting in known if setting.keys[-1] == HUGGING_FACE_MARK), None)
    if mark is None:
        return []
    told = {setting.keys[-1] for setting in known}
    where = f"{mark.where}, by default of transformers' TrainingArguments"
    return [
        TrainingSetting(name, value, where)
        for name, value in HUGGING_FACE_DEFAULTS.items()
        if name not in told
    ]


def _mark(rule: SettingRule, known: Sequence[TrainingSetting]) -> Mark:
    settings = [setting for setting in known if rule.speaks(setting.keys)]
    settings = _without_switched_off(settings)
    if not settings:
        return Mark("unknown", NOT_FOUND)
    believed = [setting for setting in settings if setting.where == settings[0].where]
    evidence = tuple(
        Evidence(f"{setting.path} in {setting.where}", _shown(setting.value), "", rule.wanted)
        for setting in settings
    )
    status, reason = _judge(rule, believed)
    others = [setting for setting in settings if setting.where != settings[0].where]
    if others and _judge(rule, others)[0] != status:
        reason += f"; but {others[0]}, which the checkpoint outweighs"
    return Mark(status, reason, evidence)


def _without_switched_off(settings: Sequence[TrainingSetting]) -> list[TrainingSetting]:
    """Where a block has a switch that is off, keep the switch alone."""
    switches = {
        (setting.where, setting.path.rpartition(".")[0])
        for setting in settings
        if setting.keys[-1] in SWITCHES and setting.off
    }
    return [
        setting
        for setting in settings
        if setting.keys[-1] in SWITCHES
        or (setting.where, setting.path.rpartition(".")[0]) not in switches
    ]


def _judge(rule: SettingRule, settings: Sequence[TrainingSetting]) -> tuple[Status, str]:
    """Judge a fix by its settings: the best of them counts, since one layer's 0 is no lack."""
    verdicts = [_judge_one(rule, setting) for setting in settings]
    for wanted in ("done", "needed"):
        found = [reason for status, reason in verdicts if status == wanted]
        if found:
            return ("done" if wanted == "done" else "needed"), found[0]
    return "unknown", verdicts[0][1]


def _judge_one(rule: SettingRule, setting: TrainingSetting) -> tuple[Status, str]:
    if setting.keys[-1] in TEACHER_FORCING:
        return _judge_teacher(rule, setting)
    number = setting.number
    idle = str(setting.value).strip().lower() in rule.idle
    if number is None or number <= 0:
        if rule.low_unknown:
            return "unknown", f"{setting}, which says nothing of how it began"
        if setting.off or idle or number is not None:
            return "needed", f"{setting}: off"
        if rule.words_count or setting.on:
            return "done", str(setting)
        return "unknown", f"{setting}, which says no number"
    return _judge_number(rule, setting, number)


def _judge_number(rule: SettingRule, setting: TrainingSetting, number: float) -> tuple[Status, str]:
    if rule.switch:
        return "done", str(setting)
    if rule.low <= number <= rule.high:
        return "done", f"{setting}, within {rule.wanted}"
    if number < rule.low and rule.low_unknown:
        return "unknown", f"{setting}, which may be the last of a schedule"
    return "needed", f"{setting}, {'below' if number < rule.low else 'above'} {rule.wanted}"


def _judge_teacher(rule: SettingRule, setting: TrainingSetting) -> tuple[Status, str]:
    """Judge a share of true words: what is left of 1 is predicted ones."""
    if setting.on or setting.number == 1:
        return "needed", f"{setting}: true words only"
    if setting.number is None:
        return "unknown", f"{setting}, which says no share"
    return _judge_number(rule, setting, round(1 - setting.number, 9))


def _shown(value: Any) -> float | str | bool | None:
    return value if value is None or isinstance(value, bool | int | float) else str(value)[:200]
