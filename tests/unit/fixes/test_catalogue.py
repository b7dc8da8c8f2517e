"""The catalogue: complete, findable, light to import, and every snippet does what it claims."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from capfix_cli.core.errors import CapfixError
from capfix_cli.fixes.ablation import measured_impact
from capfix_cli.fixes.catalogue import (
    CATEGORY_TITLES,
    FIXES,
    IMPACTS,
    PRIORITY_TITLES,
    FixSpec,
    by_priority,
    fix,
)

IDS = (
    *("1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8"),
    *("2.1", "2.2", "2.3", "2.4", "2.5", "2.6"),
    *("3.1", "3.2", "3.3", "3.4", "3.5", "3.6"),
    *("4.1", "4.2", "4.3"),
    *("5.1", "5.2", "5.3"),
)

# Provenance: the document's sections, summary table, plan and decision tree.
# (id, setting, start value, recommended, the document's ranges)
DOCUMENT_SETTINGS = [
    ("1.1", "temperature", "0.8", "0.7-1.0", ("0.1-0.5", "0.7-1.0", "1.0-1.5", ">2.0")),
    ("1.2", "top_k", "50", "40-60", ("10-20", "40-60", "100+")),
    ("1.3", "top_p", "0.9", "0.9-0.95", ("0.8-0.85", "0.9-0.95", "0.95-0.99")),
    ("1.4", "num_beams", "5", "3-5", ("3-5", "10+")),
    ("2.4", "encoder.depth", "3", "3-4", ("2", "3-4")),
    ("3.1", "label_smoothing", "0.1", "0.05-0.15", ("0.0", "0.05-0.15", "0.2+")),
    ("5.1", "dropout", "0.3", "0.3-0.5", ("0.3-0.5",)),
    ("5.1", "encoder.dropout", "0.2", "0.2-0.3", ("0.2-0.3",)),
    ("5.2", "weight_decay", "1e-4", "1e-4", ("1e-4",)),
    ("5.3", "gradient_clip", "5.0", "5.0", ("5.0",)),
]
DOCUMENT_IMPACTS = {
    **{"1.1": "medium", "1.3": "medium-high", "1.4": "medium"},  # stars of the summary table
    **{"2.1": "high", "2.2": "high", "2.3": "medium-high", "2.4": "medium", "2.5": "high"},
    **{"3.1": "medium", "3.2": "medium-high", "3.3": "low-medium", "3.4": "medium-high"},
    **{"3.5": "low-medium", "4.1": "medium-high", "4.2": "medium", "4.3": "medium-high"},
    **{"5.1": "medium", "5.2": "low-medium", "5.3": "medium"},
}
DOCUMENT_EFFORTS = {
    **{"1.1": "5 min", "1.3": "10 min", "1.4": "30 min", "2.1": "10 min", "2.2": "20 min"},
    **{"2.3": "2 hours", "3.1": "1 min", "3.2": "1 hour", "2.5": "1 day"},
}


def run(id_: str) -> dict[str, Any]:
    """Execute a fix's snippet in a fresh namespace, as after a paste."""
    namespace: dict[str, Any] = {"__name__": "pasted"}
    exec(compile(fix(id_).snippet, f"<snippet {id_}>", "exec"), namespace)
    return namespace


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


# --- the rows ---------------------------------------------------------------------------------


def test_every_fix_is_there_in_id_order():
    assert len(FIXES) == 26
    assert tuple(entry.id for entry in FIXES) == IDS


@pytest.mark.parametrize("entry", FIXES, ids=IDS)
def test_no_field_is_empty_and_every_choice_is_known(entry: FixSpec):
    row = entry.to_dict()
    assert len(row) == 17
    for name, value in row.items():
        assert isinstance(value, bool) or value, name
    for text in (entry.what, entry.when, entry.caution):
        assert text.endswith(".")
        assert "  " not in text
    assert entry.impact in IMPACTS
    assert entry.category == int(entry.id[0])
    assert entry.category_title == CATEGORY_TITLES[entry.category]
    assert entry.priority in PRIORITY_TITLES
    assert entry.retrain == (entry.category != 1)
    assert entry.source.startswith(("the document, ", "ours, "))
    for setting in entry.settings:
        assert all((setting.name, setting.value, setting.recommended, setting.ranges))
        assert all(span and effect for span, effect in setting.ranges)


