"""The whole path in order, as the design lists its stages; the one place that calls them so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from capfix_cli import __version__, runs
from capfix_cli.captioners.adapters import blame
from capfix_cli.captioners.given import NOTHING, Given
from capfix_cli.captioners.loading import Loaded, load
from capfix_cli.captioners.own.captioner import OwnCaptioner
from capfix_cli.decoding.config_file import DECODING, write_decoding
from capfix_cli.decoding.options import DecodingOptions, options_from_dict
from capfix_cli.diagnosis.causes import find_causes
from capfix_cli.diagnosis.hearing import Heard, Watch, hear, unwatched
from capfix_cli.diagnosis.integrity import Integrity, check_integrity
from capfix_cli.diagnosis.tree import Observations, Walk, walk
from capfix_cli.diagnosis.verdict import Decision, decide, require_enough
from capfix_cli.fixes.plan import Findings, make_plan
from capfix_cli.fixes.search import best_trial, pareto_front
from capfix_cli.fixes.trials import Laboratory
from capfix_cli.generating.made import make_made
from capfix_cli.generating.run import Delivery, Generated, caption_folder
from capfix_cli.generating.teams import join
from capfix_cli.measures.captions_file import match_references, read_references, write_captions
from capfix_cli.measures.table import judge_diversity, measure_captions
from capfix_cli.probes.scoring import Scorer
from capfix_cli.recipes.recipe import Recipe, make_recipe, training_like, write_recipe
from capfix_cli.recipes.rewriting import is_trainable, rewrites_for
from capfix_cli.records import Cause, ClipCaption, Diagnosis, Listening, PlanRow, Trial, to_dict

EXAMPLES = 5


@dataclass(frozen=True)
class Settings:
    """What every command that runs a captioner takes.

    Attributes:
        adapter: ``FILE.py:FACTORY`` or None.
        device: as PyTorch names it.
        batch_size: clips.
        seed: of everything that is drawn.
        references: captions file with references, or None.
        root: the folder whose ``.capfix`` holds the runs.
        command: the words of the command line, kept with the run.
        model: what the command line says about the model.
    """

    adapter: str | None = None
    device: str = "cpu"
    batch_size: int = 32
    seed: int = 0
    references: str | None = None
    root: Path = Path()
    command: tuple[str, ...] = ()
    model: Given = NOTHING


def diagnose(model: str, audio: str, settings: Settings, watch: Watch = unwatched) -> Diagnosis:
    """Walk the whole path for one checkpoint and store it as a run.

    Raises:
        CapfixError: whatever the user can mend; the message says how.
    """
    texts = read_references(settings.references) if settings.references else None
    loaded = load(model, settings.adapter, settings.device, settings.model)
    with runs.new_run(settings.root) as run, blame(settings.adapter):
        heard = hear(
            loaded.captioner,
            audio,
            batch_size=settings.batch_size,
            seed=settings.seed,
            watch=watch,
        )
        require_enough(heard.audio.clips, len(heard.audio.skipped))
        references = None
        if texts is not None:
            names = [caption.file_name for caption in heard.captions]
            references = match_references(texts, names, settings.references or "")
        examined = examine(loaded, heard, references, settings.seed, watch)
        recipe = _recipe(examined, loaded, run.id, audio)
        path = settings.root / runs.STORE / run.id / runs.RECIPE  # where it will be
        if recipe is not None:
            write_recipe(recipe, run.folder / runs.RECIPE, shown_as=path)
        diagnosis = Diagnosis(
            capfix_version=__version__,
            run=run.id,
            model=loaded.summary,
            audio=heard.audio,
            verdict=examined.decision.verdict,
            listening=examined.listening,
            measures=measure_captions(heard.captions, settings.seed),
            causes=examined.causes,
            tree=examined.walk.steps,
            trials=examined.walk.trials,
            best_decoding=examined.best.decoding if examined.best else None,
            plan=examined.plan,
            recipe=str(path) if recipe is not None else None,
            notes=_notes(examined, loaded, references),
            examples=examined.examples,
            seed=settings.seed,
        )
        _store(run, heard, diagnosis, references or {}, settings)
    return diagnosis


@dataclass(frozen=True)
class Examined:
    """Verdict, causes, tree, trials and plan of one captioner."""

    integrity: Integrity
    decision: Decision
    listening: Listening | None
    walk: Walk
    best: Trial | None
    causes: tuple[Cause, ...]
    plan: tuple[PlanRow, ...]
    examples: tuple[dict[str, str], ...]


def examine(
    loaded: Loaded,
    heard: Heard,
    references: Mapping[str, Sequence[str]] | None,
    seed: int,
    watch: Watch,
) -> Examined:
    """Judge what was heard: integrity first, then verdict, tree with trials, causes and plan."""
    integrity = check_integrity(loaded.captioner, heard.digests, heard.audio.skipped, heard.finite)
    laboratory = Laboratory(Scorer(loaded.captioner, heard.chunks), references, seed)
    people = None
    if references is not None:
        people = [references.get(caption.file_name, ()) for caption in heard.captions]
    diversity = judge_diversity([caption.text for caption in heard.captions], people, seed)
    listening = None
    if integrity.runnable:
        watch("measuring listening", 0, 1)
        listening = laboratory.greedy.listening
        watch("measuring listening", 1, 1)
    decision = decide(diversity, listening)
    made = 0

    def run_trial(name: str) -> Trial:
        nonlocal made
        watch("trying decoding fixes", made, made + 1)
        made += 1
        return laboratory.trial(name)

    def run_search(trials: Sequence[Trial]) -> Sequence[Trial]:
        if not laboratory.promising(trials):
            return ()
        return laboratory.search(lambda done, total: watch("searching settings", done, total))

    walked = walk(
        Observations(
            integrity.first_step,
            tuple(evidence for cause in integrity.causes for evidence in cause.evidence),
            decision,
            run_trial,
            run_search,
        )
    )
    trials = walked.trials
    if any(trial.kept for trial in trials) and not laboratory.searched:
        trials = (*trials, *run_search(trials))
    front = pareto_front(trials)
    trials = tuple(replace(trial, pareto=trial.name in front) for trial in trials)
    walked = replace(walked, trials=trials)
    best = best_trial(trials)
    causes = integrity.causes or find_causes(
        decision.verdict, loaded.summary.facts, best.name if best else None
    )
    plan = make_plan(
        Findings(
            decision.verdict,
            loaded.summary.facts,
            walked.trials,
            causes,
            integrity.first_step,
        )
    )
    shown = best or next(iter(walked.trials), None)
    tried = () if shown is None else laboratory.captions[shown.name]
    return Examined(
        integrity, decision, listening, walked, best, causes, plan, _examples(heard, shown, tried)
    )


def _examples(
    heard: Heard, trial: Trial | None, tried: Sequence[ClipCaption]
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


def _recipe(examined: Examined, loaded: Loaded, run: str, audio: str) -> Recipe | None:
    captioner, summary = loaded.captioner, loaded.summary
    if not examined.walk.leaf.retrain:
        return None
    own = isinstance(captioner, OwnCaptioner)
    needed = [row.fix for row in examined.plan if row.status == "needed"]
    return make_recipe(
        examined.plan,
        {
            "run": run,
            "model": str(Path(summary.path).resolve()),
            "sha256": summary.sha256,
            "verdict": examined.decision.verdict,
            "audio": str(Path(audio).resolve()),
            "adapter": summary.adapter,
            "vocabulary": {"size": len(captioner.vocabulary)},
        },
        captioner.config if isinstance(captioner, OwnCaptioner) else None,
        training_like(summary.facts),
        yours=is_trainable(captioner),
        rewrites={} if own else rewrites_for(summary.path, needed),
    )


def _notes(
    examined: Examined, loaded: Loaded, references: Mapping[str, Sequence[str]] | None
) -> tuple[str, ...]:
    notes = []
    if references is None:
        notes.append(
            "Rightness was not judged: listening says that the audio decides the caption, not that"
            " it decides rightly. Give --references CSV for that."
        )
    if examined.listening is not None and examined.listening.note:
        notes.append(f"Listening: {examined.listening.note}.")
    epochs = loaded.summary.facts.get("training.epochs")
    if epochs is not None and examined.walk.leaf.retrain:
        notes.append(
            f"It was trained for {epochs} epoch(s): longer training alone may be the cure, and"
            " `capfix retrain` trains a control without the fixes to find out."
        )
    if examined.walk.leaf.retrain and not isinstance(loaded.captioner, OwnCaptioner):
        notes.append(
            "The recipe trains your captioner with the fixes that leave its architecture as it is;"
            " its section `rewrites` has the code to write for the others."
            if is_trainable(loaded.captioner)
            else "The recipe trains capfix's own captioner with these fixes on your captions; its"
            " section `rewrites` has the code to write for yours."
        )
    return tuple(notes)


def _store(
    run: runs.Run,
    heard: Heard,
    diagnosis: Diagnosis,
    references: Mapping[str, Sequence[str]],
    settings: Settings,
) -> None:
    """Write what belongs to a run, beside the recipe."""
    write_captions(run.folder / runs.CAPTIONS, heard.captions, references)
    runs.write_json(run.folder / runs.DIAGNOSIS, to_dict(diagnosis))
    runs.write_json(run.folder / runs.PLAN, to_dict(diagnosis.plan))
    if diagnosis.best_decoding is not None:
        write_decoding(run.folder / DECODING, options_from_dict(diagnosis.best_decoding))
    runs.write_json(
        run.folder / runs.COMMAND,
        {
            "command": list(settings.command),
            "seed": settings.seed,
            "model": str(Path(diagnosis.model.path).resolve()),
            "audio": str(Path(diagnosis.audio.folder).resolve()),
            "adapter": settings.adapter,
            "device": settings.device,
            "batch_size": settings.batch_size,
            "references": settings.references,
            "given": asdict(settings.model),
            "capfix_version": __version__,
        },
    )


def generate(
    model: str,
    audio: str,
    options: DecodingOptions,
    settings: Settings,
    watch: Watch = unwatched,
    delivery: Delivery | None = None,
) -> Generated:
    """Caption every clip of a folder as it goes; nothing is judged and no run is stored.

    Under torchrun each process captions its share, and the first gives the result. Without a
    ``delivery`` the result holds the captions.

    Raises:
        CapfixError: whatever the user can mend.
    """
    given = settings.model
    made = make_made(model, audio, options, settings.seed, settings.adapter, given)
    captions: list[ClipCaption] = []
    with join(settings.device) as team:
        loaded = load(model, settings.adapter, team.device, given)
        with blame(settings.adapter):
            generated = caption_folder(
                loaded.captioner,
                audio,
                made.with_model(loaded.summary.sha256),
                options,
                settings.batch_size,
                delivery or Delivery(show=captions.extend),
                team,
                watch,
            )
    captions.sort(key=lambda caption: caption.file_name)
    return replace(generated, captions=tuple(captions))
