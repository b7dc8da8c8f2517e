"""Checks of the training captions: built faults are found, sound sets and people's are not."""

from __future__ import annotations

import csv
import json
import random

import numpy as np
import pytest
import soundfile
from conftest import real_data

from capfix_cli.captions.caption_layouts import Columns
from capfix_cli.core.errors import CapfixError
from capfix_cli.diagnosis.data_marks import broken_data, training_data_marks
from capfix_cli.diagnosis.training_data import sound_prints
from capfix_cli.diagnosis.training_data.caption_imbalance import caption_evenness, find_imbalance
from capfix_cli.diagnosis.training_data.captions_per_clip import find_single_caption
from capfix_cli.diagnosis.training_data.content_words import specific_words
from capfix_cli.diagnosis.training_data.data_checks import (
    examine_training,
    examine_training_set,
    write_rows,
)
from capfix_cli.diagnosis.training_data.data_findings import confidence
from capfix_cli.diagnosis.training_data.generic_captions import find_generic
from capfix_cli.diagnosis.training_data.memorisation import Copies, find_memorised
from capfix_cli.diagnosis.training_data.near_duplicates import (
    find_copied_audio,
    find_shared_captions,
)
from capfix_cli.diagnosis.training_data.shift_fits import (
    fits_of_names,
    fits_of_scores,
    words_in_name,
)
from capfix_cli.diagnosis.training_data.shift_tests import judge_fits
from capfix_cli.diagnosis.training_data.shifted_pairs import Witnesses, find_shift
from capfix_cli.diagnosis.training_data.training_file import (
    TrainingSet,
    read_training,
    training_set,
)
from capfix_cli.diagnosis.training_data.vocabulary_coverage import find_lost_words
from capfix_cli.schemas.plain_data import to_dict

PEOPLE = ("audiocaps_test_human.csv", "audiocaps_val_human.csv")
SOURCES = (
    *("dog bark", "rain fall", "bell ring", "engine hum", "baby cry", "clock tick", "horn honk"),
    *("bird chirp", "wind blow", "door slam", "train pass", "water drip", "crowd cheer"),
    *("phone buzz", "siren wail", "rooster crow", "saw cut", "drum beat", "cat meow", "wave crash"),
)
PLACES = ("a house", "the street", "a field", "the kitchen", "a hall", "the woods", "a yard")
HOW = ("twice", "in the morning", "behind a wall", "under a bridge", "with an echo", "at night")


def sound_set(clips: int = 140, seed: int = 0, per_clip: int = 2, named: bool = False):
    """Varied captions of 20 sources in random order; names say the source if they are to."""
    draw = random.Random(seed)
    rows = []
    for number in range(clips):
        thing, act = draw.choice(SOURCES).split()
        texts = [
            draw.choice(
                (f"a {thing} {act}s {how} by {place}", f"{how} by {place} a {thing} {act}s")
            )
            for how, place in ((draw.choice(HOW), draw.choice(PLACES)) for _ in range(per_clip))
        ]
        name = f"{thing} {act}ing {number:03d}.wav" if named else f"clip{number:03d}.wav"
        rows.append((name, texts))
    return rows


def replaced(rows, share: float, *texts: str):
    """Put captions in place of a share of all."""
    draw = random.Random(1)
    return [
        (name, [draw.choice(texts) if draw.random() < share else text for text in captions])
        for name, captions in rows
    ]


def finding_of(data, id_):
    (found,) = [finding for finding in data.findings if finding.id == id_]
    return found


def write(path, rows, width=2):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", *(f"caption_{n + 1}" for n in range(width))])
        writer.writerows([name, *texts] for name, texts in rows)
    return path


# imbalance


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_a_favourite_caption_is_imbalance(share):
    finding, causes = find_imbalance(training_set(replaced(sound_set(), share, "a man talks")))
    assert finding.answer == "suspect"
    (cause,) = causes
    assert (cause.id, cause.stage) == ("data.imbalanced", "data")
    assert all(row.caption == "a man talks" for row in finding.rows)
    assert finding.listed == len(finding.rows) == pytest.approx(280 * share, rel=0.2)
    assert "said" in finding.rows[0].reason


def test_the_worse_the_imbalance_the_surer():
    sure = [
        find_imbalance(training_set(replaced(sound_set(), share, "a man talks")))[1][0].confidence
        for share in (0.3, 0.5, 0.9)
    ]
    assert sure == sorted(sure)
    assert sure[0] < sure[2] == 0.95


