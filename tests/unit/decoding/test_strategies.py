"""Every way of decoding: what must not change a caption, and what a strategy is by definition."""

from __future__ import annotations

import itertools
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from capfix_cli.captioners.base import Captioner
from capfix_cli.core.errors import CapfixError
from capfix_cli.decoding import logit_warpers as filters
from capfix_cli.decoding.beam_search import largest
from capfix_cli.decoding.caption_scoring import score_sequences
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import GREEDY, DecodingOptions, options_from_dict
from capfix_cli.decoding.logit_processors import forbid_repeated_ngrams, penalise_repetition
from capfix_cli.decoding.null_audio import make_absent
from capfix_cli.decoding.token_sampling import MAX_PROPOSALS, UniformStream, draw

WORDS, CLIPS = 12, 6


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Networks this small gain nothing from threads, and lose much to them on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Recurrent(Captioner):
    """A small random GRU over words, its memory the first state; steps or whole prefixes."""

    sample_rate, bos_id, eos_id, max_length = 8_000, 0, 1, 9

    def __init__(self, seed=0, words=WORDS, width=16):
        generator = torch.Generator().manual_seed(seed)
        self.vocabulary = [f"w{i}" for i in range(words)]
        self.cell = torch.nn.GRUCell(width, width)
        self.out = torch.nn.Linear(width, words)
        self.words = torch.nn.Embedding(words, width)
        for weight in itertools.chain(
            self.cell.parameters(), self.out.parameters(), self.words.parameters()
        ):
            weight.data.copy_(torch.randn(weight.shape, generator=generator) * 0.9)

    def encode(self, waveforms, lengths):
        """The memory is made by hand in these tests; noise and silence give their loudness."""
        loud = waveforms.abs().mean(dim=1, keepdim=True)
        return {"first": loud.expand(-1, 16).clone(), "mask": torch.ones(len(lengths), 1).bool()}

    def start(self, memory):
        return memory["first"]

    def step(self, token, state, memory):
        state = self.cell(self.words(token), state)
        return self.out(state), state


class ByPrefix(Recurrent):
    """The same scores from whole prefixes alone."""

    def start(self, memory):
        return None

    def step(self, token, state, memory):
        return Captioner.step(self, token, state, memory)

    def logits(self, prefix, memory):
        state = memory["first"]
        for token in prefix.unbind(dim=1):
            state = self.cell(self.words(token), state)
        return self.out(state)


class AllAtOnce(Recurrent):
    def sequence_logits(self, tokens, memory):
        state, scores = memory["first"], []
        for token in tokens.unbind(dim=1):
            state = self.cell(self.words(token), state)
            scores.append(self.out(state))
        return torch.stack(scores, dim=1)


class TimeFirst(Recurrent):
    """Memory [1, B, D] and state [1, B, D]: both count rows along axis 1."""

    memory_batch_dim = state_batch_dim = 1

    def start(self, memory):
        return memory["first"]

    def step(self, token, state, memory):
        scores, state = super().step(token, state[0], memory)
        return scores, state[None]


