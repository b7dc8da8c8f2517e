"""Captioners that give text alone, from the command line: verdicts, causes, cost, bad input."""

from __future__ import annotations

import csv
import json
import random
import sys
import textwrap
from pathlib import Path

import fake_endpoint
import numpy as np
import pytest
import spoken_tones
from fake_endpoint import FakeEndpoint

CLIPS = 40
FUNCTIONS = """
    import itertools, time
    import numpy as np, soundfile
    import spoken_tones as tones

    CALLS = itertools.count()

    def sound(path):
        return tones.sound(soundfile.read(path)[0])

    def deaf(path: str) -> str:
        return tones.deaf(None)

    def drawn(path):
        return tones.drawn(None)

    def waves(waveforms: list[np.ndarray], sr):
        assert sr == 16_000
        return [tones.sound(wave) for wave in waveforms]

    def neighbours(paths: list[str]) -> list[str]:
        "Each is told what the clip before it in the call is."
        heard = [sound(path) for path in paths]
        return heard[1:] + heard[:1]

    def none(path):
        return None

    def raw(path):
        return b"a dog barks"

    def few(paths: list[str]):
        return ["a dog barks"]

    def raises(path):
        raise ValueError("the checkpoint has no layer 7")

    def hangs(path):
        time.sleep(60)

    def needs(path, model):
        return "a dog barks"

    def tempered(path, temperature=0.0):
        "Greedily it says one thing; drawing, it says what it hears."
        return sound(path) if temperature else deaf(path)

    def stopped(path):
        if next(CALLS) == 13:
            raise KeyboardInterrupt
        return sound(path)

    number = 3
"""


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spoken_tones.write_tones(tmp_path_factory.mktemp("spoken") / "clips", CLIPS)


@pytest.fixture
def functions(tmp_path, monkeypatch):
    """A person's module in the folder of work."""
    (tmp_path / "mine.py").write_text(textwrap.dedent(FUNCTIONS))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield "mine"
    sys.modules.pop("mine", None)


def diagnosed(capfix, tones, *words, references=False):
    given = ["--references", tones.parent / "references.csv"] if references else []
    done = capfix("diagnose", "--audio", tones, "--json", *given, *words)
    assert done.status == 0, done.err
    return json.loads(done.out)


