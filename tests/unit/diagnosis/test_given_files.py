"""Files beside the model are held against the clips before anything is captioned."""

from __future__ import annotations

import pathlib

import pytest

from capfix_cli.audio.clip_set import open_clips
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import no_progress
from capfix_cli.diagnosis.command_settings import Settings
from capfix_cli.diagnosis.given_files import open_given_files
from capfix_cli.schemas.clip_records import ClipCaption


class Listener:
    """Keeps what it is told."""

    def __init__(self):
        self.lines = []

    def __call__(self, stage, done, total):
        pass

    def tell(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def clips(world):
    return open_clips(world.test_audio)


def write(path, names):
    path.write_text("file_name,caption\n" + "".join(f"{name},a dog\n" for name in names))
    return str(path)


def opened(clips, progress=no_progress, **settings):
    return open_given_files(clips, Settings(**settings), progress)


def test_references_of_a_few_clips_are_told_at_once(clips, tmp_path):
    listener = Listener()
    path = write(tmp_path / "r.csv", clips.names[:5])
    files = opened(clips, listener, references=path)
    (line,) = listener.lines
    assert line.startswith(f"References for 5 of 24 clips in {path}: what is judged on references")
    assert files.notes == [line]
    assert list(files.fit.matched) == clips.names[:5]
    assert opened(clips, references=path).notes == [line]  # who cannot be told reads it there


def test_references_of_other_clips_stop_at_once(clips, tmp_path):
    path = write(tmp_path / "r.csv", ["one.wav", "two.wav"])
    with pytest.raises(CapfixError, match="None of the 24 clips has a reference in"):
        opened(clips, references=path)


def test_more_references_than_clips_are_told(clips, tmp_path):
    listener = Listener()
    path = write(tmp_path / "r.csv", [*clips.names, "one.wav", "two.wav"])
    opened(clips, listener, references=path)
    assert listener.lines == [
        f"References for 24 of 24 clips in {path}: 2 names in it are of no clip here (one.wav)."
    ]


def test_references_in_another_order_are_nothing_to_tell(clips, tmp_path):
    listener = Listener()
    files = opened(clips, listener, references=write(tmp_path / "r.csv", reversed(clips.names)))
    assert listener.lines == files.notes == []
    assert list(files.fit.matched) == clips.names


def test_how_the_file_was_read_is_told(clips, tmp_path):
    path = write(tmp_path / "r.csv", clips.names)
    with pathlib.Path(path).open("ab") as file:
        file.write(f"{clips.names[0]},naïve\n".encode("latin-1"))
    assert opened(clips, references=path).notes == [
        f"{path}: 1 lines are not UTF-8 and were read as Windows-1252."
    ]


def test_references_of_clips_that_cannot_be_captioned_are_refused(clips, tmp_path):
    files = opened(clips, references=write(tmp_path / "r.csv", clips.names[:2]))
    captions = [ClipCaption(name, "a dog") for name in clips.names]
    assert files.references_of(captions) == {name: ["a dog"] for name in clips.names[:2]}
    with pytest.raises(CapfixError, match="None of the 2 clips with references"):
        files.references_of(captions[2:])
    assert opened(clips).references_of(captions) is None


def test_training_captions_of_other_clips_stop_at_once(clips, world, tmp_path):
    path = write(tmp_path / "t.csv", ["one.wav", "two.wav"])
    given = {"train_captions": path, "train_audio": str(world.train_audio)}
    with pytest.raises(CapfixError, match="None of the 2 clips of"):
        opened(clips, **given)
    files = opened(clips, **given | {"train_captions": str(world.train_captions)})
    assert (len(files.trained_on.names), len(files.train_clips)) == (32, 32)


def test_a_folder_with_too_few_clips_stops_at_once(world, tmp_path):
    for path in sorted(world.test_audio.iterdir())[:7]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CapfixError, match="at least 20 usable clips"):
        opened(tmp_path)
