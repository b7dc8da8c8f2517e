"""`capfix generate`: options, outputs, interruptions, several processes, and bad captioners."""

from __future__ import annotations

import csv
import dataclasses
import errno
import gc
import inspect
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import capfix_cli.runs.run_store
from benchmarks.zoo import toys
from capfix_cli import api as pipeline
from capfix_cli.audio.audio_batches import plan_batches
from capfix_cli.audio.audio_files import Clip
from capfix_cli.captions.captions_file import Predicted
from capfix_cli.cli import command_options as options
from capfix_cli.cli import generate_command as generate
from capfix_cli.core.errors import CapfixError
from capfix_cli.decoding.decoding_options import GREEDY, DecodingOptions
from capfix_cli.decoding.generation_config import DECODING, read_decoding, write_decoding
from capfix_cli.generation import captioning, publishing
from capfix_cli.generation import distributed as teams
from capfix_cli.generation import partial_output as sidefile
from capfix_cli.generation.caption_folder import Delivery
from capfix_cli.generation.manifest import build_manifest
from capfix_cli.report.terminal.generation_view import CaptionTable, line
from capfix_cli.schemas.clip_records import ClipCaption

HEALTHY = f"{Path(toys.__file__)}:load_healthy"
ADAPTERS = '''
import os, time
import torch
from benchmarks.zoo import toys

def real(lengths):
    """Not what a captioner is tried on when it is loaded."""
    return lengths.eq(toys.RATE // 4).all()

class Logged(toys.Toy):
    """Writes down what it encodes; takes its time for each batch where told to."""
    def encode(self, waveforms, lengths):
        memory = super().encode(waveforms, lengths)
        if real(lengths):
            if os.environ.get("TOY_LOG"):
                with open(os.environ["TOY_LOG"], "a") as log:
                    log.write("".join(f"{clip:02d}.wav\\n" for clip in memory.tolist()))
            if int(os.environ.get("TOY_FAILS_AT", "-1")) in memory.tolist():
                raise RuntimeError("this clip is too much")
            time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
        return memory

def load(checkpoint, device): return Logged(toys.healthy)
def load_draws(checkpoint, device): return Logged(toys.hidden_by_search)
def load_contrast(checkpoint, device): return Logged(toys.needs_contrast)
def load_nan(checkpoint, device): return toys.Toy(toys.broken)

def load_some_nan(checkpoint, device):
    def rule(clip, words):
        scores = toys.healthy(clip, words)
        scores[clip == 3] = float("nan")
        return scores
    return toys.Toy(rule)

class Mute(toys.Toy):
    def logits(self, prefix, memory):
        return torch.full((prefix.shape[0], len(self.vocabulary)), float("-inf"))

class Endless(toys.Toy):
    def logits(self, prefix, memory):
        scores = torch.zeros(prefix.shape[0], len(self.vocabulary))
        scores[:, : toys.FIRST] = float("-inf")
        return scores

class Brief(toys.Toy):
    def logits(self, prefix, memory):
        scores = super().logits(prefix, memory)
        scores[:, toys.EOS] = 99.0
        return scores

class Hungry(toys.Toy):
    def encode(self, waveforms, lengths):
        if real(lengths):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().encode(waveforms, lengths)

def load_mute(checkpoint, device): return Mute(toys.healthy)
def load_endless(checkpoint, device): return Endless(toys.healthy)
def load_brief(checkpoint, device): return Brief(toys.healthy)
def load_hungry(checkpoint, device): return Hungry(toys.healthy)
'''


@pytest.fixture
def clips(tmp_path):
    return toys.write_clips(tmp_path / "clips")


@pytest.fixture
def adapters(tmp_path):
    path = tmp_path / "generate_toys.py"
    path.write_text(ADAPTERS)
    return path


