"""Networks as students write them, untouched: ``--network`` alone says what they say.

The files under ``tests/student_networks`` were written by others, each in habits of its own, with
what their authors would run: ``save_checkpoint`` and ``reference_captions``.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path

import pytest
import soundfile
import torch

from capfix_cli.captioners.derived.derived_captioner import DerivedCaptioner
from capfix_cli.captioners.loading import load
from capfix_cli.captions.own_captions import compare_captions
from capfix_cli.checkpoints.model_options import ModelOptions
from capfix_cli.decoding.encode_pass import encode_and_caption

FOLDER = Path(__file__).parent.parent / "student_networks"
RATE = 16000

# File -> the class to name, and what must be said beside it.
NETWORKS: dict[str, tuple[str, dict[str, str]]] = {
    "s01_cnn_lstm": ("AudioCaptioner", {}),
    "s01_lstm_baseline": ("AudioCaptioner", {}),
    "s02_show_attend_tell": ("SoundAttendTell", {}),
    "s02_transformer_encdec": ("AudioTransformer", {}),
    "s03_show_attend_tell": ("SoundAttendTell", {}),
    "s03_transformer_lightning": ("Seq2SeqTransformer", {"network_args": "max_len=22"}),
    "s04_seq2seq_tutorial": ("Seq2Seq", {}),
    "s06_onehot_gru": ("Net", {}),
    "s06_tonbeschreiber": ("TonBeschreiber", {}),
    "s08_timefirst_transformer": ("CaptionTransformer", {}),
    "s08_waveform_transformer": ("Wav2Caption", {}),
    "s09_wave_melspec_lstm": ("WaveCaptioner", {}),
    "s10_non_autoregressive": ("ParallelCaptioner", {}),
    "s11_onsei_setsumei": ("OtoSetsumei", {}),
    "s11_prefix_lm": ("PrefixCaptioner", {}),
    "s12_geraeusche_gru": ("GeraeuschBeschreiber", {}),
}
QUICK = {"s01_cnn_lstm", "s02_show_attend_tell", "s12_geraeusche_gru"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write six sweeps with noise, each of its own."""
    folder = tmp_path_factory.mktemp("clips")
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(2 * RATE) / RATE
    for row in range(6):
        sweep = torch.sin(2 * torch.pi * 150 * (row + 1) * time * (1 + 0.3 * time))
        noise = torch.randn(len(time), generator=generator)
        wave = 0.3 * sweep + 0.05 * (row % 3) * noise
        soundfile.write(str(folder / f"c{row}.wav"), wave.numpy(), RATE, subtype="PCM_16")
    return folder


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in sorted(NETWORKS)],
)
def test_captions_equal_the_networks_own(
    name: str, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    kind, beside = NETWORKS[name]
    checkpoint = str(tmp_path / "model.pt")
    files = sorted(clips.glob("*.wav"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their code is theirs
        student = importlib.import_module(name)
        student.save_checkpoint(checkpoint)
        said = student.reference_captions(checkpoint, [str(file) for file in files])
        loaded = load(checkpoint, None, "cpu", ModelOptions(network=f"{name}:{kind}", **beside))
        heard = encode_and_caption(loaded.captioner, str(clips), batch_size=4, seed=0)
    sys.modules.pop(name, None)
    yours = {file.name: text for file, text in zip(files, said, strict=True)}
    capfix = {caption.file_name: caption.text for caption in heard.captions}
    same = compare_captions(yours, capfix, name)
    assert (same.equal, same.compared) == (6, 6), same.sentence
    captioner = loaded.captioner
    assert isinstance(captioner, DerivedCaptioner)
    assert captioner.own is not None


def test_at_least_twelve_need_nothing_but_their_class() -> None:
    assert sum(not beside for _, beside in NETWORKS.values()) >= 12
    assert {path.stem for path in FOLDER.glob("s*.py")} >= NETWORKS.keys()