@pytest.mark.parametrize(("id_", "name", "value", "recommended", "ranges"), DOCUMENT_SETTINGS)
def test_settings_keep_the_documents_figures(id_, name, value, recommended, ranges):
    (setting,) = (row for row in fix(id_).settings if row.name == name)
    assert (setting.value, setting.recommended) == (value, recommended)
    assert set(ranges) <= {span for span, _ in setting.ranges}


def test_impact_and_effort_are_the_documents():
    assert len(DOCUMENT_IMPACTS) == 19
    assert {id_: fix(id_).impact for id_ in DOCUMENT_IMPACTS} == DOCUMENT_IMPACTS
    assert {id_: fix(id_).effort for id_ in DOCUMENT_EFFORTS} == DOCUMENT_EFFORTS


def test_priorities_hold_every_fix_once_in_the_documents_order():
    plan = by_priority()
    assert list(plan) == list(PRIORITY_TITLES) == [1, 2, 3, 4]
    placed = [entry for entries in plan.values() for entry in entries]
    assert len(placed) == 26
    assert {entry.id for entry in placed} == set(IDS)
    assert all(entry.priority == step for step, entries in plan.items() for entry in entries)
    heads = {step: tuple(entry.id for entry in entries[:3]) for step, entries in plan.items()}
    assert heads[1] == ("1.1", "1.3", "1.2")
    assert heads[2] == ("2.1", "2.2", "3.1")
    assert heads[3] == ("2.3", "3.2", "3.4")
    assert heads[4] == ("2.5", "2.6")


# --- finding a fix ----------------------------------------------------------------------------


@pytest.mark.parametrize("entry", FIXES, ids=IDS)
def test_found_by_id_title_and_every_alias(entry: FixSpec):
    for name in (entry.id, entry.title, *entry.aliases):
        assert fix(name) is entry
        assert fix(f"  {name.upper()} ") is entry


@pytest.mark.parametrize(
    ("query", "id_"),
    [
        ("Nucleus", "1.3"),
        ("top_p", "1.3"),
        ("bahdanau", "2.3"),
        ("smooth", "3.1"),
        ("gradient", "5.3"),
        ("beam search", "1.4"),  # exact titles win over being part of another title
        ("PANNs", "2.6"),
    ],
)
def test_found_by_other_names_and_parts_of_titles(query, id_):
    assert fix(query).id == id_


@pytest.mark.parametrize(
    ("query", "nearest"),
    [("temprature", "1.1"), ("nuclues", "1.3"), ("atention", "2.3"), ("1.9", "1.")],
)
def test_unknown_name_suggests_the_nearest(query, nearest):
    with pytest.raises(CapfixError) as caught:
        fix(query)
    assert query in caught.value.message
    assert f"Did you mean {nearest}" in caught.value.hint
    assert "capfix fixes" in caught.value.hint


@pytest.mark.parametrize("query", ["", "   ", "xylophone quartet"])
def test_hopeless_name_says_how_to_list(query):
    with pytest.raises(CapfixError, match="capfix fixes") as caught:
        fix(query)
    assert "Did you mean" not in caught.value.hint


def test_part_of_several_titles_lists_them():
    with pytest.raises(CapfixError) as caught:
        fix("sampling")
    assert "matches 4 fixes: 1.1" in caught.value.message
    assert "3.2 Scheduled sampling" in caught.value.message


def test_names_are_unambiguous():
    names = [name.lower() for e in FIXES for name in {e.id, e.title.lower(), *e.aliases}]
    assert len(names) > 80
    assert len(names) == len(set(names))


