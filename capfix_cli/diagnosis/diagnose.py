"""From what was heard to verdict, causes, tree, trials and plan of one captioner."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from capfix_cli.audio.clip_sample import ProbeFailed, Sample
from capfix_cli.captioners.loading import Loaded
from capfix_cli.core.progress import ProgressCallback
from capfix_cli.decoding.encode_pass import EncodedClips, draw_sample
from capfix_cli.diagnosis.causes.cause_table import INTEGRITY, MODEL
from capfix_cli.diagnosis.causes.finding import DiagnosisContext, Finding, not_tested
from capfix_cli.diagnosis.decision_tree import Observations, Walk, walk
from capfix_cli.diagnosis.prediction import predict
from capfix_cli.diagnosis.ranking import Causes, look, rank
from capfix_cli.diagnosis.repairs.repair_kinds import repairs_for
from capfix_cli.diagnosis.repairs.repair_trial import try_repair
from capfix_cli.diagnosis.trials.decoding_evaluator import DecodingEvaluator
from capfix_cli.diagnosis.verdict import Decision, decide
from capfix_cli.fixes.plan import PlanInputs, make_plan
from capfix_cli.fixes.setting_status import Mark
from capfix_cli.fixes.trial_ranking import best_trial, pareto_front
from capfix_cli.measures.measure_table import judge_diversity
from capfix_cli.probes.front_end_search import FITTED
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.probes.probe_cache import ProbeCache
from capfix_cli.schemas.records import (
    Cause,
    ClipCaption,
    Evidence,
    Listening,
    NotTested,
    PlanRow,
    Prediction,
    SignalPlace,
    Trial,
)

EXAMPLES = 5
HEARD_APART = "clips that can be heard apart"
UNTRAINED = "weights.untrained"
REPAIRED = 2  # causes, of those found, whose repairs are tried
# Where the audio itself is at fault nothing can be said of the captioner.
NO_AUDIO = frozenset({"input.silent-audio", "input.duplicate-audio"})


@dataclass(frozen=True)
class DiagnosisResult:
    """Verdict, causes, tree, trials and plan of one captioner."""

    decision: Decision
    listening: Listening | None
    walk: Walk
    best: Trial | None
    causes: tuple[Cause, ...]
    plan: tuple[PlanRow, ...]
    examples: tuple[dict[str, str], ...]
    signal: tuple[SignalPlace, ...] = ()
    not_tested: tuple[NotTested, ...] = ()
    prediction: Prediction | None = None
    mends: tuple[str, ...] = ()


def run_diagnosis(
    loaded: Loaded,
    heard: EncodedClips,
    references: Mapping[str, Sequence[str]] | None,
    seed: int,
    progress: ProgressCallback,
    training: Sequence[Cause] | None = None,
    marks: Mapping[str, Mark] | None = None,
    train_audio: str | None = None,
) -> DiagnosisResult:
    """Judge what was heard: integrity first, then verdict, tree with trials, causes and plan.

    Args:
        loaded: the captioner.
        heard: its captions and memories.
        references: clip name -> references, or None.
        seed: of everything that is drawn.
        progress: called as the work goes on.
        training: causes that its training data showed; None where they were not given.
        marks: what is known of fixes from settings of training and training captions.
        train_audio: folder of the clips that it was trained on, or None.
    """
    scorer = Scorer(loaded.captioner, heard.chunks)
    evaluator = DecodingEvaluator(scorer, references, seed, heard.sample)
    probes = ProbeCache(
        loaded.captioner,
        heard.sample,
        heard.chunks,
        heard.captions,
        references,
        seed,
        None if train_audio is None else _training_clips(loaded, train_audio, seed),
    )
    case = _open_case(loaded, heard, references, evaluator, probes, progress, training)
    progress("testing input, weights and evaluation", 0, 1)
    gate = _gate(case)
    progress("testing input, weights and evaluation", 1, 1)
    # A network that was never trained is not broken: training is what it needs.
    fault = "" if gate.ranked and gate.ranked[0].id == UNTRAINED else gate.first_step
    trials_of = _Trials(evaluator, progress)
    prediction = predict(case) if case.ill and case.finite and not fault else None
    evaluator.expect_failure = prediction is not None and not prediction.works
    walked = walk(
        Observations(
            fault,
            _gate_evidence(gate),
            case.decision,
            trials_of.one,
            trials_of.search,
            lambda: _repair(case, gate, loaded, heard, references, evaluator, seed, progress),
        )
    )
    trials = walked.trials
    decodings = [trial for trial in trials if not trial.repair]
    if any(trial.kept for trial in decodings) and not evaluator.searched:
        trials = (*trials, *trials_of.search(decodings))
    front = pareto_front(trials)
    trials = tuple(
        replace(trial, pareto=trial.name in front and not trial.repair) for trial in trials
    )
    walked = replace(walked, trials=trials)
    best = best_trial(trials)
    made = [trial for trial in trials if not trial.repair]
    if prediction is not None and made:
        prediction = replace(prediction, came=best is not None)
    case = replace(case, rescued_by=best.name if best else None, tried=len(made))
    progress("looking for causes", 0, 1)
    causes = _all_causes(case, gate)
    progress("looking for causes", 1, 1)
    plan = make_plan(
        PlanInputs(
            case.decision.verdict,
            loaded.summary.facts,
            trials,
            causes.ranked,
            fault,
            {name: _figure(found) for name, found in causes.ruled_out.items()},
            marks or {},
        )
    )
    shown = best or next((trial for trial in made), None)
    tried = () if shown is None else evaluator.captions[shown.name]
    return DiagnosisResult(
        case.decision,
        case.listening,
        walked,
        best,
        causes.ranked,
        plan,
        _examples(heard, shown, tried),
        _signal(case),
        causes.not_tested,
        prediction,
        _mends(causes),
    )


def _open_case(
    loaded: Loaded,
    heard: EncodedClips,
    references: Mapping[str, Sequence[str]] | None,
    evaluator: DecodingEvaluator,
    probes: ProbeCache,
    progress: ProgressCallback,
    training: Sequence[Cause] | None,
) -> DiagnosisContext:
    people = None
    if references is not None:
        people = [references.get(caption.file_name, ()) for caption in heard.captions]
    texts = [caption.text for caption in heard.captions]
    diversity = judge_diversity(texts, people, probes.seed)
    listening = None
    if heard.finite and _finite(loaded):
        progress("measuring listening", 0, 1)
        listening = evaluator.greedy.listening
        progress("measuring listening", 1, 1)
    return DiagnosisContext(
        loaded.captioner,
        probes,
        decide(diversity, listening),
        listening,
        loaded.summary.facts,
        heard.digests,
        heard.audio.skipped,
        heard.finite,
        heard.broken,
        training,
    )


def _training_clips(loaded: Loaded, folder: str, seed: int) -> Callable[[], Sample]:
    return lambda: draw_sample(folder, loaded.captioner.sample_rate, FITTED, seed)


def _finite(loaded: Loaded) -> bool:
    """Say whether all weights are finite numbers."""
    import torch

    module = loaded.captioner.module
    if module is None:
        return True
    return all(
        bool(torch.isfinite(tensor).all())
        for tensor in module.state_dict().values()
        if tensor.is_floating_point()
    )


def _gate(case: DiagnosisContext) -> Causes:
    """Look for faults of input, weights and evaluation; where there is no audio, for that alone."""
    found = look(case, INTEGRITY)
    silent = rank([finding for finding in found if finding.id in NO_AUDIO])
    if not silent.ranked or not case.finite:
        return rank(found)
    kept = [f if f.id in NO_AUDIO else not_tested(f.id, HEARD_APART) for f in found]
    return rank(kept)


class _Trials:
    """Makes trials and tells of them."""

    def __init__(self, evaluator: DecodingEvaluator, progress: ProgressCallback) -> None:
        self.evaluator = evaluator
        self.progress = progress
        self.made = 0

    def one(self, name: str) -> Trial:
        """Make a decoding trial."""
        self.progress("trying decoding fixes", self.made, self.made + 1)
        self.made += 1
        return self.evaluator.trial(name)

    def search(self, trials: Sequence[Trial]) -> Sequence[Trial]:
        """Search over settings, where there is hope."""
        if not self.evaluator.worth_searching(trials):
            return ()
        return self.evaluator.search(
            lambda done, total: self.progress("searching settings", done, total)
        )


def _repair(
    case: DiagnosisContext,
    gate: Causes,
    loaded: Loaded,
    heard: EncodedClips,
    references: Mapping[str, Sequence[str]] | None,
    evaluator: DecodingEvaluator,
    seed: int,
    progress: ProgressCallback,
) -> list[Trial]:
    """Try what mends the causes found without training, until something does."""
    made: list[Trial] = []
    if not case.finite or any(cause.id in NO_AUDIO for cause in gate.ranked):
        return made
    for cause in gate.ranked[:REPAIRED]:
        for repair in repairs_for(cause.id, case, loaded.summary.path):
            progress("trying repairs", len(made), len(made) + 1)
            trial = try_repair(
                repair, case, heard.audio.folder, references, evaluator.scale.clips, seed
            )
            if trial is not None:
                made.append(trial)
                if trial.kept:
                    return made
    return made


def _gate_evidence(gate: Causes) -> tuple[Evidence, ...]:
    """What was found; else what was looked for."""
    if gate.ranked:
        return tuple(evidence for cause in gate.ranked for evidence in cause.evidence)
    looked = len(gate.ruled_out)
    evidence = [Evidence("faults looked for and not found", str(looked))]
    for name, found in gate.ruled_out.items():
        figure = _figure(found)
        if figure:
            evidence.append(Evidence(name, figure))
    evidence += [Evidence(one.cause, f"not tested: {one.needs}") for one in gate.not_tested]
    return tuple(evidence)


def _figure(finding: Finding) -> str:
    """Give the figure that rules a cause out, beside its threshold."""
    for row in finding.evidence:
        if isinstance(row.value, float) and isinstance(row.threshold, float):
            return f"{row.what}: {row.value:.2f} (threshold {row.threshold:g})"
    return ""


def _all_causes(case: DiagnosisContext, gate: Causes) -> Causes:
    """Add the causes in the captioner itself, where anything can be said of it."""
    found: list[Finding] = list(gate.findings)
    audio = any(cause.id in NO_AUDIO for cause in gate.ranked)
    if not case.finite or case.listening is None or audio:
        needs = HEARD_APART if audio else "scores that are finite numbers"
        found += [not_tested(name, needs) for name in MODEL]
    else:
        found += look(case, MODEL)
    return rank(found)


def _mends(causes: Causes) -> tuple[str, ...]:
    """How to mend the causes that nothing else explains, the first first."""
    words = {finding.id: finding.mend for finding in causes.findings}
    free = [c for c in causes.ranked if not any(row.what == "explained by" for row in c.evidence)]
    return tuple(words[cause.id] for cause in free if words.get(cause.id))


def _signal(case: DiagnosisContext) -> tuple[SignalPlace, ...]:
    try:
        places = case.probes.signal
    except ProbeFailed:
        return ()
    return tuple(SignalPlace(place.place, place.share) for place in places)


def _examples(
    heard: EncodedClips, trial: Trial | None, tried: Sequence[ClipCaption]
) -> tuple[dict[str, str], ...]:
    """Pick clips spread over the folder, each with its greedy caption and that of a trial."""
    other = {caption.file_name: caption.text for caption in tried}
    pool = [c for c in heard.captions if c.file_name in other] or list(heard.captions)
    step = max(1, len(pool) // EXAMPLES)
    rows = []
    for caption in pool[::step][:EXAMPLES]:
        row = {"file_name": caption.file_name, "greedy": caption.text}
        if trial is not None:
            row[trial.name] = other[caption.file_name]
        rows.append(row)
    return tuple(rows)
