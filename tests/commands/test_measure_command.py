"""``capfix measure`` as a whole: verdicts, JSON, several files, bad input."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys

import pytest

from capfix_cli.schemas.measured_values import VERDICTS

KINDS = ("dog barks", "bell rings", "rain falls", "engine idles", "baby cries", "bird sings")
PLACES = ("in a hall", "on a street", "near a river", "at night", "in a field")
CLIPS = 90


def sentence(n, form=0):
    """One of many things that can be heard, in one of three forms."""
    first, second = KINDS[n % 6], PLACES[n // 6 % 5]
    third = ("softly", "loudly", "twice")[n // 30]
    return (f"a {first} {third} {second}", f"{second} a {first} {third}", f"the {first} {third}")[
        form
    ]


def write(path, predicted, references=True, clips=CLIPS):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = ["caption_1", "caption_2"] if references else []
        writer.writerow(["file_name", "caption_predicted", *names])
        for n in range(clips):
            people = [sentence(n, 1), sentence(n, 2)] if references else []
            writer.writerow([f"{n}.wav", predicted(n), *people])
    return path


@pytest.fixture
def files(tmp_path):
    return {
        "healthy": write(tmp_path / "good.csv", sentence),
        "collapsed": write(tmp_path / "same.csv", lambda n: "a sound is heard"),
        "ungrounded": write(tmp_path / "moved.csv", lambda n: sentence((n + 37) % CLIPS)),
        "generic": write(tmp_path / "bland.csv", lambda n: f"a {KINDS[n % 6]}"),
    }


@pytest.mark.parametrize("verdict", ["healthy", "collapsed", "ungrounded", "generic"])
def test_each_verdict(capfix, files, verdict):
    done = capfix("measure", files[verdict], "-q")
    assert (done.status, done.out) == (0, f"{verdict}\n")
    failed = capfix("measure", files[verdict], "--fail-on", f"{verdict}", "-q")
    assert failed.status == 3


def test_what_is_printed(capfix, files):
    done = capfix("measure", files["generic"])
    assert done.status == 0, done.err
    text = " ".join(done.out.split())
    for words in (
        *("GENERIC", "90 clips, up to 2 references each", "find their clip among 20"),
        *("needs at least", "healthy at this N", "CIDEr-D on own references", "Modes"),
        *("17 %", "15", "a dog barks", "seed:0|version:"),
    ):
        assert words in text, words


def test_without_references_only_diversity_is_judged(capfix, tmp_path):
    path = write(tmp_path / "a.csv", sentence, references=False)
    text = " ".join(capfix("measure", path).out.split())
    assert "HEALTHY captions differ; listening could not be judged" in text
    assert "only diversity was judged" in text
    data = json.loads(capfix("measure", path, "--json").out)
    assert data["files"][0]["listening"] is None


def test_json_is_the_contract(capfix, files):
    done = capfix("measure", files["healthy"], "--json", "--seed", "4")
    data = json.loads(done.out, parse_constant=pytest.fail)
    assert data["schema"] == "capfix.measure/1"
    assert set(data) >= {"schema", "capfix_version", "files"}
    (file,) = data["files"]
    assert set(file) >= {
        *("path", "captions", "clips", "duplicates", "verdict", "listening", "measures"),
        *("modes", "signature"),
    }
    assert (file["captions"], file["clips"], file["duplicates"]) == (CLIPS, CLIPS, 0)
    heard = file["listening"]
    assert heard["bits"] is None
    assert heard["chance"] == 0.05
    assert heard["identification"] > 0.6
    assert heard["ratio"] > 1
    assert heard["ratio_low"] <= heard["ratio"] <= heard["ratio_high"]
    for name, measure in file["measures"].items():
        assert set(measure) == {"value", "low", "high", "healthy_low", "healthy_high", "source"}
        assert measure["value"] is not None, name
    distinct = file["measures"]["distinct_captions"]
    assert distinct["healthy_low"] < distinct["healthy_high"]
    assert "rescaled to the references" in distinct["source"]
    assert "seed:4" in file["signature"]
    assert data["seed"] == 4


def test_modes_in_json(capfix, files):
    (file,) = json.loads(capfix("measure", files["collapsed"], "--json").out)["files"]
    (mode,) = file["modes"]
    assert (mode["exemplar"], mode["size"], mode["share"]) == ("a sound is heard", CLIPS, 1.0)
    assert mode["clips"][:2] == ["0.wav", "1.wav"]


def test_the_same_seed_gives_the_same_output(capfix, files):
    once, again = (capfix("measure", files["generic"], "--json").out for _ in range(2))
    assert once == again


def test_several_files_side_by_side_with_paired_tests(capfix, files, tmp_path):
    done = capfix("measure", files["healthy"], files["generic"], "--json")
    data = json.loads(done.out)
    assert [file["verdict"] for file in data["files"]] == ["healthy", "generic"]
    (comparison,) = data["comparisons"]
    assert comparison["clips"] == CLIPS
    found = comparison["differences"]["identification"]
    assert found["low"] <= found["difference"] <= found["high"] < 0
    assert found["p"] < 0.05
    assert comparison["differences"]["distinct_captions"]["high"] < 0
    text = " ".join(capfix("measure", files["healthy"], files["generic"]).out.split())
    assert "in pairs on 90 shared clips" in text
    quiet = capfix("measure", files["healthy"], files["generic"], "-q").out.splitlines()
    assert [line.split("\t")[1] for line in quiet] == ["healthy", "generic"]
    other = tmp_path / "other.csv"
    other.write_text(files["generic"].read_text().replace(".wav", ".flac"))
    apart = capfix("measure", files["healthy"], other)
    assert apart.status == 0
    assert "shares 0 clips" in " ".join(apart.out.split())
    failed = capfix("measure", files["healthy"], files["generic"], "-q", "--fail-on", "generic")
    assert failed.status == 3


def test_references_from_another_file(capfix, files, tmp_path):
    alone = write(tmp_path / "alone.csv", sentence, references=False)
    people = tmp_path / "people.csv"
    people.write_text(
        "file_name,caption_1,caption_2\n"
        + "".join(f"{n}.wav,{sentence(n, 1)},{sentence(n, 2)}\n" for n in range(CLIPS))
    )
    joined, beside = (
        json.loads(capfix("measure", *words, "--json").out)["files"][0]["listening"]
        for words in ((alone, "--references", people), (files["healthy"],))
    )
    assert joined["identification"] == pytest.approx(beside["identification"])


def test_columns_by_option_gzip_and_json_lines(capfix, tmp_path):
    rows = [
        {"sound": n, "said": sentence(n), "gold": sentence(n, 1), "other": sentence(n, 2)}
        for n in range(CLIPS)
    ]
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    named = ("--column", "said", "--references-columns", "gold,other", "--id-column", "sound")
    (file,) = json.loads(capfix("measure", path, *named, "--json").out)["files"]
    assert (file["verdict"], file["references"], file["clips"]) == ("healthy", 2, CLIPS)
    assert "Did you mean --column" in capfix("measure", path).complaint


def test_scripts_of_the_world(capfix, tmp_path):
    path = tmp_path / "a.csv"
    han = [chr(0x4E00 + n) for n in range(200)]
    lines = [f"{n}.wav,{han[n]}{han[n + 50]}吠,{han[n]}の声,{han[n + 50]}が鳴る" for n in range(60)]
    path.write_text(
        "file_name,caption_predicted,caption_1,caption_2\n" + "\n".join(lines), encoding="utf-8"
    )
    (file,) = json.loads(capfix("measure", path, "--json").out)["files"]
    assert file["verdict"] == "healthy"
    assert file["listening"]["identification"] > 0.9


def test_bad_input_gets_one_line_a_hint_and_status_2(capfix, tmp_path, files):
    def made(name, content):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    header = "file_name,caption_predicted\n"
    one = made("one.csv", f"{header}a.wav,a dog\n")
    other = made("other.csv", "file_name,caption_1,caption_2\nz.wav,a dog,dogs\n")
    alone = write(tmp_path / "alone.csv", sentence, references=False)
    cases = [
        ((tmp_path / "none.csv",), "no captions file"),
        ((made("empty.csv", ""),), "is empty"),
        ((made("header.csv", header),), "no rows"),
        ((one,), "at least 20 usable clips and"),
        ((one,), "Add 19 more."),
        ((made("void.csv", header + "a.wav,\n" * 30),), "is empty in all"),
        ((made("text.csv", "id,text\n" + "1,a dog barks\n" * 30),), "Did you mean --column text?"),
        ((made("bad.jsonl", '{"file_name": "a"\n'),), "is not JSON"),
        ((tmp_path,), "cannot be read"),
        ((files["healthy"], "--column", "caption"), "Did you mean caption_"),
        ((files["healthy"], "--metrics", "spyder"), "Did you mean spider"),
        ((files["healthy"], "--fail-on", "colapsed"), "Did you mean collapsed?"),
        ((files["healthy"], "--references", tmp_path / "none.csv"), "no captions file"),
        ((alone, "--references", other), "None of the 90 clips"),
        ((), "Missing argument"),
    ]
    for words, message in cases:
        complaint = capfix("measure", *words).complaint
        assert message in complaint, words
        assert len(complaint) > len(message) + 8, words


def test_odd_but_usable_input_gives_numbers(capfix, tmp_path):
    cases = {
        "empty ones": lambda n: "" if n % 2 else sentence(n),
        "punctuation": lambda n: "..." if n % 2 else sentence(n),
        "nul": lambda n: f"\0{sentence(n)}",
        "long": lambda n: "word " * 20_000 if n == 3 else sentence(n),
        "emoji": lambda n: f"🐕 {n} \u202e {n * n}",
    }
    for name, predicted in cases.items():
        path = write(tmp_path / "odd.csv", predicted)
        done = capfix("measure", path, "--json")
        assert done.status == 0, (name, done.err)
        data = json.loads(done.out, parse_constant=pytest.fail)
        assert data["files"][0]["verdict"] in VERDICTS
        assert capfix("measure", path).status == 0, name


def test_too_few_references_are_told(capfix, tmp_path):
    path = tmp_path / "a.csv"
    lines = [f"{n}.wav,{sentence(n)},{sentence(n, 1) if n < 7 else ''}" for n in range(CLIPS)]
    path.write_text("file_name,caption_predicted,caption_1\n" + "\n".join(lines))
    (file,) = json.loads(capfix("measure", path, "--json").out)["files"]
    assert file["listening"] is None
    assert any("only 7 clips have references" in note for note in file["notes"])


def test_measuring_needs_no_torch(files, tmp_path):
    code = (
        "import sys\nfrom capfix_cli.cli.app import main\n"
        f"sys.argv = ['capfix', 'measure', {str(files['healthy'])!r}, '-q']\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.splitlines() == ["healthy", "False"]


def test_novelty_against_a_training_file(capfix, files, tmp_path):
    training = write(tmp_path / "train.csv", lambda n: sentence(n % 45), references=False)
    done = capfix("measure", files["healthy"], "--training", training, "--json")
    measures = json.loads(done.out)["files"][0]["measures"]
    assert measures["novelty"]["value"] == pytest.approx(0.5)
    assert measures["novelty"]["low"] < 0.5 < measures["novelty"]["high"]
    assert "training:90" in measures["novelty"]["source"]
    assert (
        "not in the training file"
        in capfix("measure", files["healthy"], "--training", training).out
    )
    missing = capfix("measure", files["healthy"], "--training", tmp_path / "none.csv")
    assert missing.status == 2
    assert "none.csv" in missing.err


def test_several_captions_a_clip_are_compared_within_it(capfix, tmp_path):
    path = tmp_path / "several.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "caption_predicted", "caption_predicted_2"])
        for n in range(40):
            writer.writerow(
                [f"{n}.wav", sentence(n), sentence(n) if n % 2 else sentence(n + 45, 1)]
            )
    found = json.loads(capfix("measure", path, "--json").out)["files"][0]["measures"]
    assert 0.5 < found["div_1"]["value"] < 1
    assert 0.5 < found["mbleu_4"]["value"] < 1
    assert found["mbleu_4"]["source"].startswith("mbleu_4|n:4|smooth:method1|")


def test_every_figure_has_an_interval_and_a_signature(capfix, files):
    file = json.loads(capfix("measure", files["healthy"], "--json").out)["files"][0]
    assert len(file["measures"]) > 25
    for name, measure in file["measures"].items():
        assert measure["low"] <= measure["value"] + 1e-9, name
        assert measure["high"] >= measure["value"] - 1e-9, name
        assert measure["source"].startswith(f"{name}|"), name
        assert "|version:" in measure["source"], name
    assert [point["captions"] for point in file["curve"]][-1] == CLIPS
    types = [point["types"] for point in file["curve"]]
    assert types == sorted(types)


def test_more_captions_than_corridors_are_known_for(capfix, tmp_path):
    path = write(tmp_path / "many.csv", lambda n: f"{sentence(n % 90)} {n}", False, clips=1_300)
    done = capfix("measure", path, "--json")
    file = json.loads(done.out)["files"][0]
    assert all(measure["healthy_low"] is None for measure in file["measures"].values())
    assert file["sampled"]["distinct_2"]["healthy_low"] > 0
    assert "N:1045" in file["sampled"]["distinct_2"]["source"]
    assert "1045 of them, drawn" in capfix("measure", path).out