def test_importing_the_catalogue_imports_nothing_heavy():
    code = (
        "import json, sys; before = set(sys.modules); import capfix_cli.fixes.catalogue; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "capfix_cli" in loaded
    assert not loaded & {"torch", "torchaudio", "numpy", "rich", "typer", "yaml", "sklearn"}


# --- the snippets -----------------------------------------------------------------------------


@pytest.mark.parametrize("id_", IDS)
def test_snippet_is_short_and_runs_as_pasted(id_):
    lines = fix(id_).snippet.splitlines()
    assert 1 <= len(lines) <= 18
    assert max(map(len, lines)) <= 100
    namespace = run(id_)
    assert any(getattr(made, "__module__", "") == "pasted" for made in namespace.values())


def test_temperature_moves_the_odds_as_the_formula_says():
    sample_word = run("1.1")["sample_word"]
    logits = torch.tensor([[2.0, 1.0, 0.0]]).expand(20_000, -1)
    for temperature in (0.5, 0.8, 1.5):
        drawn = torch.bincount(sample_word(logits, temperature), minlength=3) / len(logits)
        torch.testing.assert_close(drawn, (logits[0] / temperature).softmax(-1), atol=0.015, rtol=0)
    assert sample_word(logits[:4], temperature=0).tolist() == [0] * 4


def test_top_k_keeps_the_k_likeliest():
    keep_top_k = run("1.2")["keep_top_k"]
    logits = torch.randn(6, 100)
    kept = keep_top_k(logits, k=7)
    assert kept.isfinite().sum(-1).tolist() == [7] * 6
    assert torch.equal(kept.topk(7).indices, logits.topk(7).indices)
    assert torch.equal(keep_top_k(logits, k=1000), logits)


def test_top_p_keeps_the_smallest_set_that_reaches_p():
    keep_nucleus = run("1.3")["keep_nucleus"]
    # Hand-made: 0.5 + 0.25 fall short of 0.8, with 0.15 they reach it.
    logits = torch.tensor([[0.1, 0.5, 0.15, 0.25]]).log()
    assert keep_nucleus(logits, p=0.8).isfinite().tolist() == [[False, True, True, True]]
    logits = torch.randn(50, 40) * 3
    for p in (0.1, 0.5, 0.9, 0.95):
        kept, probs = keep_nucleus(logits, p).isfinite(), logits.softmax(-1)
        held = (probs * kept).sum(-1)
        least = probs.masked_fill(~kept, 2).amin(-1)
        assert (held >= p - 1e-6).all()  # it reaches p
        assert (held - least < p).all()  # and without its least likely word it would not
        assert (probs.masked_fill(kept, 0).amax(-1) <= least).all()  # none likelier is left out


def chain(table: torch.Tensor):
    """Next-word logits that depend on the last word only: [n, T] -> [n, words]."""
    return lambda prefix: table[prefix[:, -1]]


def test_beam_search_finds_what_greedy_misses():
    beam_search = run("1.4")["beam_search"]
    # 0 begin, 1 end. Word 2 looks better first (.6), yet 3 leads to a likelier whole (.4 > .3).
    rows = [[0, 0, 0.6, 0.4], [0, 1, 0, 0], [0, 0.5, 0, 0.5], [0, 1, 0, 0]]
    table = torch.tensor(rows).log()
    assert beam_search(chain(table), bos=0, eos=1, num_beams=1) == [0, 2, 1]
    assert beam_search(chain(table), bos=0, eos=1, num_beams=3) == [0, 3, 1]


def test_wide_beam_search_is_exhaustive():
    beam_search = run("1.4")["beam_search"]
    for seed in range(5):
        table = torch.randn(5, 5, generator=torch.Generator().manual_seed(seed)) * 2
        odds = table.log_softmax(-1)

        def score(path: tuple[int, ...], odds: torch.Tensor = odds) -> float:
            return sum(float(odds[a, b]) for a, b in itertools.pairwise(path))

        paths = [
            (0, *middle, 1)
            for length in range(4)
            for middle in itertools.product((0, 2, 3, 4), repeat=length)
        ]
        found = beam_search(chain(table), bos=0, eos=1, num_beams=10_000, max_length=4)
        assert tuple(found) == max(paths, key=score)


def test_beam_search_stops_at_the_length_limit():
    endless = torch.tensor([[0, 0, 1.0]] * 3).log()
    found = run("1.4")["beam_search"](chain(endless), bos=0, eos=1, num_beams=2, max_length=6)
    assert found == [0, 2, 2, 2, 2, 2, 2]


def test_diverse_step_makes_groups_part():
    diverse_step = run("1.5")["diverse_step"]
    log_probs = torch.tensor([0.4, 0.35, 0.25]).log().expand(3, 1, 3)
    scores = torch.zeros(3, 1)
    new, beam, word = diverse_step(scores, log_probs, penalty=0.0)
    assert word.flatten().tolist() == [0, 0, 0]
    new, beam, word = diverse_step(scores, log_probs, penalty=0.8)
    assert word.flatten().tolist() == [0, 1, 2]
    assert beam.flatten().tolist() == [0, 0, 0]
    torch.testing.assert_close(new.exp().flatten(), torch.tensor([0.4, 0.35, 0.25]))


def test_diverse_step_with_one_group_is_a_beam_step():
    scores, log_probs = torch.randn(1, 4), torch.randn(1, 4, 9).log_softmax(-1)
    new, beam, word = run("1.5")["diverse_step"](scores, log_probs, penalty=5.0)
    totals = scores[..., None] + log_probs
    torch.testing.assert_close(new[0], totals.flatten().topk(4).values)
    torch.testing.assert_close(totals[0, beam[0], word[0]], new[0])


def test_contrast_prefers_what_hearing_the_clip_raises():
    contrast = run("1.6")["contrast"]
    # A favourite word (0) whatever the clip; the clip raises word 1; word 3 is implausible.
    heard = torch.tensor([0.50, 0.40, 0.09, 0.01]).log()
    unheard = torch.tensor([0.70, 0.10, 0.199, 0.001]).log()
    assert heard.argmax() == 0
    scores = contrast(heard, unheard, weight=1.0, cutoff=0.1)
    assert scores.argmax() == 1
    assert scores.isfinite().tolist() == [True, True, True, False]
    assert contrast(heard, unheard, weight=20.0, cutoff=0.0).argmax() == 3  # what the cut is for
    expected = 2 * heard - unheard  # (1 + a) log p(w|audio) - a log p(w|no audio), a = 1
    torch.testing.assert_close(scores[:3], expected[:3])
    torch.testing.assert_close(contrast(heard, unheard, weight=0.0, cutoff=0.0), heard)


def test_encoder_keeps_every_frame_in_order():
    encoder = run("2.1")["FrequencyPooledEncoder"](width=8).eval()
    mels = torch.randn(2, 1, 64, 50)
    out = encoder(mels)
    assert out.shape == (2, 50, 8)
    changed = mels.clone()
    changed[..., 40:] += 3  # three 3-wide layers see three frames to either side
    moved = (encoder(changed) - out).abs().amax(dim=(0, 2)) > 1e-6
    assert not moved[:37].any()
    assert moved[40:].all()


def test_audio_reaches_the_last_word():
    decoder = run("2.2")["EveryStepDecoder"](vocabulary=11, audio=6).eval()
    words = torch.randint(11, (2, 20))
    audio = torch.randn(2, 6, requires_grad=True)
    logits = decoder(words, audio)
    assert logits.shape == (2, 20, 11)
    reach = torch.autograd.grad(decoder(words, audio)[:, -1].square().sum(), audio)[0]
    assert reach.abs().amin() > 0
    # Not by way of the first state alone: without recurrence the last word still hears it.
    nn.init.zeros_(decoder.rnn.weight_hh_l0)
    assert not torch.allclose(decoder(words, audio)[:, -1], decoder(words, -audio)[:, -1])


def test_attention_follows_the_state_and_skips_padding():
    attention = run("2.3")["FrameAttention"](frame=5, state=7)
    frames, real = torch.randn(2, 9, 5), torch.ones(2, 9, dtype=torch.bool)
    real[1, 4:] = False
    heard, weights = attention(frames, torch.randn(2, 7), real)
    assert heard.shape == (2, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2))
    assert weights[1, 4:].eq(0).all()
    torch.testing.assert_close(heard, (weights[..., None] * frames).sum(1))
    assert not torch.allclose(attention(frames, torch.randn(2, 7), real)[1], weights)


