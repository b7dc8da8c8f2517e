"""A Transformer with encode and decode, time first as PyTorch's own."""

from networks import MELS, Transformer

import capfix_cli


def load(checkpoint: str, device: str) -> capfix_cli.Captioner:
    """Build the network as in training, load its weights, and name its parts."""
    network = Transformer()
    capfix_cli.load_weights(checkpoint, network=network.to(device))
    return capfix_cli.EncodeDecodeCaptioner(
        module=network,
        encoder=network.encode,
        decode=network.decode,
        time_first=True,
        memory_batch_dim=1,
        vocabulary=capfix_cli.load_vocabulary(checkpoint),
        front_end=capfix_cli.LogMelFrontEnd(16_000, 512, 256, MELS).to(device),
        encoder_takes_lengths=True,
    )
