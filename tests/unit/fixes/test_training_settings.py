"""Training settings from checkpoints and files: done, needed, or honestly unknown."""

from __future__ import annotations

import pytest
import torch

from capfix_cli.captioners.loading import load
from capfix_cli.checkpoints.inspection import inspect_checkpoint
from capfix_cli.core.errors import CapfixError
from capfix_cli.fixes.catalogue import FIXES
from capfix_cli.fixes.setting_spellings import RULES
from capfix_cli.fixes.setting_status import training_settings
from capfix_cli.fixes.settings_files import flatten, read_settings
from capfix_cli.training.training_config import TrainingOptions

MARKED = (
    *("3.1", "3.2", "3.3", "3.4", "3.5", "4.3", "5.1", "5.2", "5.3"),
    *("schedule", "learning-rate"),
)


@pytest.fixture
def marked(tmp_path):
    def mark(text: str, facts=None, config=None):
        path = tmp_path / "train.yaml"
        path.write_text(text, encoding="utf-8")
        return training_settings(facts or {}, path, config)

    return mark


def test_every_rule_is_of_the_catalogue_or_named_apart():
    assert tuple(RULES) == MARKED
    assert set(MARKED) - {fix.id for fix in FIXES} == {"schedule", "learning-rate"}


def test_nothing_known_is_unknown():
    marks = training_settings({})
    assert set(marks) == set(MARKED)
    assert {mark.status for mark in marks.values()} == {"unknown"}
    assert all(mark.evidence == () for mark in marks.values())


# One case a line: what stands in the file, the fix, and where it then stands.
CASES = [
    ("label_smoothing: 0.1", "3.1", "done"),
    ("loss: {args: {smoothing: 0.1}}", "3.1", "done"),
    ("ls_eps: 1e-1", "3.1", "done"),  # text to YAML 1.1
    ("label_smoothing: 0.2", "3.1", "done"),
    ("training: {label_smoothing: Yes}", "3.1", "done"),
    ("label_smoothing: 0.0", "3.1", "needed"),
    ("label_smoothing: 0.5", "3.1", "needed"),
    ("label_smoothing: 0.001", "3.1", "needed"),
    ("label_smoothing: null", "3.1", "needed"),
    ("optimizer: {eps: 0.1}", "3.1", "unknown"),
    ("scheduled_sampling: {use: True, mode: linear, final_ratio: 0.7}", "3.2", "done"),
    ("scheduled_sampling: {use: False, prob: 0.4}", "3.2", "needed"),
    ("ss_prob: 0.4", "3.2", "done"),
    ("ss_prob: 0.0", "3.2", "needed"),
    ("teacher_forcing_ratio: 0.6", "3.2", "done"),
    ("teacher_forcing_ratio: 1.0", "3.2", "needed"),
    ("teacher_forcing: true", "3.2", "needed"),
    ("diversity_alpha: 0.1", "3.3", "done"),
    ("diversity_alpha: 0", "3.3", "needed"),
    ("curriculum: thirds", "3.5", "done"),
    ("curriculum: none", "3.5", "needed"),
    ("specaug: False", "3.4", "needed"),
    ("model: {spec_augment: true}", "3.4", "done"),
    ("mixup_alpha: 0.4", "3.4", "done"),
    ("{apply_spec_augment: true, mask_time_prob: 0.05}", "3.4", "done"),
    ("{apply_spec_augment: false, mask_time_prob: 0.05}", "3.4", "unknown"),
    ("augment: {p_noise: 0.0, p_gain: 0.0}", "3.4", "needed"),
    ("augment: {p_noise: 0.3, p_gain: 0.0}", "3.4", "done"),
    ("captions_per_clip: 5", "4.3", "done"),
    ("captions_per_clip: 1", "4.3", "needed"),
    ("decoder: {dropout_p_decoder: .25}", "5.1", "done"),
    ("p_dropout: 0.0", "5.1", "needed"),
    ("lm: {dropout: 0.05, attention_dropout: 0.3}", "5.1", "done"),
    ("optim: {wd: 0.0001}", "5.2", "done"),
    ("weight_decay: 0", "5.2", "needed"),
    ("weight_decay: 2", "5.2", "done"),
    ("trainer: {gradient_clip_val: 5.0}", "5.3", "done"),
    ("trainer: {gradientClipVal: 5.0}", "5.3", "done"),
    ("clip_grad: 2", "5.3", "done"),
    ("max_grad_norm: 1000", "5.3", "needed"),
    ("gradient_clip_val: null", "5.3", "needed"),
    ("grad_norm: {value: 1., norm: 2}", "5.3", "done"),
    ("grad_norm: {value: -1, norm: 2}", "5.3", "needed"),
    ("lr_scheduler: {type: Exponential, args: {gamma: 0.9}}", "schedule", "done"),
    ("lr_scheduler: null", "schedule", "needed"),
    ("lr_scheduler: constant", "schedule", "needed"),
    ("warmup_steps: 500", "schedule", "done"),
    ("lr: 5e-4", "learning-rate", "done"),
    ("learning_rate: 0.1", "learning-rate", "needed"),
    ("lr: 0.0", "learning-rate", "unknown"),
    ("vocabulary: {dropout: 7, schedule: 3}", "5.1", "unknown"),
]


@pytest.mark.parametrize(("text", "fix", "status"), CASES)
def test_spellings_and_ranges(marked, text, fix, status):
    mark = marked(text)[fix]
    assert mark.status == status, mark.reason
    assert bool(mark.evidence) is (status != "unknown" or fix == "learning-rate")