class Sharing(Recurrent):
    """Takes several rows over one memory, and counts the rows of the memory it was given."""

    shares_memory = True

    def __init__(self, *args):
        super().__init__(*args)
        self.seen = set()

    def start(self, memory):
        return torch.zeros_like(memory["first"])

    def step(self, token, state, memory):
        heard = memory["first"]
        self.seen.add(len(heard))
        heard = heard.repeat_interleave(len(token) // len(heard), dim=0)
        state = self.cell(self.words(token) + heard, state)
        return self.out(state), state


class Copying(Sharing):
    shares_memory = False


def memory_of(clips, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return {
        "first": torch.randn(clips, 16, generator=generator),
        "mask": torch.ones(clips, 1, dtype=torch.bool),
    }


def chunk_of(clips=CLIPS, seed=5):
    return EncodedBatch(tuple(f"clip{i}" for i in range(clips)), memory_of(clips, seed))


def captions(captioner, options, chunk=None, seed=0, absent=None):
    found = decode(captioner, chunk or chunk_of(), options, seed, absent)
    return [(c.tokens, c.ended, *(o.tokens for o in c.others)) for c in found]


STRATEGIES = {
    "greedy": GREEDY,
    "temperature": DecodingOptions(do_sample=True, temperature=0.7),
    "top-k": DecodingOptions(do_sample=True, top_k=4),
    "top-p": DecodingOptions(do_sample=True, top_p=0.8),
    "min-p": DecodingOptions(do_sample=True, min_p=0.1),
    "typical": DecodingOptions(do_sample=True, typical_p=0.7),
    "beam": DecodingOptions(num_beams=4),
    "diverse-beam": DecodingOptions(num_beams=4, num_beam_groups=2, diversity_penalty=0.8),
    "repetition": DecodingOptions(repetition_penalty=1.4),
    "no-repeat": DecodingOptions(no_repeat_ngram_size=2, num_beams=3),
    "minimum": DecodingOptions(min_new_tokens=5),
    "several": DecodingOptions(do_sample=True, num_return_sequences=3),
    "contrast": DecodingOptions(contrast=1.0),
    "contrast-mean": DecodingOptions(contrast=1.0, contrast_absent="mean-memory"),
    "contrast-beam": DecodingOptions(contrast=1.0, num_beams=3),
    "contrast-sample": DecodingOptions(contrast=1.0, do_sample=True, top_p=0.9),
    "contrast-groups": DecodingOptions(
        contrast=0.5, num_beams=4, num_beam_groups=2, diversity_penalty=0.3
    ),
    "likelihood": DecodingOptions(do_sample=True, num_candidates=5, rerank="likelihood"),
    "listening": DecodingOptions(do_sample=True, num_candidates=5, rerank="listening"),
    "mbr": DecodingOptions(do_sample=True, num_candidates=5, rerank="mbr"),
}


@pytest.fixture(params=sorted(STRATEGIES))
def options(request):
    return STRATEGIES[request.param]


def absent_for(captioner, options):
    kind = options.absent_kind
    return None if kind is None else make_absent(captioner, kind, memory_of(CLIPS), CLIPS, 0)


def test_a_batch_of_one_gives_what_a_batch_of_many_gives(options):
    captioner, whole = Recurrent(), chunk_of()
    absent = absent_for(captioner, options)
    together = captions(captioner, options, whole, absent=absent)
    for row, name in enumerate(whole.names):
        memory = {key: part[row : row + 1] for key, part in whole.memory.items()}
        assert captions(captioner, options, EncodedBatch((name,), memory), absent=absent) == [
            together[row]
        ]


def test_permuted_clips_give_permuted_captions(options):
    captioner, whole = Recurrent(), chunk_of()
    absent = absent_for(captioner, options)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    turned = EncodedBatch(
        tuple(whole.names[i] for i in order), {k: v[order] for k, v in whole.memory.items()}
    )
    plain = captions(captioner, options, whole, absent=absent)
    assert captions(captioner, options, turned, absent=absent) == [plain[i] for i in order]


def test_many_rows_are_decoded_in_parts(options, monkeypatch):
    whole = captions(Recurrent(), options)
    monkeypatch.setattr("capfix_cli.decoding.decode.MOST_SCORES", options.rows * WORDS * 2)
    assert captions(Recurrent(), options) == whole


def test_steps_and_whole_prefixes_agree(options):
    assert captions(ByPrefix(), options) == captions(Recurrent(), options)
    assert captions(AllAtOnce(), options) == captions(Recurrent(), options)


def test_rows_are_counted_along_the_declared_axes(options):
    flat = chunk_of()
    turned = EncodedBatch(
        flat.names, {"first": flat.memory["first"][None], "mask": flat.memory["mask"].T}
    )
    assert captions(TimeFirst(), options, turned) == captions(Recurrent(), options, flat)


def test_a_shared_memory_is_not_copied_and_changes_nothing(options):
    sharing = Sharing()
    assert captions(sharing, options) == captions(Copying(), options)
    assert max(sharing.seen) <= CLIPS + 2  # contrast and reranking ask for other clips, not rows


def test_the_same_seed_gives_the_same_and_another_another(options):
    first, again, other = (captions(Recurrent(), options, seed=s) for s in (3, 3, 4))
    assert first == again
    if options.do_sample and options.rerank is None:
        assert first != other


def test_log_probabilities_are_those_of_the_caption(options):
    captioner, chunk = Recurrent(), chunk_of()
    found = decode(captioner, chunk, options, 0)
    rows = [(*c.tokens, 1) if c.ended else c.tokens for c in found]
    scores = score_sequences(captioner, chunk.memory, rows, CLIPS)
    assert [c.logprob for c in found] == pytest.approx(scores.tolist(), abs=1e-4)


@pytest.mark.parametrize(
    "neutral",
    [
        {"top_p": 1.0, "do_sample": True},
        {"top_k": WORDS, "do_sample": True},
        {"min_p": 0.0, "do_sample": True},
        {"typical_p": 1.0, "do_sample": True},
        {"min_p": 1e-12, "do_sample": True},
    ],
    ids=str,
)
def test_filters_that_keep_everything_change_nothing(neutral):
    plain = captions(Recurrent(), DecodingOptions(do_sample=True))
    assert captions(Recurrent(), DecodingOptions(**neutral)) == plain


def test_temperature_towards_zero_and_one_beam_and_no_contrast_are_greedy():
    greedy = captions(Recurrent(), GREEDY)
    for options in (
        DecodingOptions(do_sample=True, temperature=1e-4),
        DecodingOptions(do_sample=True, top_k=1),
        DecodingOptions(do_sample=True, top_p=1e-6),
        DecodingOptions(do_sample=True, min_p=1.0),
        DecodingOptions(num_beams=1),
        DecodingOptions(contrast=0.0),
        DecodingOptions(contrast=1e-7),
    ):
        assert captions(Recurrent(), options) == greedy


def test_one_group_and_no_penalty_are_beam_search():
    plain = captions(Recurrent(), DecodingOptions(num_beams=4, num_return_sequences=4))
    assert len(plain[0]) == 5
    # Without a penalty every group finds what beam search of its size finds.
    groups = captions(Recurrent(), DecodingOptions(num_beams=4, num_beam_groups=2))
    assert groups == captions(Recurrent(), DecodingOptions(num_beams=2))


def brute_force_groups(captioner, first, options, most):
    """Diverse beam search for one clip, in plain Python, from its definition (arXiv 1610.02424)."""
    size = options.num_beams // options.num_beam_groups

    def logprobs(path):
        state = first
        for token in (0, *path):
            state = captioner.cell(captioner.words(torch.tensor([token])), state)
        return captioner.out(state).log_softmax(dim=1)[0].tolist()

    groups = [[((), 0.0)] for _ in range(options.num_beam_groups)]
    done = [[] for _ in groups]
    closed = [False] * len(groups)
    for length in range(1, most + 1):
        taken = []
        for number, beams in enumerate(groups):
            options_here = []
            for path, score in beams:
                for token, gain in enumerate(logprobs(path)):
                    penalty = options.diversity_penalty * taken.count(token)
                    options_here.append((score + gain - penalty, path, token))
            options_here.sort(key=lambda item: -item[0])
            running = []
            for rank, (score, path, token) in enumerate(options_here[: 2 * size]):
                stops = token == 1 or length == most
                if stops and rank < size and not closed[number]:
                    tokens = path if token == 1 else (*path, token)
                    done[number].append((score / length**options.length_penalty, tokens))
                    done[number] = sorted(done[number], key=lambda item: -item[0])[:size]
                if token != 1:
                    running.append(((*path, token), score))
            groups[number] = running[:size]
            taken += [path[-1] for path, _ in groups[number]]
            if len(done[number]) == size and length < most:
                promised = groups[number][0][1] / length**options.length_penalty
                closed[number] = closed[number] or promised <= done[number][-1][0]
    everything = [item for group in done for item in group]
    return max(everything, key=lambda item: item[0])[1]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "shape", [(4, 2, 0.7), (6, 3, 0.4), (3, 3, 1.5), (4, 1, 0.0), (6, 2, 5.0)], ids=str
)
def test_diverse_beam_search_is_what_the_paper_defines(seed, shape):
    beams, groups, penalty = shape
    options = DecodingOptions(num_beams=beams, num_beam_groups=groups, diversity_penalty=penalty)
    captioner, chunk = Recurrent(seed), chunk_of(3, seed)
    captioner.max_length = 6
    found = captions(captioner, options, chunk)
    for row in range(3):
        first = chunk.memory["first"][row : row + 1]
        assert found[row][0] == brute_force_groups(captioner, first, options, 6)


def test_groups_avoid_each_others_words():
    options = DecodingOptions(
        num_beams=3, num_beam_groups=3, diversity_penalty=50.0, num_return_sequences=3
    )
    for _, _, *others in captions(Recurrent(), options):
        assert len({other[:1] for other in others}) == len(others)


class Silent(Recurrent):
    """Never gives its end token."""

    def step(self, token, state, memory):
        scores, state = super().step(token, state, memory)
        scores[:, 1] = -torch.inf
        return scores, state


class Broken(Recurrent):
    value = float("nan")

    def step(self, token, state, memory):
        scores, state = super().step(token, state, memory)
        return torch.full_like(scores, self.value), state


class AllOut(Broken):
    value = float("-inf")


class Narrow(Recurrent):
    """Scores in bfloat16, of which neighbouring ones differ by more than one in a hundred."""

    def step(self, token, state, memory):
        scores, state = super().step(token, state, memory)
        return scores.bfloat16(), state


@torch.inference_mode()
def test_probabilities_are_float32_whatever_the_weights_are():
    narrow = Narrow()
    for caption in decode(narrow, chunk_of(), GREEDY, 0):
        tokens = (*caption.tokens, 1) if caption.ended else caption.tokens
        memory = {k: v[int(caption.file_name[4:])][None] for k, v in chunk_of().memory.items()}
        state, expected, last = narrow.start(memory), 0.0, 0
        for token in tokens:
            scores, state = narrow.step(torch.tensor([last]), state, memory)
            expected += float(scores.float().log_softmax(1)[0, token])
            last = token
        assert caption.logprob == pytest.approx(expected, abs=1e-5)


def test_an_end_that_never_comes_is_cut_at_the_limit(options):
    for found in decode(Silent(), chunk_of(), options, 0):
        assert not found.ended
        assert len(found.tokens) == Silent.max_length


@pytest.mark.parametrize("kind", [Broken, AllOut])
def test_scores_that_are_no_numbers_end_the_caption(kind, options):
    for found in decode(kind(), chunk_of(), options, 0):
        assert len(found.tokens) <= Broken.max_length


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from(["top_p", "min_p"]), st.floats(0.05, 0.99))
def test_drawing_without_sorting_draws_only_what_the_filter_keeps(seed, name, value):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(20, 700, generator=generator) * 3
    options = DecodingOptions(do_sample=True, **{name: value})
    uniforms = torch.rand(20, MAX_PROPOSALS, generator=generator, dtype=torch.float64)
    drawn = draw(scores, options, uniforms)
    kept = filters.apply(scores, options).isfinite()
    # Within rounding of the cut either side of it may be meant.
    edge = filters.apply(scores, DecodingOptions(do_sample=True, **{name: value * 0.9999}))
    wide = kept | edge.isfinite()
    assert bool(wide.gather(1, drawn.unsqueeze(1)).all())