def test_one_sound_in_many_wordings_is_imbalance_too():
    draw = random.Random(3)
    rows = [
        (name, [f"a dog barks {draw.choice(HOW)} by {draw.choice(PLACES)} {number}", *texts[:1]])
        for number, (name, texts) in enumerate(sound_set())
    ]
    rows = [(name, [f"{texts[0]} as dogs are barking", texts[0]]) for name, texts in rows]
    finding, causes = find_imbalance(training_set(rows))
    assert finding.answer == "suspect"
    assert causes[0].id == "data.imbalanced"
    word = next(row for row in finding.evidence if "word of sound" in row.name)
    assert "dog" in word.name or "bark" in word.name
    assert word.value > 0.9


def test_closed_worlds_are_even_and_people_are():
    draw = random.Random(0)
    closed = [(f"{n}.wav", [f"a {' '.join(draw.choice(SOURCES).split())}s"]) for n in range(400)]
    finding, causes = find_imbalance(training_set(closed))
    assert (finding.answer, causes) == ("ok", ())
    two = [(f"{n}.wav", [("a dog barks", "rain falls")[n % 2]]) for n in range(400)]
    assert find_imbalance(training_set(two))[0].answer == "ok"


def test_evenness_is_exact_where_it_is_known():
    assert caption_evenness(["a", "b"] * 50) == (1.0, 100)
    assert caption_evenness(["a"] * 30) == (0.0, 30)
    value, size = caption_evenness(["a"] * 15 + ["b"] * 5)  # all 20 are taken: H(1/4)
    assert size == 20
    assert value == pytest.approx(0.8112781, abs=1e-6)


def test_captions_that_are_not_english_are_judged_by_kinds_alone():
    rows = [(f"{n}.wav", [f"ein Hund bellt {n}"]) for n in range(50)]
    finding, _ = find_imbalance(training_set(rows))
    assert finding.answer == "ok"
    assert any("not English" in str(row.value) for row in finding.evidence)
    assert find_generic(training_set(rows))[0].answer == "not-tested"


# generic captions


@pytest.mark.parametrize(
    ("caption", "generic"),
    [
        ("a sound is playing", True),
        ("something is making noise", True),
        ("A sound is heard.", True),
        ("there are various different sounds in the background", True),
        ("a dog barks", False),
        ("a loud humming noise", False),
        ("someone is whistling", False),
        ("A vibrating noise", False),
    ],
)
def test_which_captions_say_nothing(caption, generic):
    assert (not specific_words(caption)) is generic


def test_generic_captions_are_listed_and_judged():
    rows = replaced(sound_set(), 0.2, "a sound is heard", "something is making noise")
    finding, causes = find_generic(training_set(rows))
    assert finding.answer == "suspect"
    assert causes[0].id == "data.generic-captions"
    assert {row.caption for row in finding.rows} == {
        "a sound is heard",
        "something is making noise",
    }
    few, none = find_generic(training_set(replaced(sound_set(), 0.02, "a sound is heard")))
    assert (few.answer, none) == ("ok", ())
    assert few.listed > 0  # a person may still want to see them


def test_a_word_that_every_caption_has_says_nothing():
    rows = [(name, [f"park recording: {text}" for text in texts]) for name, texts in sound_set()]
    rows = replaced(rows, 0.2, "a park recording")
    assert find_generic(training_set(rows))[0].answer == "suspect"


# captions per clip


def test_captions_per_clip():
    several, single = training_set(sound_set()), training_set(sound_set(per_clip=1))
    assert find_single_caption(several, {})[1] == ()
    (lack,) = find_single_caption(single, {})[1]
    (waste,) = find_single_caption(several, {"training.captions_per_clip": 1})[1]
    assert lack.id == waste.id == "data.single-caption"
    assert waste.confidence > lack.confidence
    assert find_single_caption(several, {"training.captions_per_clip": 2})[1] == ()


# shifted pairs


def shift(rows, by):
    """Give every clip the captions of the row ``by`` further on."""
    names = [name for name, _ in rows]
    texts = [texts for _, texts in rows]
    return list(zip(names, texts[by:] + texts[:by], strict=True))


@pytest.mark.parametrize("by", [1, -1, 2, -3])
def test_names_show_captions_of_another_row(by):
    rows = shift(sound_set(named=True), by)
    finding, (cause,) = find_shift(training_set(rows), Witnesses())
    assert finding.answer == "suspect"
    assert cause.id == "data.shifted-pairs"
    assert cause.confidence > 0.9
    off = next(row for row in finding.evidence if "rows on fits better" in row.name)
    assert f"{-by:+d} rows on" in off.name
    assert finding.listed > 120