def program(cwd, *words, **environment):
    """Start the program as a process of its own."""
    root = Path(toys.__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-m", "capfix_cli", *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(true, seconds=90.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def lines_of(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


# Options


def test_every_decoding_option_has_its_place_on_the_command_line():
    names = {field.name for field in dataclasses.fields(DecodingOptions)} - {"do_sample"}
    renamed = {"num_return_sequences": "num_captions", "contrast_absent": "contrast_against"}
    taken = set(inspect.signature(generate.command).parameters)
    assert {renamed.get(name, name) for name in names} <= taken


@pytest.mark.parametrize(
    ("words", "decoding"),
    [
        ("--temp 0.8 --top-p 0.9", {"do_sample": True, "temperature": 0.8, "top_p": 0.9}),
        ("--temperature 2 --top-k 5", {"do_sample": True, "temperature": 2.0, "top_k": 5}),
        ("--min-p 0.1", {"do_sample": True, "min_p": 0.1}),
        ("--typical-p 0.5", {"do_sample": True, "typical_p": 0.5}),
        (
            "--num-beams 4 --num-beam-groups 2 --diversity-penalty 1 --length-penalty 0.5",
            {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1, "length_penalty": 0.5},
        ),
        ("--num-beams 2 --early-stopping True", {"num_beams": 2, "early_stopping": True}),
        ("--num-beams 2 --early-stopping never", {"num_beams": 2, "early_stopping": "never"}),
        ("--num-beams 2 --num-captions 2", {"num_beams": 2, "num_return_sequences": 2}),
        (
            "--repetition-penalty 1.2 --no-repeat-ngram-size 2 --min-new-tokens 2"
            " --max-new-tokens 5",
            {
                "repetition_penalty": 1.2,
                "no_repeat_ngram_size": 2,
                "min_new_tokens": 2,
                "max_new_tokens": 5,
            },
        ),
        (
            "--temp 1 --num-candidates 4 --rerank listening --contrast-against silence",
            {
                "do_sample": True,
                "num_candidates": 4,
                "rerank": "listening",
                "contrast_absent": "silence",
            },
        ),
        (
            "--contrast 1 --contrast-cutoff 0.2 --contrast-against mean-memory",
            {"contrast": 1.0, "contrast_cutoff": 0.2, "contrast_absent": "mean-memory"},
        ),
    ],
)
def test_options_are_taken_and_decode(words, decoding, capfix, clips, adapters):
    adapter = f"{adapters}:load_contrast"
    done = capfix(
        "generate", "toy", "--audio", clips, "--adapter", adapter, "--json", *words.split()
    )
    assert done.status == 0, done.err
    result = json.loads(done.out)
    assert result["decoding"] == DecodingOptions(**decoding).to_dict()
    assert len(result["captions"]) == toys.CLIPS
    assert any(row["caption_predicted"] for row in result["captions"])


CONTRADICTIONS = [
    ("--top-p 0", "--top-p is 0"),
    ("--temp -1", "--temperature is -1"),
    ("--top-k -1", "--top-k is -1"),
    ("--num-beams 5 --num-beam-groups 2", "cannot be parted"),
    ("--num-beams 5 --temp 0.8", "exclude each other"),
    ("--num-captions 3", "need sampling or beams"),
    ("--num-candidates 3 --temp 1", "does not say by what"),
    ("--num-candidates 3 --temp 1 --rerank liklihood", "Did you mean likelihood?"),
    ("--rerank mbr --temp 1", "there is one"),
    ("--min-new-tokens 9 --max-new-tokens 3", "is more than"),
    ("--diversity-penalty 1 --num-beams 4", "there is one group"),
    ("--num-beams 2 --early-stopping maybe", "--early-stopping is 'maybe'"),
    ("--length-penalty 2", "Add --num-beams"),
    ("--early-stopping true", "Add --num-beams"),
    ("--contrast-cutoff 0.2", "Add --contrast"),
    ("--contrast-against silence", "Add --contrast"),
    ("--contrast 1 --contrast-against quiet", "not one of others"),
    ("--decoding none.json", "There is no decoding file"),
    ("--output captions.json", "Name it captions.jsonl"),
    ("--output captions.tsv", "Name it captions.csv"),
]


def test_contradictions_are_one_line_and_cost_no_pytorch(tmp_path):
    cases = [words.split() for words, _ in CONTRADICTIONS]
    code = (
        "import io, json, sys\nfrom contextlib import redirect_stderr\n"
        "from capfix_cli.cli.app import main\nfound = []\n"
        f"for words in {cases!r}:\n"
        "    sys.argv = ['capfix', 'generate', 'model.pt', '--audio', 'clips', *words]\n"
        "    told = io.StringIO()\n    try:\n        with redirect_stderr(told):\n"
        "            main()\n    except SystemExit as stop:\n"
        "        found.append([stop.code, told.getvalue()])\n"
        "print(json.dumps([found, 'torch' in sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    found, loaded = json.loads(done.stdout)
    assert not loaded
    assert len(found) == len(CONTRADICTIONS) == 20
    for (status, told), (words, message) in zip(found, CONTRADICTIONS, strict=True):
        assert status == 2, words
        assert told.startswith("Error: "), (words, told)
        assert told.count("\n") == 1, (words, told)
        assert message in told, words
    assert not list(tmp_path.iterdir())


def test_a_decoding_file_is_used_and_overridden(tmp_path):
    path = tmp_path / "generation_config.json"
    write_decoding(path, DecodingOptions(do_sample=True, temperature=0.8, top_p=0.9))
    assert options.decoding({"top_p": None}, None) is None
    assert options.decoding({"top_p": None}, str(path)) == read_decoding(path)
    changed = options.decoding({"top_p": 0.5, "max_new_tokens": 4}, str(path))
    assert changed == DecodingOptions(do_sample=True, temperature=0.8, top_p=0.5, max_new_tokens=4)
    with pytest.raises(CapfixError, match="exclude each other"):
        options.decoding({"num_beams": 5}, str(path))
    write_decoding(path, DecodingOptions(num_beams=5))
    penalised = options.decoding({"length_penalty": 2.0}, str(path))
    assert penalised == DecodingOptions(num_beams=5, length_penalty=2.0)
    write_decoding(path, GREEDY)
    sampled = options.decoding({"temperature": 2.0}, str(path))
    assert sampled == DecodingOptions(do_sample=True, temperature=2.0)


def test_without_options_a_run_says_how_to_decode(capfix, clips, adapters, tmp_path):
    model = tmp_path / "weights.pt"
    model.write_bytes(b"any")
    adapter = f"{adapters}:load_draws"
    capfix("diagnose", model, "--audio", clips, "--adapter", adapter, "-q")
    run = capfix_cli.runs.run_store.find_run(None)
    best = run.diagnosis().best_decoding
    assert best is not None
    decoding = run.folder / DECODING

    def used(*words):
        done = capfix("generate", *words, "--json", "--adapter", adapter)
        assert done.status == 0, done.err
        return json.loads(done.out)["decoding"], done.err

    assert decoding.is_file()
    found, told = used()
    assert found == best
    assert f"as the run {run.id} found best" in told
    other = DecodingOptions(do_sample=True, temperature=3.0)
    write_decoding(decoding, other)
    assert used()[0] == other.to_dict()
    assert used(model, "--audio", clips)[0] == other.to_dict()  # the same model, by its path
    assert used("another", "--audio", clips)[0] == GREEDY.to_dict()
    assert used("another")[0] == GREEDY.to_dict()
    assert used("--num-beams", "2")[0] == {"do_sample": False, "num_beams": 2}
    decoding.unlink()
    assert used()[0] == best


# Outputs


def test_csv_and_jsonl_hold_every_caption_in_order(capfix, clips, adapters, tmp_path):
    words = ("generate", "toy", "--audio", clips, "--adapter", f"{adapters}:load_draws")
    several = ("--temp", "1", "--num-captions", "3", "--batch-size", "7")
    for name in ("a.csv", "a.jsonl"):
        assert capfix(*words, *several, "--output", name).status == 0
    rows = list(csv.reader(Path("a.csv").read_text().splitlines()))
    further = ["caption_predicted_2", "caption_predicted_3"]
    assert rows[0] == ["file_name", "caption_predicted", *further]
    assert [row[0] for row in rows[1:]] == [f"{number:02d}.wav" for number in range(toys.CLIPS)]
    objects = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert len(objects) == toys.CLIPS
    for row, item in zip(rows[1:], objects, strict=True):
        assert set(item) == {"file_name", "caption_predicted", "captions", "logprob", "ended"}
        assert row == [item["file_name"], *item["captions"]]
        assert item["caption_predicted"] == item["captions"][0]
        assert item["ended"] is True
        assert -20 < item["logprob"] < 0
    assert len({text for item in objects for text in item["captions"]}) > toys.CLIPS
    left = {path.name for path in tmp_path.iterdir()} - {"clips", adapters.name, "__pycache__"}
    assert left == {"a.csv", "a.jsonl"}


def test_json_beside_a_file_and_quiet(capfix, clips):
    words = ("generate", "toy", "--audio", clips, "--adapter", HEALTHY)
    done = capfix(*words, "--output", "a.jsonl", "--json")
    result = json.loads(done.out)
    assert result["output"] == "a.jsonl"
    rows = [json.loads(text) for text in Path("a.jsonl").read_text().splitlines()]
    assert [row["file_name"] for row in result["captions"]] == [row["file_name"] for row in rows]
    assert "30 captions written to a.jsonl" in done.err
    quiet = capfix(*words, "--output", "b.csv", "--quiet")
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")
    lines = capfix(*words, "--quiet")
    assert (len(lines.out.splitlines()), lines.err) == (toys.CLIPS, "")


def test_captions_come_out_while_others_are_still_made(clips, adapters, tmp_path):
    running = program(
        tmp_path,
        *("generate", "toy", "--audio", clips, "--adapter", f"{adapters}:load"),
        *("--batch-size", "1"),
        TOY_SECONDS="0.5",
    )
    assert running.stdout.readline() == f"00.wav\tword{toys.COMMON}\n"
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "With --output FILE they would be kept" in told


def test_captions_that_were_handed_on_are_not_held(tiny_model, world):
    alive = []

    def count(captions):
        alive.append(sum(type(thing) is ClipCaption for thing in gc.get_objects()))

    def passes(clips_at_once):
        gc.collect()
        alive.clear()
        pipeline.generate(
            str(tiny_model),
            str(world.test_audio),
            GREEDY,
            pipeline.Settings(batch_size=clips_at_once),
            delivery=Delivery(show=count),
        )
        return list(alive)

    found = passes(2)
    assert len(found) == 12
    assert max(found) - found[0] <= 2  # the batch before may not be gone yet


def test_names_that_are_no_text_stay_what_they_are(tmp_path):
    output = tmp_path / "a.csv"
    made = build_manifest("toy", "clips", GREEDY, 0)
    raw = b"caf\xe9.wav"
    row = Predicted(os.fsdecode(raw), ("a dog barks", "rain"), -1.5)
    for name in ("a.csv", "a.jsonl"):
        output = tmp_path / name
        with sidefile.Part(output, made) as part:
            part.append([row])
        assert sidefile.captioned_names(output) == {row.file_name}
        parts = sidefile.part_paths(output)
        lines, _ = publishing.find_lines(parts, {row.file_name})
        publishing.publish(output, parts, lines, 3)
    assert (tmp_path / "a.csv").read_bytes().endswith(raw + b",a dog barks,rain,\n")
    found = json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8"))
    assert os.fsencode(found["file_name"]) == raw
    assert line(ClipCaption(row.file_name, "rain")) == "caf\\udce9.wav\train"


# Interruptions


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_command_goes_on_where_it_was(number, capfix, clips, adapters, tmp_path):
    words = (
        *("generate", "toy", "--audio", clips, "--adapter", f"{adapters}:load_draws"),
        *("--temp", "1", "--seed", "3", "--batch-size", "4"),
    )
    log = tmp_path / "log"
    assert capfix(*words, "-o", "whole.csv").status == 0
    running = program(tmp_path, *words, "-o", "a.csv", TOY_SECONDS="0.4", TOY_LOG=str(log))
    part = tmp_path / "a.csv.part"
    until(lambda: lines_of(part) > 8)
    running.send_signal(number)
    _, told = running.communicate(timeout=60)
    kept = lines_of(part) - 1
    assert 8 <= kept < toys.CLIPS
    assert part.read_bytes().endswith(b"\n")
    assert not (tmp_path / "a.csv").exists()
    if number == signal.SIGINT:
        assert running.returncode == 130
        assert f"Stopped: {kept} of 30 clips are captioned and kept in a.csv.part" in told
        assert "the same command resumes" in told
    else:
        assert running.returncode == -signal.SIGKILL
    done = {json.loads(text)["file_name"] for text in part.read_text().splitlines()[1:]}
    log.unlink()
    again = program(tmp_path, *words, "-o", "a.csv", TOY_LOG=str(log))
    _, told = again.communicate(timeout=90)
    assert again.returncode == 0, told
    assert f"{kept} of them from before" in told
    assert set(log.read_text().split()) & done == set()  # none of them was heard again
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not part.exists()


def interrupted(output, model, audio, options=GREEDY, batches=4, **settings):
    """Leave the side file of a command that was killed after some batches."""

    class Stop(BaseException):
        pass

    seen = []

    def stop(captions):
        seen.append(captions)
        if len(seen) == batches:
            raise Stop

    given = pipeline.Settings(batch_size=3, **settings)
    with pytest.raises(Stop):
        pipeline.generate(model, str(audio), options, given, delivery=Delivery(output, stop))
    return sidefile.part_path(output)


def test_a_side_file_cut_anywhere_is_taken_up(capfix, clips, tmp_path):
    words = ("generate", "toy", "--audio", clips, "--adapter", HEALTHY, "--batch-size", "3")
    capfix(*words, "-o", "whole.jsonl")
    whole = Path("whole.jsonl").read_bytes()
    output = tmp_path / "a.jsonl"
    part = interrupted(output, "toy", clips, adapter=HEALTHY)
    data = part.read_bytes()
    assert data.count(b"\n") == 13
    first = data.index(b"\n") + 1
    ends = [place for place, byte in enumerate(data) if byte == ord("\n")]
    places = {0, 5, first - 1, first, first + 1, *ends[1:4], len(data) - 1, len(data)}
    for place in sorted(places):
        part.write_bytes(data[:place])
        done = capfix(*words, "-o", output)
        assert done.status == 0, (place, done.err)
        assert output.read_bytes() == whole, place
        assert not part.exists()
        output.unlink()
    # Blocks that were never filled, as after a power failure, and a line that is damaged.
    for spoilt in (data + b"\0" * 400, data.replace(b'"ended"', b'"edned"', 1)):
        part.write_bytes(spoilt)
        assert capfix(*words, "-o", output).status == 0
        assert output.read_bytes() == whole
        output.unlink()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--seed", "1"), "--seed was 0, now 1"),
        (("--temp", "0.5"), "sampling was off, now on; --temperature was 1.0, now 0.5"),
        (("--num-beams", "2"), "--num-beams was 1, now 2"),
        (("--adapter", "other.py:load"), "--adapter was "),
        (("--audio", "."), "--audio was "),
        (("--bos", "2"), "--bos was not given, now 2"),
    ],
)
def test_a_side_file_of_another_command_is_refused(words, told, capfix, clips, tmp_path):
    output = tmp_path / "a.csv"
    part = interrupted(output, "toy", clips, adapter=HEALTHY)
    before = part.read_bytes()
    usual = ("generate", "toy", "--audio", clips, "--adapter", HEALTHY, "-o", output)
    complaint = capfix(*usual, *words).complaint
    assert told in complaint
    assert f"delete {part}* to begin anew" in complaint
    assert part.read_bytes() == before
    assert capfix(*usual, "--batch-size", "5").status == 0  # decides no caption


