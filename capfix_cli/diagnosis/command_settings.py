"""What every command that runs a captioner takes, whichever command it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from capfix_cli.checkpoints.model_options import NO_MODEL_OPTIONS, ModelOptions


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
        train_captions: captions file that the model was trained on, or None.
        train_audio: folder of its clips, or None.
        features: paths of features in place of audio; none where clips are audio.
        feature_field: which of a clip's arrays are its features, or None.
        training_config: YAML file with the settings of its training, or None.
        own_captions: file of what the user's own script said of the clips, or None.
        own_generate: ``MODULE:FUNCTION`` that says it, or None.
    """

    adapter: str | None = None
    device: str = "cpu"
    batch_size: int = 32
    seed: int = 0
    references: str | None = None
    root: Path = Path()
    command: tuple[str, ...] = ()
    model: ModelOptions = NO_MODEL_OPTIONS
    train_captions: str | None = None
    train_audio: str | None = None
    training_config: str | None = None
    own_captions: str | None = None
    own_generate: str | None = None
    features: tuple[str, ...] = ()
    feature_field: str | None = None

    @property
    def code(self) -> str | None:
        """The user's file whose code runs, named as an adapter is: ``FILE.py:NAME``."""
        network = self.model.network
        return self.adapter if network is None else f"{file_of(network)}:{network}"


def file_of(name: str) -> str:
    """Give the file of ``FILE.py:CLASS`` or ``MODULE:CLASS``, to tell whose line failed."""
    place = name.rpartition(":")[0] if ":" in name else name
    return place if place.endswith(".py") else f"{place.replace('.', '/')}.py"