def test_names_show_sound_pairs_and_where_a_row_was_lost():
    rows = sound_set(200, named=True)
    finding, causes = find_shift(training_set(rows), Witnesses())
    assert (finding.answer, causes) == ("ok", ())
    lost = rows[:100] + shift(rows[100:], 1)
    finding, (cause,) = find_shift(training_set(lost), Witnesses())
    assert cause.confidence > 0.9
    first = int(finding.rows[0].file_name.split()[-1].removesuffix(".wav"))
    assert 95 <= first <= 110
    assert 90 <= finding.listed <= 105


def test_shuffled_names_are_suspected_and_mute_names_are_not():
    rows = sound_set(300, named=True)
    texts = [texts for _, texts in rows]
    random.Random(4).shuffle(texts)
    shuffled = [(name, own) for (name, _), own in zip(rows, texts, strict=True)]
    _, (cause,) = find_shift(training_set(shuffled), Witnesses())
    assert cause.confidence == 0.5
    mute, causes = find_shift(training_set(sound_set(300)), Witnesses())
    assert (mute.answer, causes) == ("not-tested", ())
    assert "--train-audio" in mute.needs


def test_a_caption_that_fits_no_better_than_chance_is_not_the_right_one():
    generator = np.random.default_rng(0)
    fits = {offset: generator.normal(size=100) for offset in range(-3, 4)}
    fits[0] -= 3  # own captions fit worse than any other
    assert judge_fits(fits, np.zeros(100), "fits").answer == "none"
    fits[2] += 3
    assert judge_fits(fits, np.zeros(100), "fits").offset == 2


def test_words_that_most_names_have_tell_nothing():
    rows = [(f"dog bark {name}", texts) for name, texts in sound_set()]
    fits, _ = fits_of_names([name for name, _ in rows], [texts for _, texts in rows], 0)
    assert np.isnan(fits[0]).all()


def test_predictions_show_captions_of_another_row():
    rows = sound_set()
    predicted = {name: texts[0] for name, texts in sound_set()}
    own, _ = find_shift(training_set(rows), Witnesses(predicted=predicted))
    off, causes = find_shift(training_set(shift(rows, 1)), Witnesses(predicted=predicted))
    assert (own.answer, off.answer) == ("ok", "suspect")
    assert causes[0].confidence > 0.9
    same = dict.fromkeys(predicted, "a dog barks")
    deaf, none = find_shift(training_set(shift(rows, 1)), Witnesses(predicted=same))
    assert (deaf.answer, none) == ("not-tested", ())


def test_scores_show_captions_of_another_row():
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(60, 60)) + 5 * np.eye(60) + generator.normal(size=60) * 9
    assert judge_fits(*fits_of_scores(scores), "scores").answer == "own"
    off = judge_fits(*fits_of_scores(np.roll(scores, 1, axis=1)), "scores")
    assert (off.answer, off.offset) == ("shifted", 1)
    assert judge_fits(*fits_of_scores(generator.normal(size=(60, 60))), "scores").answer == "none"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Distorted AM Radio noise.wav", ["distort", "radio"]),
        ("001 - Dog bark/1-100032-A.ogg", ["dog", "bark"]),
        ("RainOnTheRoof_v2.flac", ["rain", "roof"]),
        ("20160506_09.38.wav", []),
    ],
)
def test_words_in_names(name, words):
    assert words_in_name(name) == words


# sound


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """Eighty clips of 20 timbres, whose captions name them; the last is a copy of the first."""
    folder = tmp_path_factory.mktemp("tones")
    generator = np.random.default_rng(0)
    time = np.arange(8000) / 16_000
    rows = []
    for number in range(80):
        kind = int(generator.integers(len(SOURCES)))
        swell = np.interp(time, np.linspace(0, 0.5, 9), generator.uniform(0.1, 1, 9))
        wave = 0.3 * swell * np.sin(2 * np.pi * (200 * 1.2**kind) * time)
        wave += 0.01 * generator.normal(size=8000)
        name = f"{number:02d}.wav"
        if number == 79:
            name, wave = "79.wav", soundfile.read(folder / "00.wav")[0] * 0.5
            kind = -1
        soundfile.write(folder / name, wave, 16_000, subtype="PCM_16")
        thing, act = SOURCES[kind].split() if kind >= 0 else ("ghost", "moan")
        rows.append((name, [f"a {thing} {act}s", f"the {act}ing of a {thing}"]))
    return folder, rows


