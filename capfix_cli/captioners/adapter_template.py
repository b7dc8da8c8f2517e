"""An adapter written from the X-ray, what shapes cannot tell marked as gaps."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence

from capfix_cli.captioners.adapter_hints import NO_HINTS, Hints, hints_of, imported
from capfix_cli.checkpoints.formats.checkpoint_folder import read_whole, weight_files
from capfix_cli.checkpoints.formats.network_keys import parts_of
from capfix_cli.checkpoints.formats.tensor_info import TensorInfo
from capfix_cli.checkpoints.inspection import inspect_checkpoint
from capfix_cli.checkpoints.vocabulary import NAMES
from capfix_cli.checkpoints.xray.decoder_facts import Decoder, find_decoder
from capfix_cli.checkpoints.xray.decoder_xray import find_embedding, find_heads, lone_attention
from capfix_cli.checkpoints.xray.huggingface_families import TO_DO, WHAT
from capfix_cli.core.errors import CapfixError
from capfix_cli.schemas.inspection_record import Fact, Inspection

GAP = "GAP"
SURE = 0.9  # below it a fact is a guess, which is told and never written as an answer
_OWN_FORMAT = "capfix.captioner/"
_FIRST_STATE = re.compile(r"(^|\.)(\w*init\w*_?(h|c|hidden|state|memory|cell)\w*|h_?0|c_?0)$")
Tensors = Mapping[str, TensorInfo]


def new_adapter(checkpoint: str) -> str:
    """Write the text of an adapter for a checkpoint.

    Raises:
        CapfixError: unreadable, a model that runs without an adapter, or one that never captions.
    """
    found = inspect_checkpoint(checkpoint)
    _needs_one(found)
    named = [name for name, _ in weight_files(checkpoint) if name]
    content = read_whole(checkpoint)
    parts = named or parts_of(content.value)
    sound = all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)
    return write_adapter(found, parts if sound else (), hints_of(content, found))


def _needs_one(found: Inspection) -> None:
    role = found.facts.get("model.role")
    run = f"Run it as it is: capfix diagnose {found.path} --audio DIR"
    if str((found.config or {}).get("format", "")).startswith(_OWN_FORMAT):
        raise CapfixError(f"{found.path} is capfix's own: it needs no adapter.", run)
    if found.format == "huggingface":
        name = None if role is None else role.value
        for known, what in WHAT.items():
            if name == known:
                raise CapfixError(f"{found.path} is {what}.", TO_DO[known])
        raise CapfixError(f"{found.path} is a Hugging Face folder: it needs no adapter.", run)


def write_adapter(found: Inspection, parts: Sequence[str] = (), hints: Hints = NO_HINTS) -> str:
    """Write the text of an adapter for an inspected checkpoint; every gap carries ``GAP``.

    Args:
        found: the inspection.
        parts: names of the network's parts where the checkpoint keeps them apart.
        hints: classes, settings and paths that the checkpoint has.
    """
    tensors = {t.name: TensorInfo(t.name, t.shape, t.dtype) for t in found.tensors}
    kind = found.facts["decoder.kind"].value
    if found.facts["autoregressive"].value is False:
        name, body = "NonAutoregressiveCaptioner", _all_at_once(parts)
    elif kind in {"gru", "lstm", "rnn"}:
        name, body = "RecurrentCaptioner", _recurrent(found.facts, tensors, parts)
    else:
        name, body = "EncodeDecodeCaptioner", _encode_decode(parts)
    lines = [
        f'"""Adapter for {found.path!r}: fill in every {GAP}, then `capfix adapter check` it."""',
        "",
        *_seen(found.facts),
        *_built(parts, hints),
        f"    return capfix_cli.{name}(",
        f"        module={_whole(parts)},",
        *body,
        *_vocabulary(found, hints),
        *_front_end(found.facts, tensors),
        "    )",
        "",
    ]
    return "\n".join(lines)


def _seen(facts: Mapping[str, Fact]) -> list[str]:
    """What the X-ray says, for the eyes of whoever fills the gaps."""
    rows = ["# What names and shapes say (capfix inspect shows the tensors behind it):"]
    for name, fact in facts.items():
        if fact.value is not None and fact.confidence > 0:
            rows.append(f"#   {name}: {fact.value} ({fact.confidence:.0%})")
    return rows


def _built(parts: Sequence[str], hints: Hints) -> list[str]:
    """Import the network, build it and load it, in the parts that the checkpoint has."""
    scaler = []
    if hints.scaler:
        scaler = [
            f"    scale = capfix_cli.load_scaler(checkpoint)  # {hints.scaler} beside the weights",
            f"    # {GAP}: where training scaled its features, give encoder(scale(features)).",
        ]
    if not parts:
        known = hints.classes.get("", "")
        importing = imported([known]) if known else []
        network = known.rpartition(".")[2] or "Network"
        given = ", ".join(f"{name}={value!r}" for name, value in hints.settings.items())
        told = f"from {hints.settings_from}" if given else "with the settings of training"
        return [
            "import capfix_cli",
            *(importing or [f"from your_project import Network  # {GAP}: the class of training"]),
            "",
            "",
            "def load(checkpoint, device):",
            f"    network = {network}({given})  # {GAP}: {told}",
            "    capfix_cli.load_weights(checkpoint, network=network.to(device))",
            *scaler,
        ]
    known_parts = {part: hints.classes.get(part, "") for part in parts}
    classes = [
        name.rpartition(".")[2] or part.title().replace("_", "")
        for part, name in known_parts.items()
    ]
    unknown = [made for made, name in zip(classes, known_parts.values(), strict=True) if not name]
    built = [
        f"    {part} = {made}().to(device)  # {GAP}: with the settings of training"
        for part, made in zip(parts, classes, strict=True)
    ]
    return [
        "from torch import nn",
        "",
        "import capfix_cli",
        *imported([name for name in known_parts.values() if name]),
        *([f"from your_project import {', '.join(unknown)}  # {GAP}: of training"] * bool(unknown)),
        "",
        "",
        "def load(checkpoint, device):",
        *built,
        f"    capfix_cli.load_weights(checkpoint, {', '.join(f'{p}={p}' for p in parts)})",
        *scaler,
    ]


def _whole(parts: Sequence[str]) -> str:
    return f"nn.ModuleList([{', '.join(parts)}])" if parts else "network"


def _place(name: str, parts: Sequence[str]) -> str:
    """``decoder.layers.0.fc`` -> ``network.decoder.layers[0].fc``, or from its part on."""
    inside = name.split(".")
    text = inside.pop(0) if inside[0] in parts else "network"
    for piece in inside:
        text += (
            f".{piece}" if piece.isidentifier() else f"[{int(piece)}]" if piece.isdigit() else ""
        )
    return text


def _encoder(parts: Sequence[str], method: str) -> str:
    return next((part for part in parts if "enc" in part.lower()), f"network.{method}")


def _all_at_once(parts: Sequence[str]) -> list[str]:
    network = f"lambda x: {parts[-1]}({parts[0]}(x))" if parts else "network"
    return [
        f"        # {GAP}: no part that takes words was found; where words are fed back this is",
        "        # the wrong class: capfix_cli.RecurrentCaptioner or EncodeDecodeCaptioner.",
        f"        encoder={network},  # {GAP}: features [B, frames, F] -> scores [B, T, V]",
    ]


def _encode_decode(parts: Sequence[str]) -> list[str]:
    decode = next((part for part in parts if "dec" in part.lower()), "network.decode")
    encoder = _encoder(parts, "encode")
    return [
        f"        encoder={encoder},  # {GAP}: features [B, frames, F] -> memory",
        f"        decode={decode},  # {GAP}: (memory, prefix [B, T]) -> [B, T, V]",
        f"        # {GAP}: time_first=True, memory_batch_dim=1 where it takes [T, B] as "
        "nn.Transformer",
    ]


def _recurrent(facts: Mapping[str, Fact], tensors: Tensors, parts: Sequence[str]) -> list[str]:
    embedding = find_embedding(tensors)
    decoder = find_decoder(tensors, embedding)
    encoder = _encoder(parts, "encoder")
    rows = [f"        encoder={encoder},  # {GAP}: features [B, frames, F] -> memory"]
    rows += _named_parts(embedding, decoder, tensors, parts)
    conditioning = facts["conditioning"].value
    if conditioning == "additive-attention":
        names = [re.sub(r"(att[^.]*)\..*$", r"\1", n, flags=re.I) for n in lone_attention(tensors)]
        place = _place(names[0], parts) if names else "network.decoder.attention"
        rows.append(f'        conditioning="attention",  # {GAP}: by the names of its parts alone')
        rows += _combined(tensors)
        rows.append(f"        attention={place},  # {GAP}: (memory, hidden) -> [B, C]")
        return rows + _first_state(tensors, parts)
    if conditioning == "concatenated":
        told = 'or "attention", where a context is made'
        rows.append(f'        conditioning="every-step",  # {GAP}: {told}')
        return rows + _first_state(tensors, parts)
    told = 'or "first-token": shapes cannot tell'
    rows.append(f'        conditioning="initial-state",  # {GAP}: {told}')
    state = f"        first_state=lambda memory: memory,  # {GAP}: memory -> [B, H]"
    return rows + (_first_state(tensors, parts) or [state])


def _combined(tensors: Tensors) -> list[str]:
    """Point to what joins a word with the context before the recurrence, as PyTorch's tutorial."""
    place = next((n.rpartition(".")[0] for n in tensors if "attn_combine" in n), None)
    if place is None:
        return []
    return [
        f"        # {GAP}: {place} joins word and context before the recurrence, which this class",
        "        # does not do: capfix diagnose --network FILE:CLASS derives it from the class.",
    ]


