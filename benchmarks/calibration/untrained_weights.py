"""How often fresh layers are called changed, and trained ones initial, as training goes on.

    python -m benchmarks.calibration.untrained_weights [CHECKPOINT ...]

First freshly made layers of every kind: each must be called initial. Then small captioner parts
trained for a few steps: the share of their layers that are still called initial. Then what is said
of checkpoints that are known to be trained, where some are given.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor, nn

from capfix_cli.checkpoints.formats.checkpoint_folder import read_whole
from capfix_cli.checkpoints.inspection import inspect_checkpoint, plain_names, weights_of
from capfix_cli.checkpoints.xray.initial_layers import Layer, read_layers

SEEDS = 40
STEPS = (0, 1, 3, 10, 30, 100, 300)
RATES = (1e-5, 1e-4, 1e-3)


def every_kind() -> nn.Module:
    """Make layers of every kind that is judged, as PyTorch creates them."""
    return nn.ModuleDict(
        {
            "small": nn.Linear(24, 24),
            "wide": nn.Linear(512, 300),
            "convolution": nn.Conv2d(16, 32, 3),
            "groups": nn.Conv1d(64, 64, 9, groups=4),
            "up": nn.ConvTranspose1d(32, 16, 4),
            "gru": nn.GRU(40, 64, 2, bidirectional=True),
            "lstm": nn.LSTMCell(32, 48),
            "block": nn.TransformerEncoderLayer(64, 2, 128),
            "batch_norm": nn.BatchNorm2d(16),
            "group_norm": nn.GroupNorm(2, 16),
        }
    )


class Parts(nn.Module):
    """A convolution, a recurrence, a Transformer block and an output layer, learning a toy task."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(20, 32, 3, padding=1)
        self.norm = nn.BatchNorm1d(32)
        self.gru = nn.GRU(32, 32, batch_first=True)
        self.block = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True)
        self.output = nn.Linear(32, 50)

    def forward(self, features: Tensor) -> Tensor:
        """Score 50 classes: [B, 20, T] -> [B, 50]."""
        hidden = torch.relu(self.norm(self.convolution(features))).transpose(1, 2)
        hidden, _ = self.gru(hidden)
        scores: Tensor = self.output(self.block(hidden).mean(dim=1))
        return scores


def layers_of(network: nn.Module, folder: Path) -> list[Layer]:
    """Save a network and judge its layers as an inspection does."""
    path = folder / "weights.pt"
    torch.save(network.state_dict(), path)
    return read_layers(plain_names(weights_of(read_whole(str(path)))))


def fresh(folder: Path) -> None:
    """Print how many fresh layers are called what."""
    states: Counter[str] = Counter()
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        states.update(layer.state for layer in layers_of(every_kind(), folder))
    print(f"fresh layers, {SEEDS} seeds: {dict(states)}")


def trained(folder: Path, rate: float) -> None:
    """Print the share of layers that are called initial after so many steps of Adam."""
    left = dict.fromkeys(STEPS, 0)
    layers = 0
    for seed in range(3):
        torch.manual_seed(seed)
        network = Parts()
        optimizer = torch.optim.Adam(network.parameters(), lr=rate)
        centres = torch.randn(50, 20, 1)
        for step in range(max(STEPS) + 1):
            if step in STEPS:
                judged = layers_of(network, folder)
                left[step] += sum(layer.state == "initial" for layer in judged)
                layers += len(judged) if step == 0 else 0
            classes = torch.randint(50, (16,))
            features = centres[classes] + torch.randn(16, 20, 12)
            loss = nn.functional.cross_entropy(network(features), classes)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    shares = "  ".join(f"{step}: {left[step] / layers:.2f}" for step in STEPS)
    print(f"share initial after steps at {rate:g}:  {shares}")


def main() -> None:
    """Print all of it."""
    with tempfile.TemporaryDirectory() as place:
        fresh(Path(place))
        for rate in RATES:
            trained(Path(place), rate)
    for checkpoint in sys.argv[1:]:
        fact = inspect_checkpoint(checkpoint).facts["weights.untrained"]
        print(f"{Path(checkpoint).name}: {fact.value} ({'; '.join(fact.evidence)[:300]})")


if __name__ == "__main__":
    main()