def test_residual_block_passes_its_input_on():
    block = run("2.4")["ResidualBlock"](4)
    x = torch.rand(2, 4, 8, 10)
    assert block(x).shape == x.shape
    nn.init.zeros_(block.added[-1].weight)  # the two layers add nothing
    torch.testing.assert_close(block(x), x)


def test_transformer_hears_and_does_not_look_ahead():
    model = run("2.5")["TransformerCaptioner"](vocabulary=9, mels=16, width=32).eval()
    mels, words = torch.randn(2, 30, 16), torch.randint(9, (2, 6))
    logits = model(mels, words)
    assert logits.shape == (2, 6, 9)
    later = words.clone()
    later[:, 4:] = (later[:, 4:] + 1) % 9
    torch.testing.assert_close(model(mels, later)[:, :4], logits[:, :4])
    assert not torch.allclose(model(mels, later)[:, 4:], logits[:, 4:])
    assert not torch.allclose(model(mels.flip(1), words), logits)  # frames have their order


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [True, False])
def test_pretrained_weights_arrive(tmp_path, prefix, wrapped):
    load_pretrained = run("2.6")["load_pretrained"]
    donor, encoder = (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)) for _ in range(2))
    weights = {prefix + name: tensor for name, tensor in donor.state_dict().items()}
    weights[f"{prefix}fc_audioset.weight"] = torch.zeros(527, 2)  # the tagger's head, unused
    path = str(tmp_path / "Cnn14.pth")
    torch.save({"model": weights, "iteration": 1} if wrapped else weights, path)
    assert load_pretrained(encoder, path) == ["fc_audioset.weight"]
    assert torch.equal(encoder[0].weight, donor[0].weight)


