"""Audio as the first token of an LSTM, as Show and Tell (arXiv 1411.4555) does."""

from networks import HIDDEN, MELS, WIDTH, Recurrent
from torch import nn

import capfix_cli


def load(checkpoint: str, device: str) -> capfix_cli.Captioner:
    """Build the network as in training, load its weights, and name its parts."""
    network = Recurrent(True, nn.LSTM(WIDTH, HIDDEN, batch_first=True))
    capfix_cli.load_weights(checkpoint, network=network.to(device))
    return capfix_cli.RecurrentCaptioner(
        module=network,
        encoder=network.encoder,
        conditioning="first-token",
        vocabulary=capfix_cli.load_vocabulary(checkpoint),
        front_end=capfix_cli.LogMelFrontEnd(16_000, 512, 256, MELS).to(device),
        encoder_takes_lengths=True,
    )