def test_another_model_is_refused_and_a_moved_one_is_not(capfix, tiny_model, world, tmp_path):
    model, output = tmp_path / "model.pt", tmp_path / "a.csv"
    model.write_bytes(tiny_model.read_bytes())
    interrupted(output, str(model), world.test_audio)
    moved = model.rename(tmp_path / "moved.pt")
    data = moved.read_bytes()
    import torch

    content = torch.load(moved, weights_only=True)
    content["training"]["epochs"] = 9
    torch.save(content, moved)
    words = ("generate", moved, "--audio", world.test_audio, "-o", output)
    assert "MODEL was " in capfix(*words).complaint
    moved.write_bytes(data)
    assert capfix(*words).status == 0


def test_a_file_that_is_not_ours_is_left_alone(capfix, clips, tmp_path):
    words = ("generate", "toy", "--audio", clips, "--adapter", HEALTHY, "-o", "a.csv")
    for content in (b"half a download", b'{"schema": "capfix.part/99"}\n', b"\xff\xfe\n", b"[]\n"):
        Path("a.csv.part").write_bytes(content)
        assert "is not a side file" in capfix(*words).complaint
        assert Path("a.csv.part").read_bytes() == content
    Path("a.csv.part").unlink()
    Path("a.csv.parts").write_text("mine")
    assert capfix(*words).status == 0
    assert Path("a.csv.parts").read_text() == "mine"
    Path("b.csv").symlink_to(tmp_path / "gone")
    assert "there already" in capfix(*words[:-1], "b.csv").complaint


