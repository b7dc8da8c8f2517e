"""A prefix of audio embeddings before the words of a GPT-2."""

from networks import MELS, PrefixedGPT2

import capfix_cli


def load(checkpoint: str, device: str) -> capfix_cli.Captioner:
    """Build the network as in training, load its weights, and name its parts."""
    network = PrefixedGPT2()
    capfix_cli.load_weights(checkpoint, network=network.to(device))
    return capfix_cli.PrefixLanguageModelCaptioner(
        module=network,
        encoder=network.encoder,
        project=network.project,
        language_model=network.gpt2,
        tokenizer=capfix_cli.load_vocabulary(checkpoint),  # or AutoTokenizer.from_pretrained(...)
        front_end=capfix_cli.LogMelFrontEnd(16_000, 512, 256, MELS).to(device),
        encoder_takes_lengths=True,
    )