def test_sound_alone_shows_captions_of_another_row(tones, tmp_path):
    folder, rows = tones
    own = examine_training(write(tmp_path / "own.csv", rows), folder)
    assert finding_of(own, "data.shifted-pairs").answer == "ok"
    off = examine_training(write(tmp_path / "off.csv", shift(rows, 1)), folder)
    finding = finding_of(off, "data.shifted-pairs")
    assert finding.answer == "suspect"
    assert off.causes[0].id == "data.shifted-pairs"
    assert "sound" in finding.evidence[-1].name


def test_copies_under_other_names_are_found(tones, tmp_path):
    folder, rows = tones
    data = examine_training(write(tmp_path / "c.csv", rows), folder)
    finding = finding_of(data, "near-duplicates.audio")
    (row,) = finding.rows
    assert row.file_name == "79.wav"
    assert row.reason == "sounds like a copy of 00.wav, with other captions"
    assert finding.answer == "suspect"  # one in eighty


def test_steady_and_very_short_clips_are_no_copies(tmp_path):
    time = np.arange(16_000) / 16_000
    for number in range(4):
        soundfile.write(tmp_path / f"{number}.wav", 0.3 * np.sin(900 * (number + 1) * time), 16_000)
    for number, samples in enumerate((1, 2, 5, 9), 4):
        soundfile.write(tmp_path / f"{number}.wav", np.full(samples, 0.1), 16_000)
    rows = [(f"{number}.wav", [f"tone {number}"]) for number in range(8)]
    prints, listed = sound_prints.listen(tmp_path, [name for name, _ in rows])
    assert len(prints.names) == 8
    assert find_copied_audio(training_set(rows), prints, listed)[0].listed == 0


def test_equal_samples_are_told_from_like_ones(tones):
    folder, rows = tones
    data = training_set(rows)
    prints, listed = sound_prints.listen(folder, data.names)
    assert len(prints.names) == 80
    sounds_same = find_copied_audio(data, prints, listed)[0].rows[0].reason
    digests = (*prints.digests[:-1], prints.digests[0])
    same = sound_prints.SoundPrints(
        prints.names, prints.seconds, digests, prints.colour, prints.course
    )
    assert "sounds like" in sounds_same
    longer = sound_prints.SoundPrints(
        prints.names,
        prints.seconds + np.arange(80, dtype=np.float32),
        prints.digests,
        prints.colour,
        prints.course,
    )
    assert find_copied_audio(data, longer, listed)[0].listed == 0
    assert "the same samples as" in find_copied_audio(data, same, listed)[0].rows[0].reason


def test_audio_that_the_file_does_not_name_is_refused(tones, tmp_path):
    folder, _ = tones
    with pytest.raises(CapfixError, match="None of the 140 clips"):
        examine_training(write(tmp_path / "c.csv", sound_set()), folder)


# captions across clips, vocabulary, memorisation


def test_shared_captions_are_counted_and_accuse_nobody():
    rows = [(f"{n}.wav", ["rain falls", f"the number {n} is called"]) for n in range(30)]
    finding, causes = find_shared_captions(training_set(rows))
    assert (finding.answer, causes) == ("ok", ())
    assert finding.evidence[0].value == 1.0
    assert finding.listed == 30
    assert finding.rows[0].reason == "said of 30 clips"


def test_lost_words_and_their_reason():
    data = training_set(sound_set())
    words = sorted({word for text in data.texts for word in text.split()})
    whole, causes = find_lost_words(data, ["<pad>", *words])
    assert (whole.answer, causes) == ("ok", ())
    assert whole.evidence[0].value == 0
    lost, (cause,) = find_lost_words(data, [word for word in words if word not in {"a", "by"}])
    assert cause.id == "vocabulary.mismatch"
    said = [word for text in data.texts for word in text.split()]
    assert lost.evidence[0].value == pytest.approx((said.count("a") + said.count("by")) / len(said))
    assert lost.evidence[1].value.startswith(("a (", "by ("))
    title, (cause,) = find_lost_words(data, [f"{word.title()}," for word in words])
    reason = next(row for row in title.evidence if "case or punctuation" in row.name)
    assert reason.value == 1.0