def rows_of(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def causes_of(record):
    return {cause["id"]: cause for cause in record["causes"]}


@pytest.mark.parametrize(
    ("name", "verdict"), [("sound", "healthy"), ("deaf", "collapsed"), ("drawn", "ungrounded")]
)
@pytest.mark.parametrize("references", [False, True])
def test_a_function_gets_the_verdict_that_it_deserves(
    capfix, tones, functions, name, verdict, references
):
    random.seed(3)
    record = diagnosed(
        capfix, tones, "--caption-function", f"{functions}:{name}", references=references
    )
    assert record["verdict"] == verdict
    assert record["axes"]["decides"]["low"] <= record["axes"]["decides"]["value"]
    assert record["model"]["format"] == "function"
    untested = {row["cause"]: row["needs"] for row in record["not_tested"]}
    assert untested["conditioning.ignored"] == "next-word scores"
    assert untested["weights.missing"] == "the checkpoint"
    if verdict != "healthy":
        assert record["causes"][0]["id"] == "unknown"
        assert record["lost_at"]
        assert record["tree"][-1]["node"] == "look-inside"
    assert record["recipe"] is None
    assert record["asked"]["calls_a_clip"] < 8


def test_the_report_says_what_it_cost_and_what_could_not_be_asked(capfix, tones, functions):
    done = capfix("diagnose", "--caption-function", f"{functions}:sound", "--audio", tones)
    assert done.status == 0
    told = " ".join(done.out.split())
    for words in ("HEALTHY", "Asked, not opened", "asked twice", "calls,", "a clip", "Not tested"):
        assert words in told
    assert "nothing was sent anywhere by capfix" in told
    assert not list(Path(".capfix/captions").glob("*.jsonl"))  # of a function nothing is kept


def test_waveforms_and_lists_are_found_out(capfix, tones, functions):
    record = diagnosed(capfix, tones, "--caption-function", f"{functions}:waves")
    assert record["verdict"] == "healthy"
    assert record["asked"]["calls_a_clip"] < 2  # many clips a call


def test_neighbours_in_a_call_are_proved_and_undone(capfix, tones, functions):
    record = diagnosed(
        capfix,
        tones,
        *("--caption-function", f"{functions}:neighbours", "--batch-size", 8),
        references=True,
    )
    first = record["causes"][0]
    assert (first["id"], first["status"]) == ("evaluation.batch-dependence", "proved")
    assert record["repairs"][0]["kept"]
    assert record["verdict"] == "ungrounded"


def test_references_of_other_clips_are_told_from_a_captioner_that_is_wrong(
    capfix, tones, functions, tmp_path
):
    rows = rows_of(tones.parent / "references.csv")
    shifted = tmp_path / "shifted.csv"
    with shifted.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(rows[0])
        for place, row in enumerate(rows):
            other = rows[(place + 1) % len(rows)]
            out.writerow([row["file_name"], other["caption_1"], other["caption_2"]])
    function = ("--caption-function", f"{functions}:sound", "--references", shifted)
    record = diagnosed(capfix, tones, *function)
    assert record["verdict"] == "ungrounded"
    assert record["causes"][0]["id"] == "evaluation.references"
    assert record["causes"][0]["status"] == "proved"
    assert "+1" in record["causes"][0]["mend"] or "-1" in record["causes"][0]["mend"]


def test_a_function_that_takes_a_temperature_is_tried_with_it(capfix, tones, functions):
    record = diagnosed(capfix, tones, "--caption-function", f"{functions}:tempered")
    assert record["verdict"] == "collapsed"
    assert record["best_decoding"]["do_sample"]
    assert causes_of(record)["decoding.search"]["status"] == "proved"
    capfix("generate", "--output", "out.csv", "--quiet")  # as the run found best
    said = {row["caption_predicted"] for row in rows_of("out.csv")}
    assert len(said) > CLIPS / 2


def test_generate_writes_what_a_function_says(capfix, tones, functions):
    function = ("--caption-function", f"{functions}:sound")
    done = capfix("generate", *function, "--audio", tones, "--output", "out.csv")
    assert done.status == 0, done.err
    rows = {row["file_name"]: row for row in rows_of("out.csv")}
    assert rows["tone-007.wav"]["caption_predicted"] == spoken_tones.caption_of(7)
    done = capfix("generate", *function, "--audio", tones, "--num-beams", 4)
    assert "takes no --num-beams" in done.complaint


def test_what_was_broken_off_goes_on(capfix, tones, functions):
    function = ("--caption-function", f"{functions}:stopped", "--audio", tones, "--json")
    assert capfix("diagnose", *function).status == 130
    kept = list(Path(".capfix/captions").glob("*.jsonl"))
    assert len(kept) == 1
    lines = [line for line in kept[0].read_text().splitlines() if line]
    assert len(lines) >= 11
    kept[0].write_text(kept[0].read_text() + '{"key": "half')  # it was writing
    done = capfix("diagnose", *function)
    assert done.status == 0, done.err
    record = json.loads(done.out)
    assert record["asked"]["from_kept"] == len(lines)
    assert record["verdict"] == "healthy"
    assert any("kept and used again" in note for note in record["notes"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none", "gave None"),
        ("raw", "gave bytes"),
        ("few", "gave 1 captions for 32 clips"),
        ("raises", "ValueError: the checkpoint has no layer 7"),
        ("hangs", "gave no answer in 0.3 s"),
        ("needs", "needs model, which capfix does not know"),
        ("number", "is a int, not a function"),
        ("soud", "Did you mean mine:sound?"),
    ],
)
def test_a_function_that_cannot_be_used_gets_one_line(capfix, tones, functions, name, words):
    function = ("--caption-function", f"{functions}:{name}", "--call-timeout", "0.3")
    done = capfix("diagnose", "--audio", tones, *function)
    assert words in done.complaint
    assert not list(Path(".capfix/runs").glob("*"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "neither MODEL nor where captions come from"),
        (["--caption-function", "a:b", "--endpoint", "http://x"], "name two captioners"),
        (["--concurrency", 3, "model.pt"], "is for captioners that give text alone"),
        (["--caption-function", "mine"], "is not MODULE:NAME"),
        (["--caption-function", "absent_module:f"], "There is no module 'absent_module'"),
        (["--caption-command", "python infer.py"], "names no clip"),
        (["--caption-command", "no-such-program {audio}"], "There is no program"),
        (["--caption-command", "cat {audio} | head"], "runs without a shell"),
        (["--caption-command", "echo {prompt} {audio}"], "has {prompt} in it"),
        (["--endpoint", "localhost:8000/v1"], "is no URL of http or https"),
        (["--endpoint", "http://me:secret@x/v1"], "holds a name or password"),
        (["--endpoint", "http://x", "--call-timeout", 0], "above 0"),
        (["--endpoint", "http://x", "--adapter", "a.py:load"], "Leave one of the two out"),
        (["--caption-function", "mine:f", "--endpoint-model", "x"], "goes with --endpoint only"),
    ],
)
def test_options_that_cannot_be_meant_get_one_line(capfix, tones, given, words):
    assert words in capfix("diagnose", "--audio", tones, *given).complaint


