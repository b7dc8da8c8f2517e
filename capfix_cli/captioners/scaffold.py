"""An adapter written from the X-ray, what shapes cannot tell marked as gaps."""

from __future__ import annotations

from collections.abc import Mapping

from capfix_cli.records import Fact, Inspection

GAP = "GAP"
_RECURRENT = {"gru", "lstm", "rnn"}


def write_adapter(found: Inspection) -> str:
    """Write the text of an adapter for an inspected checkpoint; every gap carries ``GAP``."""
    facts = found.facts
    kind = _value(facts, "decoder.kind")
    if _value(facts, "autoregressive") is False:
        name, body = "NonAutoregressiveCaptioner", _NON_AUTOREGRESSIVE
    elif kind in _RECURRENT:
        name, body = "RecurrentCaptioner", _recurrent(facts)
    else:
        name, body = "EncodeDecodeCaptioner", _ENCODE_DECODE
    lines = [
        f'"""Adapter for {found.path!r}: fill in every {GAP}, then `capfix adapter check` it."""',
        "",
        *_seen(facts),
        "import capfix_cli",
        f"from your_project import Network  # {GAP}: the class that was trained",
        "",
        "",
        "def load(checkpoint, device):",
        f"    network = Network()  # {GAP}: with the settings of training",
        "    capfix_cli.load_weights(checkpoint, network=network.to(device))",
        f"    return capfix_cli.{name}(",
        "        module=network,",
        *body,
        *_vocabulary(found),
        f"        sample_rate=16_000,  # {GAP}: Hz",
        f"        # {GAP}: the features of training; wrong ones look like a collapsed model.",
        "        front_end=capfix_cli.LogMelFrontEnd(",
        '            16_000, n_fft=1024, hop_length=512, n_mels=64, log="ln"',
        "        ).to(device),",
        "    )",
        "",
    ]
    return "\n".join(lines)


def _value(facts: Mapping[str, Fact], name: str) -> object:
    fact = facts.get(name)
    return None if fact is None else fact.value


def _seen(facts: Mapping[str, Fact]) -> list[str]:
    """What the X-ray says, for the eyes of whoever fills the gaps."""
    rows = ["# What names and shapes say (capfix inspect shows the tensors behind it):"]
    for name, fact in facts.items():
        if fact.value is not None and fact.confidence > 0:
            rows.append(f"#   {name}: {fact.value} ({fact.confidence:.0%})")
    return rows


def _recurrent(facts: Mapping[str, Fact]) -> list[str]:
    conditioning = _value(facts, "conditioning")
    rows = [
        f"        encoder=network.encoder,  # {GAP}: features [B, frames, F] -> memory",
        f"        embedding=network.decoder.embedding,  # {GAP}: its name",
        f"        rnn=network.decoder.rnn,  # {GAP}: its name",
        f"        output=network.decoder.output,  # {GAP}: [B, H] -> [B, V]",
    ]
    if conditioning == "additive-attention":
        return [
            *rows,
            '        conditioning="attention",',
            f"        attention=network.decoder.attention,  # {GAP}: (memory, hidden) -> [B, C]",
        ]
    if conditioning == "concatenated":
        return [
            *rows,
            f'        conditioning="every-step",  # {GAP}: or "attention", where a context is made',
        ]
    return [
        *rows,
        f'        conditioning="initial-state",  # {GAP}: or "first-token": shapes cannot tell',
        f"        first_state=lambda memory: memory,  # {GAP}: memory -> [B, H]",
    ]


_ENCODE_DECODE = [
    f"        encoder=network.encode,  # {GAP}: features [B, frames, F] -> memory",
    f"        decode=network.decode,  # {GAP}: (memory, prefix [B, T]) -> [B, T, V]",
    f"        # {GAP}: time_first=True, memory_batch_dim=1 where it takes [T, B] as nn.Transformer",
]
_NON_AUTOREGRESSIVE = [
    f"        encoder=network,  # {GAP}: features [B, frames, F] -> scores [B, T, V]",
]


def _vocabulary(found: Inspection) -> list[str]:
    if found.vocabulary is None:
        read = 'capfix_cli.load_vocabulary("words.json")'
        return [f"        vocabulary={read},  # {GAP}: or --vocabulary FILE"]
    names = {name.lower() for name in found.vocabulary.special}
    opens = names & {"<bos>", "<sos>", "<start>", "<s>"}
    ends = names & {"<eos>", "<end>", "</s>"}
    gap = "" if opens and ends else f"  # {GAP}: bos=..., eos=... (names or ids)"
    return [f"        vocabulary=capfix_cli.load_vocabulary(checkpoint),{gap}"]