def test_a_vocabulary_of_another_tokeniser_is_no_fault():
    data = training_set([(name, [f"{texts[0].title()}."]) for name, texts in sound_set()])
    as_written = sorted({word for text in data.texts for word in text.split()})
    assert find_lost_words(data, as_written)[0].answer == "ok"
    pieces = find_lost_words(data, ["a", "\u0120dog", "\u0120bark", "s"])[0]
    assert pieces.answer == "not-tested"
    assert find_lost_words(data, None)[0].answer == "not-tested"


def test_copies_but_for_one_word():
    known = Copies([("a", "dog", "barks")])
    assert known.verbatim(("a", "dog", "barks"))
    assert known.nearly(("a", "cat", "barks"))
    assert not known.nearly(("a", "cat", "meows"))
    assert not known.nearly(("dog", "barks"))


def test_copied_captions_are_memorised_unless_people_say_them_too():
    rows = sound_set(per_clip=1)
    copied = {f"t{n}.wav": texts[0] for n, (_, texts) in enumerate(rows)}
    finding, _ = find_memorised(training_set(rows), copied)
    assert finding.answer == "suspect"
    assert finding.listed == len(copied)
    fresh = {f"t{n}.wav": f"{n} gulls cry over harbour number {n}" for n in range(40)}
    assert find_memorised(training_set(rows), fresh)[0].answer == "ok"
    closed = [
        (f"{n}.wav", [("a dog barks", "rain falls", "a bell rings")[n % 3]]) for n in range(60)
    ]
    said = {f"t{n}.wav": "a dog barks" for n in range(40)}
    assert find_memorised(training_set(closed), said)[0].answer == "ok"
    held = {name: ["gulls cry over the harbour"] for name in copied}
    assert find_memorised(training_set(rows), copied, held)[0].evidence[2].value == 0


# the whole


def test_a_sound_set_has_no_cause_and_a_broken_one_has_its_own(tmp_path):
    data = examine_training(write(tmp_path / "sound.csv", sound_set(named=True)))
    assert data.causes == ()
    assert (data.clips, data.captions) == (140, 280)
    assert len(data.findings) == 8
    for name, rows in {
        "data.imbalanced": replaced(sound_set(named=True), 0.6, "a man talks"),
        "data.generic-captions": replaced(
            sound_set(named=True), 0.1, *(f"{n} sounds are heard" for n in ("loud", "faint", "two"))
        ),
        "data.shifted-pairs": shift(sound_set(named=True), 1),
    }.items():
        broken = examine_training(write(tmp_path / f"{name}.csv", rows))
        assert broken.causes[0].id == name


