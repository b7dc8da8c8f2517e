"""Captions files in every layout and state: read as meant, mended with a note, or explained."""

from __future__ import annotations

import contextlib
import gzip
import json

import pytest
from conftest import real_data
from hypothesis import given
from hypothesis import strategies as st

from capfix_cli.captions.caption_layouts import Columns, read_captions
from capfix_cli.captions.caption_rows import read_rows
from capfix_cli.core.errors import CapfixError

CLOTHO = "file_name,caption_1,caption_2\na.wav,a dog barks,dogs bark\nb.wav,rain,it rains\n"
AUDIOCAPS = (
    "audiocap_id,youtube_id,start_time,caption\n"
    "1,x,10,a dog barks\n2,x,10,dogs bark\n3,x,20,rain\n4,y,0,wind blows\n"
)


def write(tmp_path, content, name="a.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_the_projects_layout(tmp_path):
    path = write(
        tmp_path,
        'file_name,caption_predicted,caption_1,caption_2\na.wav,"a dog, barking",dogs,a dog\n'
        "b.wav,rain,it rains,\n",
    )
    table = read_captions(path)
    assert [(c.file_name, c.text) for c in table.captions] == [
        ("a.wav", "a dog, barking"),
        ("b.wav", "rain"),
    ]
    assert table.references == [["dogs", "a dog"], ["it rains"]]
    assert (table.duplicates, table.people, table.notes) == (0, False, [])


def test_clotho_s_layout_is_judged_by_one_reference_a_clip(tmp_path):
    table = read_captions(write(tmp_path, CLOTHO), seed=3)
    assert table.people
    for caption, references in zip(table.captions, table.references, strict=True):
        both = {"a.wav": ["a dog barks", "dogs bark"], "b.wav": ["rain", "it rains"]}
        assert sorted([caption.text, *references]) == sorted(both[caption.file_name])
    assert "no prediction" in table.notes[0]


def test_audiocaps_layout_joins_a_clip_s_rows(tmp_path):
    table = read_captions(write(tmp_path, AUDIOCAPS))
    assert [caption.file_name for caption in table.captions] == ["x_10", "x_20", "y_0"]
    assert [len(texts) for texts in table.references] == [1, 0, 0]
    assert table.people
    assert table.duplicates == 0


def test_one_caption_a_clip_is_judged_whoever_said_it(tmp_path):
    table = read_captions(write(tmp_path, "image_id,caption\n1,a cat\n2,a dog\n"))
    assert [caption.text for caption in table.captions] == ["a cat", "a dog"]
    assert not table.people


@pytest.mark.parametrize(
    "columns",
    [Columns("text", ("gold a", "gold b"), "clip"), Columns("text", ("gold a",), "clip")],
)
def test_any_column_by_name(tmp_path, columns):
    path = write(tmp_path, "clip;text;gold a;gold b\n1;a dog;dogs;a dog barks\n2;rain;it rains;\n")
    table = read_captions(path, columns)
    assert [caption.text for caption in table.captions] == ["a dog", "rain"]
    assert table.references[0] == ["dogs", "a dog barks"][: len(columns.references)]


def test_json_lines_json_and_gzip_say_the_same(tmp_path):
    rows = [
        {"file_name": "a.wav", "caption_predicted": "a dog", "references": ["dogs", "a dog barks"]},
        {"file_name": "b.wav", "caption_predicted": "rain", "references": ["it rains"]},
    ]
    lines = "\n".join(map(json.dumps, rows))
    paths = [
        write(tmp_path, lines, "a.jsonl"),
        write(tmp_path, json.dumps(rows, indent=1), "a.json"),
        write(tmp_path, gzip.compress(lines.encode()), "a.jsonl.gz"),
    ]
    tables = [read_captions(path) for path in paths]
    assert tables[0].references == [["dogs", "a dog barks"], ["it rains"]]
    for table in tables[1:]:
        assert (table.captions, table.references) == (tables[0].captions, tables[0].references)


def test_several_captions_of_a_clip_as_generate_writes_them(tmp_path):
    row = {
        **{"file_name": "a.wav", "caption_predicted": "a dog", "captions": ["a dog", "dogs"]},
        **{"logprob": -1.5, "ended": False},
    }
    for name, content in (
        ("a.jsonl", json.dumps(row)),
        ("a.csv", "file_name,caption_predicted,caption_predicted_2\na.wav,a dog,dogs\n"),
    ):
        table = read_captions(write(tmp_path, content, name))
        assert table.captions[0].text == "a dog"
        assert [other.text for other in table.captions[0].others] == ["dogs"]
        assert table.references == [[]]
        assert table.captions[0].ended is (name == "a.csv")


def test_repeated_clips_are_counted_once_and_told(tmp_path):
    path = write(
        tmp_path,
        "file_name,caption_predicted,caption_1\na.wav,a dog,dogs\na.wav,a dog,dogs bark\n"
        "b.wav,rain,it rains\na.wav,a cat,dogs\n",
    )
    table = read_captions(path)
    assert [caption.text for caption in table.captions] == ["a dog", "rain"]
    assert table.references[0] == ["dogs", "dogs bark"]
    assert table.duplicates == 2
    assert "another one in 1 of them" in table.notes[0]


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("\ufefffile_name,caption_predicted\na.wav,é\n".encode(), None),
        ("file_name,caption_predicted\na.wav,é\n".encode("utf-16"), None),
        ("file_name,caption_predicted\na.wav,é\n".encode("utf-16-le"), "UTF-16"),
        ("file_name,caption_predicted\na.wav,é\n".encode("cp1252"), "1 lines are not UTF-8"),
        (
            "file_name,caption_predicted\na.wav,é\n".encode() + "b.wav,naïve\n".encode("latin-1"),
            "1 lines are not UTF-8",
        ),
        ("file_name,caption_predicted\r\na.wav,\0é\r\n".encode(), "1 NUL bytes left out"),
    ],
)
def test_encodings(tmp_path, content, note):
    table = read_captions(write(tmp_path, content))
    assert table.captions[0].file_name == "a.wav"
    assert table.captions[0].text == "é"
    assert (note in " ".join(table.notes)) if note else not table.notes


