"""A vector of the audio beside every word: the document's priority 2."""

from networks import HIDDEN, MELS, WIDTH, Recurrent
from torch import nn

import capfix_cli


def load(checkpoint: str, device: str) -> capfix_cli.Captioner:
    """Build the network as in training, load its weights, and name its parts."""
    network = Recurrent(True, nn.GRU(2 * WIDTH, HIDDEN, batch_first=True))
    capfix_cli.load_weights(checkpoint, network=network.to(device))
    return capfix_cli.RecurrentCaptioner(
        module=network,
        encoder=network.encoder,
        conditioning="every-step",
        vocabulary=capfix_cli.load_vocabulary(checkpoint),
        front_end=capfix_cli.LogMelFrontEnd(16_000, 512, 256, MELS).to(device),
        encoder_takes_lengths=True,
    )
