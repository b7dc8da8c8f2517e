"""Additive attention over the frames and an LSTM cell."""

from networks import HIDDEN, MELS, WIDTH, Attention, Recurrent
from torch import nn

import capfix_cli


def load(checkpoint: str, device: str) -> capfix_cli.Captioner:
    """Build the network as in training, load its weights, and name its parts."""
    network = Recurrent(False, nn.LSTMCell(2 * WIDTH, HIDDEN), Attention())
    capfix_cli.load_weights(checkpoint, network=network.to(device))
    return capfix_cli.RecurrentCaptioner(
        module=network,
        encoder=network.encoder,
        conditioning="attention",
        attention=network.join,
        vocabulary=capfix_cli.load_vocabulary(checkpoint),
        front_end=capfix_cli.LogMelFrontEnd(16_000, 512, 256, MELS).to(device),
        encoder_takes_lengths=True,
    )