def test_two_commands_do_not_write_one_file(capfix, clips, tmp_path):
    output = tmp_path / "a.csv"
    made = build_manifest("toy", str(clips), GREEDY, 0, HEALTHY)
    with sidefile.Part(output, made):
        words = ("generate", "toy", "--audio", clips, "--adapter", HEALTHY, "-o", output)
        assert "is being written by another capfix" in capfix(*words).complaint
    assert capfix(*words).status == 0


def test_an_output_that_appears_meanwhile_is_not_overwritten(tmp_path, clips, monkeypatch):
    output = tmp_path / "a.csv"

    def appear(captions):
        output.write_text("mine")

    settings = pipeline.Settings(adapter=HEALTHY)
    given = ("toy", str(clips), GREEDY, settings)
    for links in (True, False):
        if not links:

            def none(self, target):
                raise OSError(errno.EPERM, "Operation not permitted")

            monkeypatch.setattr(Path, "hardlink_to", none)
        with pytest.raises(CapfixError, match="is there by now"):
            pipeline.generate(*given, delivery=Delivery(output, appear))
        assert output.read_text() == "mine"
        assert lines_of(sidefile.part_path(output)) == 1 + toys.CLIPS
        output.unlink()
        assert not list(tmp_path.glob(".*"))
        if links:
            sidefile.part_path(output).unlink()
    done = Delivery(output)
    pipeline.generate(*given, delivery=done)  # without links, by renaming
    assert (done.found, done.kept) == (toys.CLIPS, toys.CLIPS)
    assert lines_of(output) == 1 + toys.CLIPS


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
from capfix_cli.cli.app import main
main()
"""


def test_a_full_disk_loses_nothing(capfix, clips, tmp_path):
    words = ("generate", "toy", "--audio", clips, "--adapter", HEALTHY, "--batch-size", "4")
    capfix(*words, "-o", "whole.csv")

    def confined(room):
        return subprocess.run(
            [sys.executable, "-c", FULL, str(room), *map(str, words), "-o", "a.csv", "-q"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(toys.__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
        )

    part = tmp_path / "a.csv.part"
    full = confined(2_000)  # room for some of the clips
    assert full.returncode == 2, full.stderr
    assert full.stderr.startswith("Error: a.csv.part cannot be written: File too large.")
    assert "is safe in it: mend that, and give the same command again" in full.stderr
    assert full.stderr.count("\n") == 1
    kept = lines_of(part) - 1
    assert 0 < kept < toys.CLIPS
    assert kept % 4 == 0  # a batch that found no room is cut off as a whole
    assert part.read_bytes().endswith(b"\n")
    assert not (tmp_path / "a.csv").exists()
    none = confined(10)  # not even for the first line, had it not been there
    assert none.returncode == 2
    assert lines_of(part) == kept + 1
    assert capfix(*words, "-o", "a.csv").status == 0
    assert Path("a.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert not list(tmp_path.glob(".a.csv*"))


def test_no_room_for_the_output_itself_keeps_the_side_file(tmp_path, clips, monkeypatch):
    output = tmp_path / "a.csv"
    settings = pipeline.Settings(adapter=HEALTHY)

    def full(*given, **named):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "write_predicted", full)
        with pytest.raises(CapfixError, match="No space left on device") as caught:
            pipeline.generate("toy", str(clips), GREEDY, settings, delivery=Delivery(output))
    assert "give the same command again" in caught.value.hint
    assert {path.name for path in tmp_path.iterdir()} == {"clips", "a.csv.part"}
    pipeline.generate("toy", str(clips), GREEDY, settings, delivery=Delivery(output))
    assert lines_of(output) == 1 + toys.CLIPS


def test_nothing_usable_is_a_clear_line_and_no_file(capfix, clips, tmp_path):
    for path in clips.iterdir():
        samples, rate = soundfile.read(path)
        soundfile.write(path, 0 * samples, rate, subtype="FLOAT")
    words = ("generate", "toy", "--audio", clips, "--adapter", HEALTHY)
    for more in ((), ("-o", "a.csv"), ("--json",), ("--contrast", "1", "-o", "a.csv")):
        complaint = capfix(*words, *more).complaint
        assert "can be captioned (00.wav: silent; 30 skipped: silent)" in complaint
    for path in clips.iterdir():
        path.write_bytes(b"no audio")
    assert "can be captioned (00.wav: unreadable" in capfix(*words, "-o", "a.csv").complaint
    assert [path.name for path in tmp_path.iterdir()] == ["clips"]


def test_clips_that_went_or_came_meanwhile(capfix, clips, tmp_path):
    output = tmp_path / "a.csv"
    interrupted(output, "toy", clips, adapter=HEALTHY)
    (clips / "00.wav").unlink()
    (clips / "20.wav").write_bytes(b"no audio")
    (clips / "05.wav").rename(clips / "new.wav")
    done = capfix("generate", "toy", "--audio", clips, "--adapter", HEALTHY, "-o", output)
    assert "1 file skipped (20.wav: unreadable" in done.err
    names = [row["file_name"] for row in csv.DictReader(output.read_text().splitlines())]
    there = {path.name for path in clips.iterdir()} - {"20.wav"}
    assert names == sorted(there)


# The same captions however the work is cut up


lengths = st.lists(st.sampled_from([0.5, 1.0, 1.0, 5.0, 12.0, 90.0, 400.0]), max_size=40)


@given(lengths, st.integers(1, 9), st.integers(1, 4), st.data())
def test_shares_are_of_the_same_batches_and_miss_nothing(seconds, size, world, data):
    clips = [Clip(f"{i:02d}", Path(f"{i:02d}"), s, 8_000) for i, s in enumerate(seconds)]
    done = data.draw(st.sets(st.sampled_from([c.name for c in clips]))) if clips else set()
    if data.draw(st.booleans()):  # as an interruption leaves it: whole batches
        batches = plan_batches(clips, size)
        done = {clip.name for batch in batches[: len(done)] for clip in batch}
    plan = [[clip.name for clip in batch] for batch in plan_batches(clips, size)]
    dealt = []
    for rank in range(world):
        rest, whole = captioning.deal(clips, done, size, rank, world)
        again = [[clip.name for clip in batch] for batch in plan_batches(whole, size)]
        assert all(batch in plan for batch in again)
        dealt += [clip.name for clip in (*rest, *whole)]
    assert sorted(dealt) == sorted({clip.name for clip in clips} - done)


@pytest.mark.parametrize("against", ["others", "mean-memory", "silence"])
def test_a_contrast_is_with_the_same_in_every_batch(against, capfix, clips, adapters):
    words = (
        *("generate", "toy", "--audio", clips, "--adapter", f"{adapters}:load_contrast"),
        *("--contrast", "2", "--contrast-against", against),
    )
    for size in (1, 7, 32):
        assert capfix(*words, "--batch-size", size, "-o", f"{size}.csv").status == 0
    assert Path("1.csv").read_bytes() == Path("7.csv").read_bytes() == Path("32.csv").read_bytes()
    if against == "others":
        texts = {row.split(",")[1] for row in Path("1.csv").read_text().splitlines()[1:]}
        assert len(texts) > toys.CLIPS / 2  # it contrasts: all alike without


def test_what_stands_for_no_audio_is_drawn_by_the_seed_and_skips_unusable_clips(clips):
    from capfix_cli.audio.audio_files import read_headers

    samples, rate = soundfile.read(clips / "04.wav")
    soundfile.write(clips / "04.wav", 0 * samples, rate, subtype="FLOAT")
    found, _ = read_headers(clips)
    captioner = toys.Toy(toys.healthy)
    asked = DecodingOptions(contrast=1.0)

    def memory(files, seed):
        return captioning.find_absent(captioner, files, asked, seed).memory.tolist()

    assert memory(found, 0) == memory(found[::-1], 0) != memory(found, 1)
    assert 4 not in memory(found, 0)
    assert captioning.find_absent(captioner, found, GREEDY, 0) is None
    long = [dataclasses.replace(clip, seconds=300.0) for clip in found]
    pairs = {tuple(memory(long, seed)) for seed in range(8)}
    assert {len(pair) for pair in pairs} == {2}  # more are too long a batch
    assert len(pairs) > 4


def test_a_contrast_with_one_clip_says_what_to_do(capfix, clips):
    for path in sorted(clips.iterdir())[1:]:
        path.unlink()
    words = ("generate", "toy", "--audio", clips, "--adapter", HEALTHY, "--contrast", "1")
    complaint = capfix(*words, "-o", "a.csv").complaint
    assert "there is one clip" in complaint
    assert "--contrast-against silence" in complaint
    assert not Path("a.csv.part").exists()
    assert capfix(*words, "--contrast-against", "silence", "-o", "a.csv").status == 0


# Several processes


def torchrun(cwd, count, *words, **environment):
    root = Path(toys.__file__).parents[2]
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", str(count), "-m", "capfix_cli", *map(str, words)),
        ],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_two_processes_make_the_file_that_one_makes(capfix, clips, adapters, tmp_path):
    (clips / "12.wav").write_bytes(b"RIFF")  # skipped by its header
    samples, rate = soundfile.read(clips / "13.wav")
    soundfile.write(clips / "13.wav", 0 * samples, rate, subtype="FLOAT")  # skipped when read
    words = (
        *("generate", "toy", "--audio", clips, "--adapter", f"{adapters}:load_contrast"),
        *("--temp", "1", "--num-captions", "2", "--contrast", "1", "--batch-size", "3"),
    )
    assert capfix(*words, "-o", "one.csv").status == 0
    options = DecodingOptions(do_sample=True, num_return_sequences=2, contrast=1.0)
    adapter = f"{adapters}:load_contrast"
    interrupted(tmp_path / "two.csv", "toy", clips, options, 2, adapter=adapter)  # by one process
    done = torchrun(tmp_path, 2, *words, "-o", "two.csv", "--json", TOY_LOG="log")
    assert done.returncode == 0, done.stderr
    assert Path("two.csv").read_bytes() == Path("one.csv").read_bytes()
    assert len(json.loads(done.stdout)["captions"]) == 28  # one process speaks
    assert "28 captions written to two.csv, 6 of them from before" in done.stderr
    assert "2 files skipped (12.wav" in done.stderr
    # Each heard up to 32 clips for the contrast, and both together each clip that was left.
    heard = Counter(Path("log").read_text().split())
    assert [name for name in sorted(heard) if heard[name] == 2] == [
        f"{n:02d}.wav" for n in range(6)
    ]
    assert set(heard.values()) == {2, 3}
    assert not list(tmp_path.glob("*.part*"))


def start_two(cwd, *words, second=(), **environment):
    """Start two processes as a cluster's own launcher would: nobody ends the one for the other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", **environment}
    return [
        program(cwd, *words, **{**shared, "RANK": str(rank), **(dict(second) if rank else {})})
        for rank in range(2)
    ]