def test_rows_are_cut_short_for_a_report_and_written_whole(tmp_path):
    data = examine_training(
        write(tmp_path / "c.csv", replaced(sound_set(), 0.6, "a man talks, loudly"))
    )
    short = finding_of(data.shortened(3), "data.imbalanced")
    assert (len(short.rows), short.listed) == (3, finding_of(data, "data.imbalanced").listed)
    path = tmp_path / "rows.csv"
    number = write_rows(data, path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == number == sum(finding.listed for finding in data.findings)
    assert {row["check"] for row in rows} >= {"data.imbalanced"}
    with pytest.raises(CapfixError, match="is there already"):
        write_rows(data, path)


def test_the_report_is_json(tones, tmp_path):
    folder, rows = tones
    data = examine_training(
        write(tmp_path / "c.csv", rows),
        folder,
        vocabulary=["a"],
        predicted_captions={name: texts[0] for name, texts in rows},
    )
    again = json.loads(json.dumps(to_dict(data.shortened())))
    assert [row["id"] for row in again["findings"]] == [finding.id for finding in data.findings]
    assert all(len(row["rows"]) <= 20 for row in again["findings"])


def test_the_same_file_gives_the_same_findings(tmp_path):
    path = write(tmp_path / "c.csv", replaced(sound_set(named=True), 0.3, "a man talks"))
    assert examine_training(path, seed=3) == examine_training(path, seed=3)


def test_columns_and_layouts(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text(
        "fname,raw_text\n" + "".join(f"{n // 2}.wav,text number {n}\n" for n in range(60))
    )
    data = read_training(path, Columns(caption="raw_text", id="fname"))
    assert len(data.names) == 30
    assert all(len(texts) == 2 for texts in data.captions)
    with_predictions = tmp_path / "p.csv"
    with_predictions.write_text("file_name,caption_predicted,caption_1\na.wav,x,y\nb.wav,x,z\n")
    data = read_training(with_predictions)
    assert data.texts == ["y", "z"]
    assert any("predictions was left out" in note for note in data.notes)


def test_few_captions_are_not_judged():
    few = training_set([("a.wav", ["a dog barks"])])
    data = examine_training_set(few, Witnesses(), facts={})
    answers = {finding.id: finding.answer for finding in data.findings}
    assert answers["data.imbalanced"] == answers["data.generic-captions"] == "not-tested"
    assert isinstance(few, TrainingSet)


def test_confidence_lies_between_its_ends():
    assert confidence(2.0, 0.5, 1.0) == 0.95
    assert confidence(0.1, 0.5, 1.0) == 0.4


# real captions


@pytest.mark.parametrize("name", PEOPLE)
def test_people_are_blamed_for_nothing(name):
    data = examine_training(real_data("captions") / name)
    assert data.causes == ()
    assert finding_of(data, "data.imbalanced").answer == "ok"
    generic = finding_of(data, "data.generic-captions")
    assert (generic.answer, generic.listed) == ("ok", 0)


@pytest.mark.parametrize("name", ["aac_metrics_example_2", "whisper_aac_audiocaps_test_greedy"])
def test_healthy_captioners_are_not_called_memorisers(name):
    folder = real_data("captions")
    with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        predicted = {row["file_name"]: row["caption_predicted"] for row in csv.DictReader(file)}
    data = examine_training(folder / PEOPLE[1], predicted_captions=predicted)
    assert finding_of(data, "memorisation").answer == "ok"


def test_people_with_a_fault_put_in_are_found(tmp_path):
    people = read_training(real_data("captions") / PEOPLE[0])
    rows = list(zip(people.names, people.captions, strict=True))
    imbalanced = training_set(replaced(rows, 0.5, "a man is speaking"))
    assert find_imbalance(imbalanced)[1][0].confidence > 0.6
    generic = training_set(replaced(rows, 0.2, "a sound is heard", "noises occur nearby"))
    assert find_generic(generic)[0].listed == pytest.approx(0.2 * 4875, rel=0.1)


# what it says of the plan


def test_faults_ask_for_their_fixes_and_sound_files_rule_them_out():
    def marks(rows, **facts):
        data = examine_training_set(training_set(rows), Witnesses(), facts=facts)
        return training_data_marks(data)

    sound = marks(sound_set())
    assert {fix: mark.status for fix, mark in sound.items()} == {
        "4.1": "not-applicable",
        "4.2": "not-applicable",
        "4.3": "unknown",
    }
    assert "evenness of captions among 100: 0.9" in sound["4.1"].reason
    assert marks(replaced(sound_set(), 0.6, "a man talks"))["4.1"].status == "needed"
    assert marks(replaced(sound_set(), 0.2, "a sound is heard"))["4.2"].status == "needed"
    used = {"training.captions_per_clip": 1}
    assert marks(sound_set(), **used)["4.3"].status == "needed"
    assert marks(sound_set(), **{"training.captions_per_clip": 2})["4.3"].status == "done"
    one = marks(sound_set(per_clip=1), **used)["4.3"]
    assert one.status == "not-applicable"
    assert "no others to use" in one.reason
    few = marks([("a.wav", ["a dog barks"])])
    assert few["4.1"].status == "unknown"


def test_shifted_pairs_come_before_every_fix():
    def step(rows):
        return broken_data(examine_training_set(training_set(rows), Witnesses(), facts={}))

    assert step(sound_set(named=True)) == ""
    said = step(shift(sound_set(named=True), 1))
    assert said.startswith("Pair the training captions with their own clips again: ")
    assert "in rows 2 to 140 of 140 the captions 1 row above fit the clips better" in said
    assert "rows are listed" in said
    assert step(sound_set()) == ""  # names that say nothing
    rows = sound_set(300, named=True)
    mixed = random.Random(4).sample([texts for _, texts in rows], len(rows))
    unsure = [(name, texts) for (name, _), texts in zip(rows, mixed, strict=True)]
    assert find_shift(training_set(unsure), Witnesses())[1][0].confidence == 0.5
    assert step(unsure) == ""  # told as a cause, but nothing waits for it
    words = {word for _, texts in sound_set() for text in texts for word in text.split()}
    data = examine_training_set(
        training_set(sound_set()), Witnesses(), [word.upper() + "!" for word in words], facts={}
    )
    assert broken_data(data).endswith(
        "not in the vocabulary, most of them for case or punctuation alone; 280 rows are listed"
    )
