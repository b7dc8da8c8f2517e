"""The monitor: it warns where training collapses, is silent where not, and disturbs nothing."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from conftest import TINY

from benchmarks.zoo.toys import CLIPS, Toy, Unending, deaf, healthy, write_clips
from capfix_cli.captioners.own.own_captioner import OwnCaptioner
from capfix_cli.core.errors import CapfixError
from capfix_cli.monitor import (
    CollapseWarning,
    Watched,
    lightning_callback,
    transformers_callback,
    watch,
)
from capfix_cli.training.caption_data import build_vocabulary, load_training_clips


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("tones") / "clips")


def silent(numbers, epoch):
    assert set(numbers) >= {"listening_bits", "distinct_captions"}


def test_a_collapse_is_seen_at_the_second_look_with_its_cause(tones):
    watched = Watched(Toy(deaf), tones)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert watch(watched, 3.0, silent).warning == ""  # every captioner begins deaf
    with pytest.warns(CollapseWarning, match="at epoch 2") as caught:
        reading = watch(watched, 2.0, silent)
    text = str(caught[0].message)
    for words in (
        "listening is 0.00 of",
        "the loss fell to 2.00",
        "100 % of the clips get",
        "the decoder learns the language without the audio",
        "(2.2)",
    ):
        assert words in text, words
    assert reading.commonest_share == 1
    assert reading.distinct == 1 / CLIPS


def test_a_healthy_captioner_is_not_warned_of(tones):
    watched = Watched(Toy(healthy), tones)
    for loss in (3.0, 2.0, 1.0):
        assert watch(watched, loss, silent).warning == ""
    assert watched.history[-1].distinct == 1.0
    assert watched.history[-1].listening.bits > 3


def test_a_loss_that_does_not_fall_or_listening_that_rises_is_no_collapse(tones):
    stuck = Watched(Toy(deaf), tones)
    assert [watch(stuck, 3.0, silent).warning for _ in range(3)] == ["", "", ""]

    def rule(clip, words):
        # Ever more clips are heard; how surely would make no difference.
        heard = (clip < scale[0] * CLIPS).unsqueeze(1)
        return torch.where(heard, healthy(clip, words), deaf(clip, words))

    rises = Toy(rule)
    scale = [0.0]
    watched = Watched(rises, tones)
    for number in range(4):
        scale[0] = 0.15 * number
        assert watch(watched, 3.0 - number, silent).warning == ""
    bits = [reading.listening.bits for reading in watched.history]
    assert bits == sorted(bits)
    assert 0 < bits[1] < 1.0  # below the threshold, but on its way


def test_captions_that_are_heard_and_never_end_are_told(tones):
    watched = Watched(Unending(healthy), tones)
    first = watch(watched, 3.0, silent)
    assert first.sentences == 0.0
    assert first.warning == ""
    with pytest.warns(CollapseWarning, match="no sentences at epoch 2"):
        watch(watched, 2.0, silent)


def test_varied_noise_is_told_as_such(tones):
    def varied(clip, words):
        """Says another word about each clip by a coin, and would about any other clip too."""
        flat = torch.zeros(len(clip), words)
        return flat + 1e-3 * torch.nn.functional.one_hot((clip * 7) % words, words)

    watched = Watched(Toy(varied), tones)
    watch(watched, 3.0, silent)
    with pytest.warns(CollapseWarning, match="captions differ"):
        watch(watched, 2.0, silent)


def test_wrong_pairs_and_hidden_listening_have_causes_of_their_own(tones, tmp_path):
    rows = "\n".join(f"{n:02d}.wav,word{26 + 20 * ((n + 9) % CLIPS) - 20}" for n in range(CLIPS))
    (tmp_path / "shifted.csv").write_text("file_name,caption_1\n" + rows + "\n")
    watched = Watched(Toy(healthy), tones, tmp_path / "shifted.csv")
    watch(watched, 3.0, silent)
    with pytest.warns(CollapseWarning, match="paired rightly"):
        watch(watched, 2.0, silent)


def test_a_few_clips_are_refused(tones, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(tones.iterdir())[:3]:
        (few / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CapfixError, match="at least 8 usable clips"):
        Watched(Toy(deaf), few)


@pytest.fixture(scope="module")
def clips(world):
    return load_training_clips(world.train_captions, world.train_audio, TINY.front_end)


def fresh(clips) -> OwnCaptioner:
    torch.manual_seed(0)
    return OwnCaptioner(TINY, build_vocabulary(clips.captions))


def test_looking_leaves_training_as_it_was(clips, world):
    captioner = fresh(clips)
    watched = Watched(captioner, world.test_audio, world.test_captions)
    captioner.module.train()
    captioner.module.encoder.eval()  # a part that is frozen stays so
    modes = [part.training for part in captioner.module.modules()]
    weights, state = copy.deepcopy(captioner.module.state_dict()), torch.get_rng_state()
    reading = watched.look(2.0)
    assert reading.listening.reference_bits is not None
    assert [part.training for part in captioner.module.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in captioner.module.state_dict().items():
        assert torch.equal(tensor, weights[name])


def module_of(captioner, clips):
    from lightning.pytorch import LightningModule

    class Mine(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = captioner.module

        def training_step(self, batch, index):
            features = torch.stack([clips.features[i][:100].float() for i in batch.tolist()])
            texts = [clips.captions[i][0] for i in batch.tolist()]
            lengths = torch.full((len(texts),), 100)
            return captioner.feature_loss(features, lengths, texts)

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=1e-2)

    return Mine()


def fit_lightning(captioner, clips, watched, logger, epochs=2):
    from lightning.pytorch import Trainer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=logger,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[lightning_callback(watched)],
        )
        warnings.simplefilter("always", CollapseWarning)
        loader = torch.utils.data.DataLoader(torch.arange(32), batch_size=4)
        trainer.fit(module_of(captioner, clips), loader)


def test_the_lightning_callback_logs_and_warns_at_epoch_2(clips, world, tmp_path):
    from lightning.pytorch.loggers import CSVLogger

    captioner = fresh(clips)
    watched = Watched(captioner, world.test_audio)
    logger = CSVLogger(tmp_path)
    with pytest.warns(CollapseWarning, match="at epoch 2"):
        fit_lightning(captioner, clips, watched, logger)
    assert [reading.epoch for reading in watched.history] == [1, 2]
    losses = [reading.loss for reading in watched.history]
    assert losses[1] < losses[0]
    (metrics,) = tmp_path.rglob("metrics.csv")
    assert "capfix/listening_bits" in metrics.read_text().splitlines()[0]


def test_the_lightning_callback_is_silent_where_listening_rises(clips, world, tones):
    captioner = fresh(clips)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapseWarning)
        fit_lightning(captioner, clips, Watched(Toy(healthy), tones), False)


def test_the_transformers_callback_logs_and_warns(tones):
    """Driven as transformers' Trainer drives it, which itself needs accelerate."""
    pytest.importorskip("transformers")
    from transformers import TrainerCallback, TrainerControl, TrainerState
    from transformers.trainer_callback import CallbackHandler

    for rule, warned in ((deaf, True), (healthy, False)):
        watched = Watched(Toy(rule), tones)
        callback = transformers_callback(watched)
        assert isinstance(callback, TrainerCallback)
        handler = CallbackHandler([callback], watched.captioner.module, None, None, None)
        state, control = TrainerState(), TrainerControl()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for epoch in (1, 2, 3):
                state.log_history.append({"loss": 4.0 - epoch, "epoch": epoch})
                handler.on_epoch_end(None, state, control)
        told = [w for w in caught if w.category is CollapseWarning]
        assert bool(told) is warned
        rows = [row for row in state.log_history if "capfix_listening_bits" in row]
        assert [row["epoch"] for row in rows] == [1, 2, 3]
        assert [reading.loss for reading in watched.history] == [3.0, 2.0, 1.0]
    state.is_world_process_zero = False
    handler.on_epoch_end(None, state, control)
    assert len(watched.history) == 3  # other processes do not look


def test_it_prints_where_nothing_else_logs(tones, capsys):
    watch(Watched(Toy(healthy), tones), 1.0)
    told = capsys.readouterr().err
    assert told.startswith("epoch 1: listening ")
    assert "100 % distinct" in told