def test_a_process_that_dies_ends_the_other_and_nothing_is_lost(capfix, clips, adapters, tmp_path):
    words = (
        *("generate", "toy", "--audio", clips, "--adapter", f"{adapters}:load_draws"),
        *("--temp", "1", "--batch-size", "2"),
    )
    first, second = start_two(
        tmp_path,
        *words,
        *("-o", "a.csv"),
        CAPFIX_PATIENCE="6",
        TOY_SECONDS="0.05",
        second={"TOY_SECONDS": "0.6"}.items(),
    )
    shard = tmp_path / "a.csv.part.1"
    until(lambda: lines_of(shard) > 4 or first.poll() is not None)
    second.kill()
    second.communicate()
    _, told = first.communicate(timeout=120)
    assert first.returncode == 2, told
    assert "Process 1 of 2 has given no sign of life for 6 s." in told
    assert "give the same command again" in told
    kept = lines_of(tmp_path / "a.csv.part") + lines_of(shard) - 2
    assert 16 < kept < toys.CLIPS
    assert not (tmp_path / "a.csv").exists()
    # Another number of processes goes on from the files of both.
    assert capfix(*words, "-o", "one.csv").status == 0
    again = capfix(*words, "-o", "a.csv")
    assert f"{kept} of them from before" in again.err
    assert Path("a.csv").read_bytes() == Path("one.csv").read_bytes()
    assert not list(tmp_path.glob("*.part*"))