def test_the_number_that_refuses_all_proposals_still_draws_from_the_filter():
    scores = torch.zeros(4, 300)
    scores[:, 0] = 8.0
    uniforms = torch.full((4, MAX_PROPOSALS), 0.9999999, dtype=torch.float64)
    options = DecodingOptions(do_sample=True, top_p=0.6)
    assert draw(scores, options, uniforms).tolist() == [0] * 4


@given(st.integers(1, 12), st.integers(0, 1000))
def test_the_largest_are_found_through_blocks(k, seed):
    values = torch.randn(3, 30_011, generator=torch.Generator().manual_seed(seed))
    best, index = largest(values, k)
    expected = values.topk(k, dim=1)
    assert torch.equal(best, expected.values)
    assert torch.equal(values.gather(1, index), best)


def test_draws_depend_on_clip_and_seed_alone():
    one = UniformStream(["a", "b"], 2, 5, 7).at(3)
    assert torch.equal(one[:2], UniformStream(["a"], 2, 5, 7).at(3))
    assert torch.equal(one[::2], UniformStream(["a", "b"], 1, 5, 7).at(3))
    assert not torch.equal(one, UniformStream(["a", "b"], 2, 5, 8).at(3))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 4))
def test_no_ngram_comes_twice(prefix, size):
    scores = forbid_repeated_ngrams(torch.zeros(1, 5), torch.tensor([prefix]), size)[0]
    grams = {tuple(prefix[i : i + size]) for i in range(len(prefix) - size + 1)}
    for word in range(5):
        new = (*prefix[len(prefix) - size + 1 :], word) if size > 1 else (word,)
        assert (scores[word] == -torch.inf) == (len(prefix) >= size and new in grams)