def test_a_mark_says_where_it_stands_and_how_it_was_judged(marked, tmp_path):
    mark = marked("model:\n  decoder:\n    - {dropout: 0.7}\n")["5.1"]
    assert mark.status == "needed"
    assert f"model.decoder.0.dropout = 0.7 in {tmp_path / 'train.yaml'}, above" in mark.reason
    assert "the document, 5.1" in mark.reason
    (evidence,) = mark.evidence
    assert evidence.value == 0.7
    assert "0.3 to 0.5" in evidence.threshold


def test_the_checkpoint_outweighs_the_file(marked):
    mark = marked("label_smoothing: 0.1", {"training.label_smoothing": 0.0})["3.1"]
    assert mark.status == "needed"
    assert "but label_smoothing = 0.1" in mark.reason
    assert len(mark.evidence) == 2


def test_lightnings_hyper_parameters_count():
    config = {"hyper_parameters": {"optim": {"weight_decay": 1e-4}, "label_smoothing": 0.1}}
    marks = training_settings({}, None, config)
    assert (marks["3.1"].status, marks["5.2"].status) == ("done", "done")
    assert "hyper_parameters.optim.weight_decay" in marks["5.2"].reason


def test_settings_inside_a_lightning_checkpoint(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save(
        {
            "state_dict": {"net.weight": torch.ones(2, 2)},
            "hyper_parameters": {"label_smoothing": 0.1, "dropout": 0.0},
            "optimizer_states": [{"param_groups": [{"lr": 1e-3, "weight_decay": 0.0}]}],
        },
        path,
    )
    marks = training_settings({}, None, inspect_checkpoint(str(path)).config)
    found = {fix: marks[fix].status for fix in ("3.1", "5.1", "5.2", "learning-rate")}
    assert found == {"3.1": "done", "5.1": "needed", "5.2": "needed", "learning-rate": "done"}


def test_a_checkpoint_of_capfix_tells_its_training(tiny_model):
    marks = training_settings(load(str(tiny_model)).summary.facts)
    assert marks["5.2"].status == "done"  # 1e-4
    assert marks["5.3"].status == "done"  # 5
    assert marks["5.1"].status == "done"  # of its config
    assert marks["3.1"].status == "unknown"  # this one does not say


def test_what_a_recipe_trains_with_is_told_by_its_checkpoint():
    def statuses(options, augmentation=""):
        facts = {f"training.{k}": v for k, v in options.facts(5, augmentation).items()}
        return {fix: mark.status for fix, mark in training_settings(facts).items()}

    plain = statuses(TrainingOptions())
    assert [plain[fix] for fix in ("3.1", "3.2", "3.4", "3.5")] == ["needed"] * 4
    assert [plain[fix] for fix in ("4.3", "5.2", "5.3", "learning-rate")] == ["done"] * 4
    full = TrainingOptions(label_smoothing=0.1, scheduled_sampling=0.4)
    mended = statuses(full, "time masks")
    assert [mended[fix] for fix in ("3.1", "3.2", "3.4")] == ["done"] * 3


def test_no_dropout_layer_is_not_no_dropout():
    assert training_settings({"dropout": 0.0})["5.1"].status == "unknown"
    assert training_settings({"dropout": 0.3})["5.1"].status == "done"
    own = {"dropout": 0.0, "encoder.dropout": 0.0}
    assert training_settings(own)["5.1"].status == "needed"


def test_what_transformers_does_by_default_is_known(marked):
    marks = marked("hf_training_args: {per_device_train_batch_size: 2, weight_decay: 0.01}")
    found = {fix: marks[fix].status for fix in ("3.1", "5.2", "5.3", "schedule")}
    assert found == {"3.1": "needed", "5.2": "done", "5.3": "done", "schedule": "done"}
    assert "by default of transformers" in marks["3.1"].reason


def test_tags_of_programs_build_nothing(marked, tmp_path):
    trap = tmp_path / "trap"
    marks = marked(
        "model: !include model.yaml\n"
        "lr: !!float 5e-4\n"
        f"evil: !!python/object/apply:pathlib.Path.touch [!!python/object:pathlib.Path {trap}]\n"
        "args: !!python/namespace:argparse.Namespace {dropout: 0.3}\n"
    )
    assert not trap.exists()
    assert marks["learning-rate"].status == "done"
    assert marks["5.1"].status == "done"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1, 2", "is not YAML: line"),
        ("a: 1\n\tb: 2", "is not YAML: line 2"),
        ("- 1\n- 2", "holds a list, not a mapping"),
        ("just text", "holds a text, not a mapping"),
        ("", "is empty"),
        ("a: 1\n---\nb: 2", "is not YAML"),
        ("when: 2026-99-99", "is not YAML"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path, text, words):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(CapfixError, match=words) as caught:
        read_settings(path)
    assert "\n" not in str(caught.value)
    assert "label_smoothing: 0.1" in caught.value.hint


def test_a_missing_file_and_bytes_are_said(tmp_path):
    with pytest.raises(CapfixError, match="There is no file of training settings"):
        read_settings(tmp_path / "none.yaml")
    path = tmp_path / "model.pt"
    path.write_bytes(b"\x80\x02}\xff")
    with pytest.raises(CapfixError, match="not UTF-8 text"):
        read_settings(path)


def test_shared_anchors_do_not_unfold_without_end(tmp_path):
    lines = ["a0: &a0 {x: 1}"] + [
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)
    ]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines))
    assert len(read_settings(path)) == 20_000


def test_paths_of_nested_settings():
    (one, two) = flatten({"a": {"b": [1, {"c": None}]}}, "here")
    assert (one.path, one.value) == ("a.b.0", 1)
    assert (two.path, two.off) == ("a.b.1.c", True)
