"""One reader of caption files: every layout that ``measure`` knows is read by every command."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import real_data
from hypothesis import given
from hypothesis import strategies as st

from capfix_cli.captions.caption_layouts import Columns, read_captions
from capfix_cli.captions.clip_names import pair_names
from capfix_cli.captions.reference_file import fit_references, match_references, read_references
from capfix_cli.core.errors import CapfixError
from capfix_cli.diagnosis.training_data.training_file import read_training
from capfix_cli.training.caption_data import match_files

DOG, RAIN = ["a dog, barking", "dogs bark"], ["rain", "it rains"]
TEXTS = {"a.wav": DOG, "b.wav": RAIN}
WIDE = 'file_name,caption_1,caption_2\na.wav,"a dog, barking",dogs bark\nb.wav,rain,it rains\n'
LONG = 'file_name,caption\na.wav,"a dog, barking"\na.wav,dogs bark\nb.wav,rain\nb.wav,it rains\n'
AUDIOCAPS = (
    'audiocap_id,youtube_id,start_time,caption\n1,x,10,"a dog, barking"\n2,x,10,dogs bark\n'
    "3,y,20,rain\n4,y,20,it rains\n"
)
TABS = "fname\tgt_1\tgt_2\na.wav\ta dog, barking\tdogs bark\nb.wav\train\tit rains\n"
BESIDE = (
    'file_name,caption_predicted,caption_1,caption_2\na.wav,x,"a dog, barking",dogs bark\n'
    "b.wav,x,rain,it rains\n"
)
LISTS = [{"file_name": name, "captions": texts} for name, texts in TEXTS.items()]
COCO = [{"image_id": "a", "caption": "a dog"}, {"image_id": "b", "caption": "rain"}]
NUMBERED = [
    {"audio_id": name, "reference_1": texts[0], "reference_2": texts[1]}
    for name, texts in TEXTS.items()
]

# layout -> (file's name, its bytes, what it says)
LAYOUTS = {
    "Clotho's": ("c.csv", WIDE.encode(), TEXTS),
    "a caption a row": ("c.csv", LONG.encode(), TEXTS),
    "AudioCaps'": ("c.csv", AUDIOCAPS.encode(), {"x_10": DOG, "y_20": RAIN}),
    "tabs": ("c.tsv", TABS.encode(), TEXTS),
    "semicolons": ("c.csv", TABS.replace("\t", ";").encode(), TEXTS),
    "any ending": ("c.txt", WIDE.encode(), TEXTS),
    "JSON": ("c.json", json.dumps(LISTS, indent=1).encode(), TEXTS),
    "JSON lines": ("c.jsonl", "\n".join(map(json.dumps, NUMBERED)).encode(), TEXTS),
    "COCO's results": ("c.json", json.dumps(COCO).encode(), {"a": ["a dog"], "b": ["rain"]}),
    "gzip": ("c.csv.gz", gzip.compress(WIDE.encode()), TEXTS),
    "UTF-16": ("c.csv", WIDE.encode("utf-16"), TEXTS),
    "UTF-16 without its mark": ("c.csv", WIDE.encode("utf-16-le"), TEXTS),
    "a byte order mark": ("c.csv", WIDE.encode("utf-8-sig"), TEXTS),
    "Windows-1252": (
        *("c.csv", WIDE.encode() + "c.wav,naïve,\n".encode("cp1252")),
        TEXTS | {"c.wav": ["naïve"]},
    ),
    "NUL bytes": ("c.csv", WIDE.replace("rain,", "ra\0in,").encode(), TEXTS),
    "predictions beside": ("c.csv", BESIDE.encode(), TEXTS),
}


@pytest.fixture(params=LAYOUTS)
def layout(request, tmp_path):
    """Give a file in one layout and what it says."""
    name, content, expected = LAYOUTS[request.param]
    path = tmp_path / name
    path.write_bytes(content)
    return path, expected


def clips_of(folder: Path, names) -> Path:
    """Write a short clip for each name in a captions file."""
    folder.mkdir(exist_ok=True)
    noise = np.random.default_rng(0).normal(size=800) / 10
    for name in names:
        path = folder / name
        soundfile.write(path if path.suffix else path.with_suffix(".wav"), noise, 8_000)
    return folder


def test_the_references_of_a_diagnosis(layout):
    path, expected = layout
    assert read_references(path) == expected
    assert list(read_references(path)) == list(expected)  # in the file's order


def test_the_training_captions_of_a_diagnosis(layout):
    path, expected = layout
    data = read_training(path)
    assert dict(zip(data.names, map(list, data.captions), strict=True)) == expected


def test_the_captions_of_a_retraining(layout, tmp_path):
    path, expected = layout
    found = match_files(path, clips_of(tmp_path / "clips", expected))
    assert list(found.captions.values()) == list(expected.values())
    assert (found.unmatched, found.absent) == ((), ())


def test_the_references_of_a_measure(layout):
    """What ``measure`` judges of the same file is in it too, under the same names."""
    path, expected = layout
    table = read_captions(path)
    assert [caption.file_name for caption in table.captions] == list(expected)
    for caption, people in zip(table.captions, table.references, strict=True):
        assert set(people) <= set(expected[caption.file_name])


def test_how_a_file_was_read_is_told(tmp_path):
    path = tmp_path / "c.csv"
    path.write_bytes(BESIDE.encode() + "c.wav,naïve,\n".encode("latin-1"))
    notes = " ".join(read_references(path).notes)
    assert "Windows-1252" in notes
    assert "predictions was left out (caption_predicted)" in notes
    assert "1 clips left out: no caption" in notes
    path.write_text("file_name,prediction\na.wav,a dog\n")
    assert "its column prediction stands for" in " ".join(read_references(path).notes)


def test_captions_to_train_on_are_named_by_column(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("clip,raw,caption_1\na.wav,a dog,x\n")
    assert read_references(path, Columns(caption="raw", id="clip")) == {"a.wav": ["a dog"]}


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (
            "file_name,captoin\na.wav,a dog\n",
            "no column of captions; it has file_name, captoin",
            "",
        ),
        ("caption_1\na dog\n", "no column that names the clip", "file_name"),
        ("file_name,caption_1\n", "a header but no rows", "each clip"),
        ("file_name,caption_1\na.wav, \n", "has no captions", "a caption"),
        ("", "is empty", "CSV or JSONL"),
    ],
)
def test_what_holds_no_references_is_explained(tmp_path, content, message, hint):
    path = tmp_path / "c.csv"
    path.write_text(content)
    with pytest.raises(CapfixError) as caught:
        read_references(path)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.hint
    assert "--column" not in str(caught.value)  # an option of measure alone


@pytest.mark.parametrize("name", ["conette_audiocaps_test", "audiocaps_val_human"])
def test_real_files_hold_what_measure_reads_in_them(name):
    path = real_data("captions") / f"{name}.csv"
    table, people = read_captions(path), read_references(path)
    assert list(people) == [caption.file_name for caption in table.captions]
    for caption, beside in zip(table.captions, table.references, strict=True):
        all_said = [*beside, caption.text] if table.people else beside
        assert sorted(people[caption.file_name]) == sorted(all_said)


# names


@pytest.mark.parametrize(
    ("names", "clip", "expected"),
    [
        (["a.wav", "deep/a.wav"], "deep/a.wav", "deep/a.wav"),
        (["/data/rain/a.wav", "/data/dog/a.wav"], "dog/a.wav", "/data/dog/a.wav"),
        (["C:\\clips\\a.wav"], "a.wav", "C:\\clips\\a.wav"),
        (["other/a.wav"], "deep/a.wav", "other/a.wav"),
        (["a"], "deep/a.wav", "a"),
        (["a.mp3"], "a.flac", "a.mp3"),
        (["1.5"], "1.5.wav", "1.5"),
        (["1"], "1.5.wav", None),
        (["cafe\u0301.wav"], "caf\u00e9.wav", "cafe\u0301.wav"),  # composed otherwise on macOS
        (["rain/a.wav", "dog/a.wav"], "a.wav", None),  # either could be meant
        (["b.wav"], "a.wav", None),
    ],
)
def test_a_name_means_a_clip(names, clip, expected):
    pairs = pair_names(names, [clip])
    assert pairs.by_clip.get(clip) == expected
    assert pairs.unused == tuple(name for name in names if name != expected)


PATHS = st.lists(
    st.lists(st.sampled_from(["a", "b", "c.wav", "d.wav", "ü.flac"]), min_size=1, max_size=3).map(
        "/".join
    ),
    max_size=8,
    unique=True,
)


@given(PATHS, st.randoms(use_true_random=False))
def test_the_order_of_names_means_nothing(paths, random):
    shuffled = list(paths)
    random.shuffle(shuffled)
    assert pair_names(shuffled, paths).by_clip == {path: path for path in paths}


@given(PATHS, PATHS)
def test_a_clip_has_one_name_is_ambiguous_or_has_none(names, clips):
    pairs = pair_names(names, clips)
    assert not set(pairs.by_clip) & set(pairs.ambiguous)
    assert set(pairs.by_clip.values()) | set(pairs.unused) == set(names)
    assert all(clip == name for clip, name in pairs.by_clip.items() if clip in names)


# fit


CLIPS = [f"{number}.wav" for number in range(128)]


def test_references_of_a_few_clips_are_counted():
    fit = fit_references({name: ["x"] for name in CLIPS[:5]}, CLIPS, "r.csv")
    assert fit.note.startswith("References for 5 of 128 clips in r.csv: what is judged on")
    assert len(fit.matched) == 5


def test_references_of_other_clips_are_refused():
    with pytest.raises(CapfixError, match=r"None of the 128 clips has a reference in r\.csv"):
        fit_references({"other.wav": ["x"]}, CLIPS, "r.csv")
    with pytest.raises(CapfixError, match=r"it names rain/0\.wav"):
        fit_references({"rain/0.wav": ["x"], "dog/0.wav": ["y"]}, CLIPS, "r.csv")


def test_more_references_than_clips_are_counted():
    many = {name: ["x"] for name in [*CLIPS, "more.wav", "yet more.wav"]}
    fit = fit_references(many, CLIPS, "r.csv")
    assert len(fit.matched) == 128
    assert fit.note == (
        "References for 128 of 128 clips in r.csv: 2 names in it are of no clip here (more.wav)."
    )


def test_references_in_another_order_fit():
    fit = fit_references({name: [name] for name in reversed(CLIPS)}, CLIPS, "r.csv")
    assert fit.note == ""
    assert fit.matched == {name: [name] for name in CLIPS}
    assert match_references({name: [name] for name in CLIPS}, CLIPS, "r.csv") == fit.matched


def test_names_that_end_alike_are_counted_and_not_mixed():
    names = {"rain/0.wav": ["rain"], "dog/0.wav": ["a dog"], "1.wav": ["x"]}
    fit = fit_references(names, ["0.wav", "1.wav"], "r.csv")
    assert fit.matched == {"1.wav": ["x"]}
    assert "1 clips are left out since several names in the file end alike (0.wav)" in fit.note