def test_a_process_that_fails_tells_the_other_why(clips, adapters, tmp_path):
    words = ("generate", "toy", "--audio", clips, "--adapter", f"{adapters}:load")
    first, second = start_two(
        tmp_path, *words, "--batch-size", "2", "-o", "a.csv", second={"TOY_FAILS_AT": "27"}.items()
    )
    _, told = second.communicate(timeout=120)
    assert second.returncode == 2
    assert "this clip is too much" in told
    _, told = first.communicate(timeout=120)
    assert first.returncode == 2
    errors = [text for text in told.splitlines() if text.startswith("Error:")]
    assert len(errors) == 1
    assert "Process 1 of 2 stopped: " in errors[0]
    assert "this clip is too much" in errors[0]


def test_places_among_processes(capfix, clips, monkeypatch):
    usual = {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "here", "MASTER_PORT": "1"}
    place = teams.find_place({**usual, "LOCAL_RANK": "3"})
    assert place == teams.Rank(rank=1, world=4, local=3)
    assert teams.find_place({**usual, "RANK": "0", "WORLD_SIZE": "1"}) is None
    assert teams.find_place({"RANK": "1"}) is None
    for wrong in ({"RANK": "4"}, {"RANK": "x"}, {"WORLD_SIZE": "0"}):
        with pytest.raises(CapfixError, match="no place among processes"):
            teams.find_place({**usual, **wrong})
    for name, value in usual.items():
        monkeypatch.setenv(name, value)
    complaint = capfix("generate", "toy", "--audio", clips, "--adapter", HEALTHY).complaint
    assert "4 processes need --output" in complaint
    monkeypatch.setenv("CAPFIX_PATIENCE", "soon")
    words = ("generate", "toy", "--audio", clips, "--adapter", HEALTHY, "-o", "a.csv")
    assert "CAPFIX_PATIENCE is 'soon'" in capfix(*words).complaint