# --- commands -----------------------------------------------------------------------------------

INFER = """
    import json, sys
    import soundfile
    import spoken_tones as tones

    how, *paths = sys.argv[1:]
    if how == "list":
        paths = open(paths[0]).read().split("\\n")[:-1]
    said = [tones.sound(soundfile.read(path)[0]) for path in paths]
    if how == "one":
        print(said[0])
    elif how == "list":
        print("\\n".join(said))
    elif how == "json":
        print("loading weights")
        print(json.dumps({"file_name": paths[0], "caption": said[0]}))
    elif how == "logs":
        print("loading weights")
        print(said[0])
    elif how == "fails":
        sys.exit("there is no GPU")
    elif how == "hangs":
        import time
        time.sleep(60)
"""


@pytest.fixture
def infer(tmp_path, monkeypatch):
    script = tmp_path / "infer.py"
    script.write_text(textwrap.dedent(INFER))
    monkeypatch.setenv("PYTHONPATH", str(Path(spoken_tones.__file__).parent))
    return f"{sys.executable} {script}"


def test_a_command_of_a_list_is_diagnosed(capfix, tones, infer):
    record = diagnosed(capfix, tones, "--caption-command", f"{infer} list {{list}}")
    assert record["verdict"] == "healthy"
    assert record["asked"]["calls_a_clip"] < 1.5


@pytest.mark.parametrize("how", ["one", "json"])
def test_a_command_of_one_clip_captions(capfix, tones, infer, how):
    command = ("--caption-command", f"{infer} {how} {{audio}}", "--concurrency", 2)
    some = ["--audio", tones / "tone-00[0-3].wav"]
    done = capfix("generate", *command, *some, "--output", "out.csv")
    assert done.status == 0, done.err
    rows = {Path(r["file_name"]).name: r for r in rows_of("out.csv")}
    assert rows["tone-002.wav"]["caption_predicted"] == spoken_tones.caption_of(2)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("fails", "ended with status 1 on"),
        ("hangs", "gave no answer for"),
        ("nothing", "printed nothing"),
        ("logs", "printed 2 lines for 1 clip"),
    ],
)
def test_a_command_that_cannot_be_used_gets_one_line(capfix, tones, infer, how, words):
    seconds = 0.5 if how == "hangs" else 60
    command = ("--caption-command", f"{infer} {how} {{audio}}", "--call-timeout", seconds)
    assert words in capfix("diagnose", "--audio", tones, *command).complaint