def test_repetition_is_penalised_whatever_the_sign():
    scores = penalise_repetition(torch.tensor([[2.0, -2.0, 1.0]]), torch.tensor([[0, 1, 0]]), 2.0)
    assert scores.tolist() == [[1.0, -4.0, 1.0]]


def test_agreement_picks_what_the_candidates_share():
    class Fixed(Recurrent):
        """Says 2 3 or, seldom, 4 5 or 6 7; likeliest is 4 5."""

    from capfix_cli.decoding.hypothesis import Hypothesis
    from capfix_cli.decoding.reranking import best_candidates

    pool = [
        Hypothesis((4, 5), -0.1, True, 0.0),
        Hypothesis((2, 3, 8), -2.0, True, 0.0),
        Hypothesis((2, 3), -3.0, True, 0.0),
        Hypothesis((2, 3, 9), -4.0, True, 0.0),
    ]
    options = DecodingOptions(do_sample=True, num_candidates=4, rerank="mbr")
    best = best_candidates(Fixed(), memory_of(1), [pool], options, None)[0]
    assert best[0].tokens == (2, 3)
    assert best[-1].tokens == (4, 5)
    likely = DecodingOptions(do_sample=True, num_candidates=4, rerank="likelihood")
    assert best_candidates(Fixed(), memory_of(1), [pool], likely, None)[0][0].tokens == (4, 5)


