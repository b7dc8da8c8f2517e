"""One file a cause: a made-up one is found, ranked, repaired and told of without any other edit."""

from __future__ import annotations

import sys

import pytest

from benchmarks.pages.cause_docs import PAGE, sections, with_causes
from benchmarks.zoo import ears
from capfix_cli.captioners.loading import Loaded
from capfix_cli.decoding.encode_pass import encode_and_caption
from capfix_cli.diagnosis import causes
from capfix_cli.diagnosis.diagnose import run_diagnosis
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.probes.captioner_variants import derive
from capfix_cli.probes.probe_cache import ProbeCache
from capfix_cli.schemas.diagnosis_record import ModelSummary

MADE_UP = '''
"""``wiring.made-up``: the captioner carries a mark that breaks it."""

from capfix_cli.diagnosis.causes.cause_spec import MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding
from capfix_cli.diagnosis.repairs.repair import Repair
from capfix_cli.schemas.measured_values import Evidence


def find(case):
    marked = hasattr(case.captioner, "sound")
    return Finding("wiring.made-up", float(marked), (Evidence("marked", marked),))


def repair(case, checkpoint):
    yield Repair("wiring.made-up", "without the mark", "del mark", case.captioner.sound)


CAUSE = CauseSpec(
    id="wiring.made-up",
    order=1000,
    gate=True,
    find=find,
    needs=("geometry",),
    explains=(*MODEL, "input.*"),
    mend="Remove the mark",
    repair=repair,
    docs=CauseDocs(symptom="a mark.", experiment="it is looked for.", mend="remove it."),
)
'''


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    (tmp_path / "wiring_made_up.py").write_text(MADE_UP)
    monkeypatch.setattr(causes, "__path__", [*causes.__path__, str(tmp_path)])
    yield
    sys.modules.pop("capfix_cli.diagnosis.causes.wiring_made_up", None)


def test_a_cause_is_one_file(made_up, tmp_path):
    folder = ears.write_tones(tmp_path / "clips")
    ear = ears.Ear(folder)
    deaf = derive(ear, encode=lambda self, waveforms, n: ear.encode(0 * waveforms, n), sound=ear)
    clips = encode_and_caption(deaf, str(folder), batch_size=16, seed=0)
    loaded = Loaded(deaf, ModelSummary("ear", "adapter", None, None, {}))
    found = run_diagnosis(
        DiagnosisContext(loaded=loaded, clips=clips, references=ears.references())
    )
    assert found.causes[0].id == "wiring.made-up"
    assert found.mends[0] == "Remove the mark"
    assert [repair.change for repair in found.repairs if repair.kept] == ["del mark"]
    assert (found.plan[0].priority, found.plan[0].reason) == (0, "Remove the mark")
    assert "wiring.made-up" in [cause.evidence[-1].value for cause in found.causes[1:]]
    assert "### wiring.made-up\n- **Symptom**: a mark." in sections(causes.discover().values())


def test_two_causes_of_one_id_or_place_are_refused(made_up, tmp_path):
    (tmp_path / "wiring_other.py").write_text(MADE_UP)
    with pytest.raises(ValueError, match=r"wiring\.made-up has the id or the place of"):
        causes.discover()
    sys.modules.pop("capfix_cli.diagnosis.causes.wiring_other", None)


def test_the_docs_are_those_of_the_causes():
    text = PAGE.read_text(encoding="utf-8")
    assert with_causes(text) == text, "python -m benchmarks.pages.cause_docs writes it"


def test_every_cause_says_what_it_costs_and_how_it_is_mended():
    specs = causes.discover()
    assert len(specs) >= 25
    for spec in specs.values():
        assert spec.mend, spec.id
        assert spec.docs.mend, spec.id
        for probe in spec.needs:
            assert hasattr(ProbeCache, probe), (spec.id, probe)