def test_a_caption_of_a_million_characters(tmp_path):
    long = "word " * 200_000
    path = write(tmp_path, f"file_name,caption_predicted\na.wav,{long}\nb.wav,rain\n")
    assert len(read_captions(path).captions[0].text) == len(long) - 1


def test_what_is_missing_in_some_rows_is_told(tmp_path):
    path = write(
        tmp_path,
        "file_name,caption_predicted,caption_1\na.wav,,dogs\nb.wav,rain,\n,wind,it is windy\n",
    )
    notes = " ".join(read_captions(path).notes)
    assert "1 captions are empty" in notes
    assert "1 clips have no reference" in notes
    assert "1 rows name no clip" in notes
    ragged = write(tmp_path, "file_name,caption_predicted\na.wav,a dog, barking\n")
    assert "need" in " ".join(read_captions(ragged).notes)


@pytest.mark.parametrize(
    ("content", "columns", "message", "hint"),
    [
        (b"", None, "is empty", "caption a row"),
        (b"\n\n", None, "is empty", "caption a row"),
        (b"file_name,caption_predicted\n", None, "no rows", "each clip"),
        (b"file_name,caption_predicted\na,\nb,\n", None, "is empty in all 2 rows", "--column"),
        (b"clip,text\na,a dog barks\n", None, "no column caption_predicted", "--column text?"),
        (b"a,b\n1,2\n", None, "no column caption_predicted", "by --column"),
        (b"file_name,captoin\na,a dog\n", "caption", "no column 'caption'", "mean captoin?"),
        (b'{"a": 1}\n{"b": \n', None, "line 2, is not JSON", "One object"),
        (b'{"a": 1}\n[1]\n', None, "line 2, is not an object", "One object"),
        (b"[1, 2]", None, "item 1 is not an object", "list of objects"),
        (b"[" * 100_000, None, "nested too deeply", "list"),
        (gzip.compress(b"x" * 99, mtime=0)[:-9], None, "damaged gzip", "Pack it anew"),
        (b"\xff\xfea", None, "marked as UTF-16 and is not", "UTF-8"),
        (None, None, "no captions file", "CSV or JSONL"),
    ],
)
def test_what_cannot_be_used_is_explained(tmp_path, content, columns, message, hint):
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CapfixError) as caught:
        read_captions(path, Columns(columns))
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(CapfixError, match="cannot be read"):
        read_captions(tmp_path)


@given(st.binary(max_size=200))
def test_no_bytes_give_a_traceback(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "a.csv"
    path.write_bytes(content)
    with contextlib.suppress(CapfixError):  # anything else is a bug and fails
        rows, _ = read_rows(path)
        assert rows
        read_captions(path)


@pytest.mark.parametrize(
    ("name", "clips", "people"),
    [("conette_audiocaps_test", 912, False), ("audiocaps_val_human", 495, True)],
)
def test_real_files(name, clips, people):
    table = read_captions(real_data("captions") / f"{name}.csv")
    assert len(table.captions) == clips
    assert table.people is people
    assert max(len(texts) for texts in table.references) == 5 - people