# Captioners that misbehave


def test_scores_that_are_no_numbers_make_no_file(capfix, clips, adapters, tmp_path):
    for name in ("load_nan", "load_mute"):
        for more in (("-o", "a.csv"), ("--num-beams", "3", "-o", "a.csv"), ("--temp", "1")):
            done = capfix(
                "generate", "toy", "--audio", clips, "--adapter", f"{adapters}:{name}", *more
            )
            assert done.status == 2
            assert "no" in done.complaint
            assert not list(tmp_path.glob("a.csv*"))
            assert done.out == ""


def test_scores_of_some_clips_that_are_no_numbers_are_told(capfix, clips, adapters):
    adapter = f"{adapters}:load_some_nan"
    done = capfix("generate", "toy", "--audio", clips, "--adapter", adapter, "-o", "a.csv")
    assert done.status == 0
    assert "1 clip got scores that are no numbers" in done.err
    rows = list(csv.DictReader(Path("a.csv").read_text().splitlines()))
    assert [row["file_name"] for row in rows if not row["caption_predicted"]] == ["03.wav"]


@pytest.mark.parametrize("words", ["", "--temp 1", "--num-beams 3", "--contrast 1"])
def test_an_end_that_never_comes_is_cut_off_and_told(words, capfix, clips, adapters):
    done = capfix(
        *("generate", "toy", "--audio", clips, "--adapter", f"{adapters}:load_endless"),
        *("-o", "a.jsonl", *words.split()),
    )
    assert done.status == 0, done.err
    assert "30 of 30 captions did not end" in done.err
    rows = [json.loads(text) for text in Path("a.jsonl").read_text().splitlines()]
    assert len(rows) == toys.CLIPS
    assert {len(row["captions"][0].split()) for row in rows} == {toys.Toy.max_length}
    assert not any(row["ended"] for row in rows)


