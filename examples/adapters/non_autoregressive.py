"""All words at once, as the DCASE 2020 baseline."""

from networks import MELS, AllAtOnce

import capfix_cli


def load(checkpoint: str, device: str) -> capfix_cli.Captioner:
    """Build the network as in training, load its weights, and name its parts."""
    network = AllAtOnce()
    capfix_cli.load_weights(checkpoint, network=network.to(device))
    return capfix_cli.NonAutoregressiveCaptioner(
        module=network,
        encoder=network,
        vocabulary=capfix_cli.load_vocabulary(checkpoint),
        front_end=capfix_cli.LogMelFrontEnd(16_000, 512, 256, MELS).to(device),
        encoder_takes_lengths=True,
    )