def _named_parts(
    embedding: TensorInfo | None, decoder: Decoder, tensors: Tensors, parts: Sequence[str]
) -> list[str]:
    """Name embedding, recurrence and output layer as the checkpoint does."""
    rows = []
    if embedding is not None:
        heads = [t for t in find_heads(tensors, embedding.shape[0]) if t.name != embedding.name]
        word = _place(embedding.name.rpartition(".")[0], parts)
        rows.append(f"        embedding={word},  # {list(embedding.shape)}")
    else:
        heads = []
        rows.append(f"        embedding=network.embedding,  # {GAP}: its name")
    rnn = _place(decoder.recurrent[-1].stack, parts)
    last = decoder.recurrent[-1]
    cells = len({layer.stack for layer in decoder.recurrent})
    several = f"  {GAP}: one of {cells} recurrences, and this class steps one" if cells > 1 else ""
    rows.append(f"        rnn={rnn},  # {last.kind}, {last.width}{several}")
    if heads:
        head = _place(heads[-1].name.rpartition(".")[0], parts)
        rows.append(f"        output={head},  # {list(heads[-1].shape)}")
    else:
        rows.append(f"        output=network.output,  # {GAP}: [B, H] -> [B, V]")
    return rows


def _first_state(tensors: Tensors, parts: Sequence[str]) -> list[str]:
    """Point to layers that are named like makers of the first state."""
    modules = dict.fromkeys(name.rpartition(".")[0] for name in tensors)
    makers = [_place(name, parts) for name in modules if _FIRST_STATE.search(name)][:2]
    if not makers:
        return []
    calls = ", ".join(f"{maker}(memory.mean(1))" for maker in makers)
    state = f"({calls})" if len(makers) > 1 else calls
    return [f"        first_state=lambda memory: {state},  # {GAP}: memory -> the first state"]