def test_empty_captions_are_told_with_what_forbids_them(capfix, clips, adapters):
    words = ("generate", "toy", "--audio", clips, "--adapter", f"{adapters}:load_brief")
    done = capfix(*words, "-o", "a.csv")
    assert "30 of 30 captions are empty" in done.err
    assert lines_of(Path("a.csv")) == 1 + toys.CLIPS
    assert "are empty" not in capfix(*words, "--min-new-tokens", "1", "-o", "b.csv").err


def test_a_device_without_room_for_a_batch(capfix, clips, adapters):
    adapter = f"{adapters}:load_hungry"
    words = ("generate", "toy", "--audio", clips, "--adapter", adapter, "-o", "a.csv")
    complaint = capfix(*words).complaint
    assert "does not hold 30 clips" in complaint
    assert "--batch-size" in complaint
    assert not Path("a.csv.part").exists()


# On a terminal


def drawn(table, width=80):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(table.render())
    return console.file.getvalue()


def test_the_table_shows_how_far_how_fast_and_the_latest(monkeypatch):
    clock = iter([10.0, 12.0])
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    table = CaptionTable(console)
    table("loading PyTorch", 0, 1)
    assert "loading PyTorch" in drawn(table)
    monkeypatch.setattr(
        "capfix_cli.report.terminal.generation_view.time.monotonic", lambda: next(clock)
    )
    assert table.speed(20) == ""
    assert table.speed(70) == "25.0 clips/s"
    monkeypatch.undo()
    captions = [ClipCaption(f"{number}.wav", f"caption {number}") for number in range(20)]
    table.show(captions)
    table("captioning", 70, 400)
    shown = drawn(table)
    assert "70/400" in shown
    assert "19.wav" in shown
    assert "caption 19" in shown
    assert "caption 11\n" not in shown.replace(" \n", "\n")
    assert max(map(len, shown.splitlines())) <= 80
    long = [ClipCaption("x" * 90, "word " * 90 + "\n[bold]")] * 8
    table.show(long)
    assert len(drawn(table).splitlines()) == 10  # one line a clip, whatever it says


def test_on_a_terminal_lines_pass_above_the_table():
    console = Console(file=io.StringIO(), width=40, force_terminal=True)
    with CaptionTable(console, scroll=True) as table:
        table.show([ClipCaption("a.wav", "a dog barks " * 9)])
        assert "latest captions" not in drawn(table)
    assert ("a dog barks " * 9).strip() in console.file.getvalue()  # not wrapped


def test_a_caption_is_one_line_between_tabs():
    second = ClipCaption("a.wav", "three\r\nfour")
    caption = ClipCaption("a\tb.wav", "one\ttwo\n", others=(second,))
    assert line(caption) == "a b.wav\tone two\tthree four"


def test_a_caption_without_a_finite_log_probability_is_still_json():
    from capfix_cli.captions.captions_file import predicted, to_row

    row = predicted(ClipCaption("a.wav", "a dog", logprob=float("-inf")))
    assert row == Predicted("a.wav", ("a dog",), None, True)
    assert json.loads(json.dumps(to_row(row), allow_nan=False))["logprob"] is None