def test_pretrained_weights_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"model": nn.Linear(2, 2).state_dict()}, path)
    with pytest.raises(ValueError, match=r"other\.pth: 0\.weight, 0\.bias"):
        run("2.6")["load_pretrained"](nn.Sequential(nn.Linear(2, 2)), str(path))


def test_label_smoothing_is_the_mixture_and_skips_padding():
    caption_loss = run("3.1")["caption_loss"]
    logits, targets = torch.randn(2, 3, 5), torch.tensor([[1, 2, 0], [3, 0, 0]])
    odds, real = logits.log_softmax(-1), targets != 0
    hard = -odds.gather(-1, targets[..., None])[..., 0][real].mean()
    even = -odds.mean(-1)[real].mean()
    torch.testing.assert_close(caption_loss(logits, targets, pad=0, smoothing=0.0), hard)
    torch.testing.assert_close(caption_loss(logits, targets, pad=0), 0.9 * hard + 0.1 * even)


def test_scheduled_sampling_rises_and_feeds_predictions_one_place_on():
    space = run("3.2")
    shares = [space["sampling_share"](epoch, 11) for epoch in range(11)]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(0.4)
    words = torch.randint(50, (40, 30))
    logits = torch.randn(40, 30, 50)
    mix = space["mix_inputs"]
    assert torch.equal(mix(words, logits, 0.0), words)
    full = mix(words, logits, 1.0)
    assert torch.equal(full[:, 0], words[:, 0])
    assert torch.equal(full[:, 1:], logits[:, :-1].argmax(-1))
    swapped = (mix(words, logits, 0.4) != words)[:, 1:].float().mean()
    assert float(swapped) == pytest.approx(0.4, abs=0.05)


def test_repeat_penalty_is_one_for_repeats_and_has_a_gradient():
    space = run("3.3")
    same, turns = torch.tensor([[3, 3, 3, 3]]), torch.tensor([[3, 1, 3, 1]])

    def certain(words: torch.Tensor) -> torch.Tensor:
        return nn.functional.one_hot(words, 5).float() * 50

    real = torch.ones(1, 4, dtype=torch.bool)
    assert float(space["repeat_penalty"](certain(same), real)) == pytest.approx(1)
    assert float(space["repeat_penalty"](certain(turns), real)) == pytest.approx(0, abs=1e-6)
    ending = torch.tensor([[True, False, False, False]])
    assert float(space["repeat_penalty"](certain(same), ending)) == 0
    logits = torch.zeros(1, 4, 5, requires_grad=True)
    (space["repeat_penalty"](logits * 1 + certain(same) / 50, real)).backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0
    assert float(space["total_loss"](2.0, certain(same), real)) == pytest.approx(2.1)


def test_spec_augment_masks_a_band_and_a_stretch_by_the_mean():
    spec_augment = run("3.4")["spec_augment"]
    mels = torch.randn(200, 64, 100)
    out = spec_augment(mels)
    masked = out != mels
    rows, columns = masked.all(dim=2), masked.all(dim=1)
    assert int(rows.sum(1).max()) == 8
    assert int(columns.sum(1).max()) == 10
    assert torch.equal(masked, rows[:, :, None] | columns[:, None])
    for line in (rows, columns):  # one unbroken stretch in each clip: at most one start
        starts = line[:, 1:] & ~line[:, :-1]
        assert int((starts.sum(1) + line[:, 0]).max()) == 1
    expected = mels.mean(dim=(1, 2), keepdim=True).expand_as(mels)
    assert torch.equal(out[masked], expected[masked])
    assert torch.equal(spec_augment(mels, bands=0, frames=0.0), mels)


def test_curriculum_goes_from_short_to_all():
    captions_for = run("3.5")["captions_for"]
    captions = [" ".join(["word"] * length) for length in range(8, 21)]
    sizes = [len(captions_for(epoch, captions)) for epoch in (1, 10, 11, 20, 21, 50)]
    assert sizes == [3, 3, 7, 7, 13, 13]