def _vocabulary(found: Inspection, hints: Hints) -> list[str]:
    if found.vocabulary is None and hints.words:
        read = f"capfix_cli.load_vocabulary({hints.words!r})"
        return [f"        vocabulary={read},  # {GAP}: the path that {hints.words_from} names"]
    if found.vocabulary is None:
        read = 'capfix_cli.load_vocabulary("words.json")'
        return [f"        vocabulary={read},  # {GAP}: or --vocabulary FILE"]
    names = {name.lower() for name in found.vocabulary.special}
    told = names.intersection(NAMES["bos"]) and names.intersection(NAMES["eos"])
    gap = "" if told else f"  # {GAP}: bos=..., eos=... (names or ids)"
    return [f"        vocabulary=capfix_cli.load_vocabulary(checkpoint),{gap}"]


def _front_end(facts: Mapping[str, Fact], tensors: Tensors) -> list[str]:
    """Name the features as far as something of them is stored; none of them is guessed."""
    rate = _known(facts, "features.sample-rate")
    stored = next(
        (why for why in _evidence(facts, "features.n_fft") if why.split()[0] in tensors), ""
    )
    if stored:  # the network holds its own spectrogram
        gap = f"  # {GAP}: Hz" if rate == "..." else ""
        place = stored.partition(":")[0]
        return [f"        sample_rate={rate},{gap}", f"        # It takes waveforms: {place}."]
    bands = _known(facts, "features.n_mels")
    seen = "; ".join(_evidence(facts, "features.n_mels"))
    if bands == "...":
        guess = facts.get("features.n_mels")
        maybe = f"; perhaps {guess.value} ({seen})" if guess is not None and seen else ""
        seen = f"{GAP}: mel bands{maybe}"
    return [
        f"        # {GAP}: the features of training; wrong ones look like a collapsed model.",
        "        front_end=capfix_cli.LogMelFrontEnd(",
        f"            sample_rate={rate},  # {GAP}: Hz",
        f"            n_fft={_known(facts, 'features.n_fft')},  # {GAP}: samples a window",
        f"            hop_length=...,  # {GAP}: samples between frames",
        f"            n_mels={bands},  # {seen}",
        f'            log=...,  # {GAP}: "ln", "log10", "db" or "none"',
        "        ).to(device),",
    ]


def _known(facts: Mapping[str, Fact], name: str) -> str:
    fact = facts.get(name)
    return (
        "..." if fact is None or fact.value is None or fact.confidence < SURE else str(fact.value)
    )


def _evidence(facts: Mapping[str, Fact], name: str) -> tuple[str, ...]:
    fact = facts.get(name)
    return () if fact is None or fact.value is None else fact.evidence
