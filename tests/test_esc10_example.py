"""The ESC-10 example, on made-up recordings and, where it is here, on the real data."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import soundfile
from conftest import real_data

from examples.esc10 import KINDS, build, main

RATE = 22_050


@pytest.fixture(scope="module")
def esc10(tmp_path_factory):
    """Two clips a class and fold, in folders named as ESC-10's are."""
    folder = tmp_path_factory.mktemp("esc10")
    for number, name in enumerate(KINDS):
        place = folder / f"{number + 1:03d} - {name.capitalize()}"
        place.mkdir()
        for fold in range(1, 6):
            for take in "AB":
                generator = np.random.default_rng([number, fold, ord(take)])
                time = np.arange(2 * RATE) / RATE
                wave = 0.4 * np.sin(2 * np.pi * (200 + 150 * number) * time)
                wave += 0.02 * generator.standard_normal(len(time))
                soundfile.write(place / f"{fold}-1{number}-{take}.ogg", wave, RATE)
    return folder


def test_the_set_is_whole_and_its_folds_apart(esc10, tmp_path):
    world = build(tmp_path / "set", esc10, 0, mixes_train=20, mixes_test=10)
    truth = json.loads(world.truth.read_text())
    for audio, table, singles, mixes in (
        (world.train_audio, world.train_captions, 80, 20),
        (world.test_audio, world.test_captions, 20, 10),
    ):
        rows = list(csv.DictReader(table.read_text().splitlines()))
        assert len(rows) == singles + mixes == len(list(audio.iterdir()))
        assert sum(len(truth[row["file_name"]]) == 2 for row in rows) == mixes
        for row in rows:
            told = [row[f"caption_{n}"] for n in range(1, 6)]
            assert len(set(told)) == 5
            kinds = [KINDS[name] for name in truth[row["file_name"]]]
            for text in told:
                assert all(set(text.split()) & kind.words for kind in kinds), text
            info = soundfile.info(audio / row["file_name"])
            assert (info.samplerate, info.channels) == (16_000, 1)


def test_the_same_arguments_give_the_same_bytes(esc10, tmp_path):
    worlds = [
        build(tmp_path / name, esc10, seed, 4, 4) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    first, again, other = (
        b"".join(path.read_bytes() for path in sorted(world.test_audio.iterdir()))
        for world in worlds
    )
    assert first == again != other


def test_the_command_trains_a_captioner_that_capfix_reads(esc10, tmp_path, capsys):
    from capfix_cli.captioners.loading import load

    given = ["--esc10", str(esc10), "--epochs", "1", "--mixes-train", "4", "--mixes-test", "2"]
    assert main([str(tmp_path / "set"), *given]) == 0
    assert "capfix diagnose" in capsys.readouterr().out
    facts = load(str(tmp_path / "set" / "model.pt")).summary.facts
    assert facts["encoder.pooling"] == "time"
    assert facts["training.epochs"] == 1
    assert main([str(tmp_path / "set"), *given]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main([str(tmp_path / "new"), "--esc10", str(tmp_path / "none")]) == 2
    assert "no ESC-10 folder" in capsys.readouterr().err


def test_on_the_real_recordings(tmp_path):
    world = build(tmp_path / "set", real_data("esc10"), 0, mixes_train=0, mixes_test=10)
    assert len(list(world.train_audio.iterdir())) == 320
    assert len(list(world.test_audio.iterdir())) == 90