# --- endpoints ----------------------------------------------------------------------------------


def says(caption):
    return lambda samples, body: caption(samples)


@pytest.mark.parametrize(
    ("caption", "verdict"),
    [
        (spoken_tones.sound, "healthy"),
        (spoken_tones.deaf, "collapsed"),
        (spoken_tones.drawn, "ungrounded"),
    ],
)
def test_an_endpoint_gets_the_verdict_that_it_deserves(capfix, tones, caption, verdict):
    random.seed(5)
    with FakeEndpoint(says(caption)).serve() as endpoint:
        record = diagnosed(capfix, tones, "--endpoint", endpoint.url, references=True)
    assert record["verdict"] == verdict
    asked = record["asked"]
    assert asked["kind"] == "endpoint"
    assert asked["calls"] == len(endpoint.requests)
    assert asked["sent"] > 0
    assert "logprob_per_token" in record["measures"]
    first = endpoint.requests[0]
    assert (first["model"], first["temperature"]) == ("fake-audio", 0)


def test_an_endpoint_that_hears_at_a_temperature_or_with_a_prompt_is_repaired(capfix, tones):
    def by_prompt(samples, body):
        told = fake_endpoint.prompt_of(body)
        return spoken_tones.sound(samples) if told.startswith("Listen to") else "ok"

    with FakeEndpoint(by_prompt).serve() as endpoint:
        record = diagnosed(capfix, tones, "--endpoint", endpoint.url)
    assert record["verdict"] in {"collapsed", "degenerate"}
    # 40 clips are too few to choose a prompt on some and judge it on others
    assert record["causes"][0]["id"] == "unknown"

    def drawing(samples, body):
        return spoken_tones.sound(samples) if body["temperature"] else spoken_tones.deaf(samples)

    with FakeEndpoint(drawing).serve() as endpoint:
        record = diagnosed(capfix, tones, "--endpoint", endpoint.url)
    assert record["best_decoding"]["temperature"] == 0.8
    assert causes_of(record)["decoding.search"]["status"] == "proved"


def test_a_prompt_that_mends_is_found_and_proved(capfix, tmp_path):
    many = spoken_tones.write_tones(tmp_path / "many" / "clips", 50)

    def by_prompt(samples, body):
        told = fake_endpoint.prompt_of(body)
        return spoken_tones.sound(samples) if told.startswith("Listen to") else "a sound is heard"

    with FakeEndpoint(by_prompt).serve() as endpoint:
        record = diagnosed(capfix, many, "--endpoint", endpoint.url)
        first = record["causes"][0]
        assert (first["id"], first["status"]) == ("wiring.prompt", "proved")
        assert 'told "Listen to' not in first["mend"]
        assert "--prompt" in record["repairs"][0]["repair"]
        prompt = "Listen to this."
        again = diagnosed(capfix, many, "--endpoint", endpoint.url, "--prompt", prompt)
    assert again["verdict"] == "healthy"
    assert again["asked"]["prompt"] == prompt


def test_the_key_goes_into_the_header_and_nowhere_else(capfix, tones, monkeypatch, tmp_path):
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-house")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with FakeEndpoint(says(spoken_tones.sound)).serve() as endpoint:
        url = f"{endpoint.url}?token=hidden"
        diagnosed(capfix, tones, "--endpoint", url, "--api-key-env", "MY_KEY")
    assert {headers["Authorization"] for headers in endpoint.headers} == {"Bearer sk-very-secret"}
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b"sk-" not in written