def test_listening_loss_is_chance_for_the_deaf_and_nothing_for_the_sure():
    listening_loss = run("3.6")["listening_loss"]
    assert float(listening_loss(torch.zeros(5, 4))) == pytest.approx(math.log(4))
    sure = torch.tensor([[0.0, -50.0, -50.0]])
    assert float(listening_loss(sure)) == pytest.approx(0, abs=1e-6)
    assert float(listening_loss(sure.flip(1))) > 10


def test_balanced_sampler_draws_by_the_root_of_the_frequency():
    balanced_sampler = run("4.1")["balanced_sampler"]
    kinds = ["person walking"] * 1000 + ["alarm clock"] * 10
    for power, ratio in ((0.0, 100), (0.5, 10), (1.0, 1)):
        weights = balanced_sampler(kinds, power).weights
        assert len(weights) == 1010
        assert float(weights[:1000].sum() / weights[1000:].sum()) == pytest.approx(ratio)
    drawn = list(balanced_sampler(kinds, power=1.0))
    assert len(drawn) == 1010
    assert sum(index >= 1000 for index in drawn) / 1010 == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("caption", "specific"),
    [
        ("A sound is heard.", False),
        ("Something is making noise", False),
        ("", False),
        (" . ", False),
        ("A sound of rain.", True),
        ("someone is hammering", True),
    ],
)
def test_caption_filter_drops_what_fits_any_clip(caption, specific):
    assert run("4.2")["is_specific"](caption) is specific


def test_all_captions_are_read_and_predictions_are_not():
    row = {"file_name": "a.wav", "caption_predicted": "no"}
    row |= {f"caption_{n}": f"text {n}" for n in range(1, 6)}
    short = {"file_name": "b.wav", "caption_1": "only", "caption_2": ""}
    pairs = run("4.3")["caption_pairs"]([row, short])
    assert len(pairs) == 6
    assert pairs == [*(("a.wav", f"text {n}") for n in range(1, 6)), ("b.wav", "only")]


def test_dropout_silences_channels_in_training_only():
    space = run("5.1")
    block = space["conv_block"](1, 400)
    out = block(torch.randn(1, 1, 16, 16))
    silent = out.flatten(2).abs().amax(-1).eq(0).float().mean()
    assert float(silent) == pytest.approx(0.2, abs=0.08)
    block.eval()
    x = torch.randn(1, 1, 16, 16)
    assert torch.equal(block(x), block(x))
    head = space["word_head"](8, 5)
    assert head(torch.randn(2, 3, 8)).shape == (2, 3, 5)
    assert head[0].p == 0.3


def test_weight_decay_pulls_matrices_and_leaves_vectors():
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    optimizer = run("5.2")["make_optimizer"](model, lr=0.1, decay=0.5)
    before = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    assert len(before) == 4
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, tensor in model.named_parameters():
        factor = 1 - 0.1 * 0.5 if name == "0.weight" else 1.0
        torch.testing.assert_close(tensor.detach(), before[name] * factor)


def test_clipped_step_limits_the_step_and_tells_the_norm():
    clipped_step = run("5.3")["clipped_step"]
    model = nn.Linear(1, 1, bias=False)
    start = float(model.weight.detach())
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    norm = clipped_step(model(torch.tensor([[100.0]])).sum(), model, optimizer)
    assert norm == pytest.approx(100)
    assert start - float(model.weight.detach()) == pytest.approx(5, rel=1e-4)
    broken = model(torch.tensor([[math.nan]])).sum()
    with pytest.raises(RuntimeError, match="non-finite"):
        clipped_step(broken, model, optimizer)
    assert model.weight.isfinite().all()


def test_what_fixes_did_alone_stands_beside_the_documents_rating(capfix):
    for entry in FIXES:
        for row in measured_impact(entry.id):
            assert row.setting.startswith(f"{entry.id} ")
            assert row.low <= row.change <= row.high
            effect = "helps" if row.low > 0 else "harms" if row.high < 0 else "nothing"
            assert row.effect == effect, row
    trained = [entry.id for entry in FIXES if entry.retrain and not measured_impact(entry.id)]
    assert trained == ["2.6"], "it needs weights that cannot be shipped"
    assert not measured_impact("1.1")
    (row,) = measured_impact("3.6")
    assert row.words in " ".join(capfix("fixes", "3.6").out.split())
    assert "measured alone" in capfix("fixes").out