def test_listening_picks_what_only_this_clip_says():
    captioner, chunk = Recurrent(), chunk_of()
    options = STRATEGIES["listening"]
    absent = make_absent(captioner, "others", chunk.memory, CLIPS, 0)
    chosen = decode(captioner, chunk, options, 0, absent)
    drawn = decode(captioner, chunk, DecodingOptions(do_sample=True, num_return_sequences=5), 0)
    for row, (best, own) in enumerate(zip(chosen, drawn, strict=True)):
        candidates = {(c.tokens, c.ended): c.logprob for c in (own, *own.others)}

        def information(key, candidates=candidates):
            tokens = (*key[0], 1) if key[1] else key[0]
            each = score_sequences(captioner, absent.memory, [tokens] * absent.clips, absent.clips)
            return (
                candidates[key] - float(each.logsumexp(0)) + float(torch.tensor(absent.clips).log())
            )

        assert (best.tokens, best.ended) == max(candidates, key=information), row


@pytest.mark.parametrize("kind", ["others", "mean-memory"])
def test_a_contrast_of_one_clip_is_refused_with_what_to_do(kind):
    with pytest.raises(CapfixError, match="one clip") as error:
        decode(Recurrent(), chunk_of(1), DecodingOptions(contrast=1.0, contrast_absent=kind), 0)
    assert "silence" in error.value.hint
    for other in ("silence", "noise"):
        options = DecodingOptions(contrast=1.0, contrast_absent=other)
        assert decode(Recurrent(), chunk_of(1), options, 0)


def test_silence_and_noise_are_encoded_as_audio():
    captioner = Recurrent()
    silence = make_absent(captioner, "silence", None, 0, 0)
    noise = make_absent(captioner, "noise", None, 0, 0)
    assert float(silence.memory["first"].max()) == 0.0
    # The mean of |x| for normal noise of deviation .1 is .1 sqrt(2 / pi).
    assert float(noise.memory["first"].mean()) == pytest.approx(0.0798, abs=0.002)


def test_the_mean_memory_is_the_mean_and_keeps_masks():
    memory = memory_of(4)
    memory["mask"][0] = False
    mean = make_absent(Recurrent(), "mean-memory", memory, 4, 0)
    torch.testing.assert_close(mean.memory["first"], memory["first"].mean(0, keepdim=True))
    assert mean.memory["mask"].tolist() == [[True]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 5, "num_beam_groups": 2}, "cannot be parted"),
        ({"num_beams": 4, "diversity_penalty": 0.5}, "between groups"),
        ({"min_p": 1.5, "do_sample": True}, "min-p is 1.5"),
        ({"typical_p": 0, "do_sample": True}, "typical-p is 0"),
        ({"min_new_tokens": 9, "max_new_tokens": 4}, "is more than"),
        ({"num_return_sequences": 3}, "need sampling or beams"),
        ({"num_return_sequences": 7, "num_beams": 3}, "more than --num-beams"),
        ({"num_candidates": 5, "do_sample": True}, "by what"),
        ({"rerank": "mbr", "do_sample": True}, "there is one"),
        ({"rerank": "likelyhood", "num_candidates": 3, "do_sample": True}, "not one of"),
        ({"contrast": 1.0, "contrast_absent": "quiet"}, "not one of"),
        ({"repetition_penalty": 0.0}, "repetition-penalty is 0"),
        ({"early_stopping": "sometimes", "num_beams": 2}, "early-stopping"),
        ({"top_k": 2.5, "do_sample": True}, "whole number"),
        ({"temperature": True, "do_sample": True}, "temperature is True"),
        ({"num_beams": None}, "num-beams is None"),
    ],
    ids=str,
)
def test_contradictions_name_the_options(options, message):
    with pytest.raises(CapfixError, match=message):
        options_from_dict(options)


def test_every_strategy_survives_its_dict(options):
    assert options_from_dict(json.loads(json.dumps(options.to_dict()))) == options