def test_what_an_endpoint_said_is_kept_and_asked_again_when_it_changes(capfix, tones):
    teller = {"say": spoken_tones.sound}
    with FakeEndpoint(lambda samples, body: teller["say"](samples)).serve() as endpoint:
        first = diagnosed(capfix, tones, "--endpoint", endpoint.url)
        again = diagnosed(capfix, tones, "--endpoint", endpoint.url)
        assert again["verdict"] == first["verdict"] == "healthy"
        assert again["asked"]["calls"] == 8  # a spot check
        assert again["asked"]["from_kept"] == first["asked"]["calls"]
        teller["say"] = spoken_tones.deaf
        now = diagnosed(capfix, tones, "--endpoint", endpoint.url)
        assert now["verdict"] == "collapsed"
        assert any("asked anew" in note for note in now["notes"])
        fresh = diagnosed(capfix, tones, "--endpoint", endpoint.url, "--fresh")
        assert fresh["asked"]["from_kept"] == 0


HTML = b"<html><body>Welcome</body></html>"


@pytest.mark.parametrize(
    ("choices", "answer", "words"),
    [
        ({}, HTML, "a web page"),
        ({}, {"choices": []}, "no choices"),
        ({}, {"choices": [{"message": {"content": None}}]}, "a choice without text"),
        ({}, [1, 2], "not a JSON object"),
        ({"statuses": [401]}, None, "answers 401"),
        ({"statuses": [404]}, None, "answers 404"),
        ({"redirect": "http://127.0.0.1:9/steal"}, None, "where nothing is sent"),
        ({"stalls": 30}, None, "gave no answer in 0.3 s"),
        ({"models": ["a", "b"]}, None, "serves 2 models: a, b"),
    ],
)
def test_an_endpoint_that_cannot_be_used_gets_one_line(capfix, tones, choices, answer, words):
    def say(samples, body):
        return "a dog barks" if answer is None else answer

    with FakeEndpoint(say, **choices).serve() as endpoint:
        limits = ("--call-timeout", 0.3) if "stalls" in choices else ()
        done = capfix("diagnose", "--audio", tones, "--endpoint", endpoint.url, *limits)
    assert words in done.complaint


def test_nothing_there_and_time_that_is_over_get_one_line(capfix, tones):
    done = capfix("diagnose", "--audio", tones, "--endpoint", "http://127.0.0.1:9/v1")
    assert "Nothing listens at http://127.0.0.1:9/v1" in done.complaint
    with FakeEndpoint(says(spoken_tones.sound)).serve() as endpoint:
        slow = ("--requests-per-minute", 600, "--total-timeout", 1)
        done = capfix("diagnose", "--audio", tones, "--endpoint", endpoint.url, *slow)
        assert "--total-timeout are over" in done.complaint
        assert "the same command goes on" in done.complaint
        assert 5 <= len(endpoint.requests) <= 14
        record = diagnosed(capfix, tones, "--endpoint", endpoint.url)
    assert record["verdict"] == "healthy"
    assert record["asked"]["from_kept"] >= 5


def test_an_endpoint_that_is_busy_or_takes_fewer_parameters_is_asked_again(capfix, tones):
    say = says(spoken_tones.sound)
    with FakeEndpoint(say, statuses=[429, 503], retry_after="0", refuses="logprobs").serve() as e:
        record = diagnosed(capfix, tones, "--endpoint", e.url)
    assert record["verdict"] == "healthy"
    assert record["asked"]["retries"] == 2
    assert record["asked"]["left_out"] == ["logprobs"]
    assert "logprob_per_token" not in record["measures"]


def test_the_audio_is_sent_as_it_is(capfix, tones):
    heard = []

    def say(samples, body):
        heard.append(samples)
        return spoken_tones.sound(samples)

    with FakeEndpoint(say).serve() as endpoint:
        capfix("generate", "--endpoint", endpoint.url, "--audio", tones / "tone-001.wav")
    pitch = spoken_tones.FIRST * spoken_tones.STEP
    time = np.arange(int(spoken_tones.RATE * spoken_tones.SECONDS)) / spoken_tones.RATE
    np.testing.assert_allclose(heard[-1], 0.3 * np.sin(2 * np.pi * pitch * time), atol=1e-4)
