"""Records on disk: read back as they were written, and refused with the field's name."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from pathlib import Path

import pytest

from capfix_cli.core.errors import CapfixError
from capfix_cli.generation.manifest import GenerationManifest, made_from_header
from capfix_cli.runs.run_store import Run, jsonable
from capfix_cli.schemas.clip_records import SkippedClip
from capfix_cli.schemas.diagnosis_record import (
    AudioSummary,
    Cause,
    Diagnosis,
    ModelSummary,
    NotTested,
    PlanRow,
    Prediction,
    SignalPlace,
    TreeStep,
    Trial,
)
from capfix_cli.schemas.measured_values import Evidence, Listening, Measure
from capfix_cli.schemas.plain_data import to_dict
from capfix_cli.schemas.record_reading import RecordError, read_record

EVIDENCE = (
    Evidence("clips", 24, "clips", 20, "ours"),
    Evidence("differ", 0.5, "share", "half"),
    Evidence("frozen", True, "", True),
    Evidence("name", "gru"),
    Evidence("absent", None),
)
LISTENING = Listening(0.5, 4.3, 0.1, 0.9, 0.2, 0.05)
MEASURES = {"distinct_captions": Measure(0.5, 0.4, None, 0.9, None, "people")}


def whole_diagnosis() -> Diagnosis:
    """One of every record that a diagnosis can hold."""
    trial = Trial("1.1", "t", {"top_p": 0.9}, MEASURES, LISTENING, "healthy", True, "works")
    deaf = dataclasses.replace(trial, listening=None, kept=False, outcome="deaf", clips=20)
    return Diagnosis(
        "0.1.0",
        "20260101-000000",
        ModelSummary("m.pt", "torch", None, None, {"conditioning": "every-step", "depth": 3}),
        AudioSummary("a", 30, 1.5, (SkippedClip("b.wav", "silent", "silent"),)),
        "collapsed",
        LISTENING,
        MEASURES,
        (Cause("conditioning.ignored", "conditioning", 0.9, EVIDENCE),),
        (TreeStep("same", "Same for all?", "yes", EVIDENCE),),
        (trial, deaf),
        {"do_sample": True, "top_p": 0.9},
        (PlanRow("2.2", "Audio at every step", 2, "needed", True, "a day", "deaf"),),
        None,
        notes=("one",),
        examples=({"file_name": "a.wav", "caption": "a dog"},),
        signal=(SignalPlace("memory", 0.2),),
        not_tested=(NotTested("encoder.collapsed", "hidden states"),),
        prediction=Prediction(True, "it listens", None),
        training={"captions": 3},
        training_settings={"3.1": {"value": 0.1}},
    )


def as_json(diagnosis: Diagnosis) -> dict:
    return json.loads(json.dumps(jsonable(to_dict(diagnosis))))


def opened(data: object, folder) -> Diagnosis:
    (folder / "diagnosis.json").write_text(json.dumps(data), encoding="utf-8")
    return Run("r", folder).diagnosis()


def test_a_diagnosis_comes_back_as_it_was_written(tmp_path):
    diagnosis = whole_diagnosis()
    again = opened(as_json(diagnosis), tmp_path)
    assert again == diagnosis
    assert json.dumps(to_dict(again)) == json.dumps(to_dict(diagnosis))  # 24 stays 24, not 24.0


LATER = ("signal", "not_tested", "prediction", "training", "training_settings", "seed", "examples")


def test_a_diagnosis_of_before_later_fields_opens(tmp_path):
    data = as_json(whole_diagnosis())
    for name in LATER:
        del data[name]
    del data["audio"]["skipped"][0]["kind"]
    for row in data["plan"]:
        del row["impact"], row["measured"]
    for row in data["trials"]:
        del row["outcome"], row["clips"], row["pareto"], row["repair"]
    old = opened(data, tmp_path)
    assert old.signal == ()
    assert old.prediction is None
    assert old.audio.skipped[0].kind == "unreadable"
    assert old.causes == whole_diagnosis().causes


def rejoined(data: object) -> object:
    """A record whose evidence is as it was before units had a field of their own."""
    if isinstance(data, list | tuple):
        return [rejoined(row) for row in data]
    if not isinstance(data, dict):
        return data
    return joined(data) if {"name", "unit"} <= set(data) else {k: rejoined(data[k]) for k in data}


def joined(row: dict) -> dict:
    """A row of evidence as it was before its unit had a field of its own."""
    rest = {"value": row["value"], "threshold": row["threshold"], "source": row["source"]}
    return {"what": ", ".join(filter(None, (row["name"], row["unit"]))), **rest}


def test_evidence_of_before_its_unit_was_apart_opens(tmp_path):
    known = Evidence("another clip", 0.5, "nats", 0.05, "ours")
    other = Evidence("clips, and more, of them", 3, "")
    diagnosis = dataclasses.replace(
        whole_diagnosis(),
        causes=(Cause("conditioning.ignored", "conditioning", 0.9, (known, other)),),
        tree=(TreeStep("same", "Same for all?", "yes", (other,)),),
        training={"findings": [{"evidence": [to_dict(known)], "rows": [{"what": "kept"}]}]},
    )
    data = as_json(diagnosis)
    for holder in (data["causes"][0], data["tree"][0], data["training"]["findings"][0]):
        holder["evidence"] = [joined(row) for row in holder["evidence"]]
    for axis in data["axes"].values():
        del axis["unit"]
    assert opened(data, tmp_path) == diagnosis
    data["schema"] = "capfix.diagnosis/1"
    assert opened(data, tmp_path).causes == diagnosis.causes


def test_a_unit_is_read_once_after_a_figure():
    assert Evidence("listening", 0.5, "bits").after == " bits"
    assert Evidence("silent files", 0.5, "share of files").after == " of files"
    assert Evidence("layers that were trained", 3, "layers").after == ""
    assert Evidence("entropy", 0.5, "share").after == ""


RECORDS = Path(__file__).parent / "records"


def holds(new, old):
    """Whether a record has everything that an older one had; it may have more fields."""
    if isinstance(old, dict):
        return all(name in new and holds(new[name], value) for name, value in old.items())
    if isinstance(old, list):
        return len(new) == len(old) and all(map(holds, new, old))
    return type(new) is type(old) and new == old


def test_the_first_versions_run_opens_with_every_figure(tmp_path):
    """A run and its recipe as the first version wrote them, shortened."""
    written = json.loads((RECORDS / "diagnosis-1-first.json").read_text(encoding="utf-8"))
    kept = to_dict(opened(written, tmp_path))
    assert len(written["measures"]) > 5
    assert not set(written) & {"signal", "not_tested", "prediction", "training"}
    for name in ("verdict", "listening", "measures", "causes", "tree", "model", "best_decoding"):
        assert holds(rejoined(kept[name]), written[name]), name
    for new, old in zip(kept["plan"], written["plan"], strict=True):
        assert old.items() <= new.items()
    assert len(kept["trials"]) == len(written["trials"]) == 2
    assert holds(kept["trials"], written["trials"])


def test_the_first_versions_recipe_opens():
    from capfix_cli.training.recipe_reading import read_recipe

    recipe = read_recipe(RECORDS / "recipe-1-first.yaml").recipe
    assert list(recipe.fixes) == ["2.1", "2.2", "3.1"]
    assert recipe.setup.model.conditioning == "every-step"
    assert recipe.setup.training.label_smoothing == 0.1
    assert recipe.control.training.label_smoothing == 0.0


def test_a_number_that_was_not_finite_comes_back_as_none_of_them(tmp_path):
    broken = dataclasses.replace(LISTENING, bits=math.nan)
    data = as_json(dataclasses.replace(whole_diagnosis(), listening=broken))
    assert data["listening"]["bits"] is None
    assert math.isnan(opened(data, tmp_path).listening.bits)


def change(path: str, value: object):
    data = copy.deepcopy(as_json(whole_diagnosis()))
    *places, last = path.split(".")
    inner = data
    for place in places:
        inner = inner[int(place)] if place.isdigit() else inner[place]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("causes.0.confidence", "high", "Input should be a valid number, not 'high'"),
        ("causes.0.confidence", "0.5", "Input should be a valid number, not '0.5'"),
        ("audio.clips", 2.5, "Input should be a valid integer, not 2.5"),
        ("audio.clips", True, "Input should be a valid integer, not True"),
        ("trials.1.kept", 1, "Input should be a valid boolean, not 1"),
        (
            "verdict",
            "well",
            "Input should be 'healthy', 'generic', 'degenerate', 'ungrounded' or 'collapsed'",
        ),
        ("plan.0.status", None, "Input should be 'needed', 'done', 'not-applicable' or 'unknown'"),
        ("measures.distinct_captions.value", ..., "Field required"),
        ("causes.0.evidence.0.value", [1], "Input should be a valid integer or a valid number"),
        ("listening.bit", 1, "not a field (did you mean bits?)"),
        ("causes", {}, "Input should be a valid"),
        ("model", [], "must be a mapping, not []"),
        ("examples.0.caption", 3, "Input should be a valid string, not 3"),
    ],
)
def test_a_wrong_field_is_named_by_its_place(path, value, problem, tmp_path):
    with pytest.raises(CapfixError) as caught:
        opened(change(path, value), tmp_path)
    assert f"diagnosis.json: {path}: {problem}" in caught.value.message
    assert "\n" not in caught.value.message
    assert "docs/schemas/diagnosis.json" in caught.value.hint


@pytest.mark.parametrize("data", [[], None, "x", {}, {"schema": "capfix.diagnosis/9"}])
def test_what_is_no_diagnosis_says_which_schema_is_read(data, tmp_path):
    with pytest.raises(CapfixError, match=r"schema: Input should be 'capfix\.diagnosis/2', not"):
        opened(data, tmp_path)


def test_many_problems_are_told_in_one_line(tmp_path):
    with pytest.raises(CapfixError, match=r"Field required; .*; and \d+ more\.") as caught:
        opened({"schema": "capfix.diagnosis/1"}, tmp_path)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_what_is_no_json_is_damaged(text, tmp_path):
    (tmp_path / "diagnosis.json").write_text(text, encoding="utf-8")
    with pytest.raises(CapfixError, match="missing or damaged"):
        Run("r", tmp_path).diagnosis()


def test_the_header_of_a_side_file_names_what_is_wrong():
    made = GenerationManifest("m.pt", "a", {}, 3)
    assert made_from_header(made.to_header("0.1.0")) == made
    with pytest.raises(RecordError, match="seed: Input should be a valid integer, not 'x'"):
        made_from_header({**made.to_header("0.1.0"), "seed": "x"})
    with pytest.raises(RecordError, match=r"schema: Input should be 'capfix\.part/1', not 'x'"):
        made_from_header({**made.to_header("0.1.0"), "schema": "x"})
    with pytest.raises(RecordError, match=r"must be a mapping, not \[\]"):
        made_from_header([])


def test_data_that_json_cannot_hold_is_refused_not_crashed_on():
    loop: dict = {}
    loop["model"] = loop
    for data in (loop, {("a", 1): 2}, {"model": object()}):
        with pytest.raises(RecordError):
            read_record(Diagnosis, data)


def test_every_field_and_record_of_a_diagnosis_stands_in_its_schema():
    from capfix_cli.schemas.record_reading import json_schema

    schema = json_schema(Diagnosis)
    assert set(schema["properties"]) == {row.name for row in dataclasses.fields(Diagnosis)}
    assert schema["additionalProperties"] is False
    assert schema["properties"]["schema"]["const"] == "capfix.diagnosis/2"
    records = {"Cause", "Evidence", "Listening", "Measure", "PlanRow", "TreeStep", "Trial"}
    assert records < set(schema["$defs"])


def test_ranges_stand_in_the_schema_of_a_recipe():
    from capfix_cli.schemas.record_reading import json_schema
    from capfix_cli.training.recipe_document import RecipeDocument

    options = json_schema(RecipeDocument)["$defs"]["TrainingOptions"]["properties"]
    assert (options["epochs"]["minimum"], options["epochs"]["maximum"]) == (1, 100_000)
    assert options["curriculum"]["enum"] == ["none", "thirds", "competence"]
