"""wav2caption: Conv1d front end on the waveform, Transformer decoder on top."""

import argparse
from argparse import Namespace

import numpy as np
import soundfile as sf
import torch
import torch.nn as nn
import torchaudio.functional as AF

TOKENS = ["[PAD]", "[BOS]", "[EOS]", "[UNK]"] + (
    "a cat purrs phone rings an alarm beeps fast slow someone zips up bag paper crumples fire "
    "crackles fireworks explode gun shots plane takes off subway stops basketball bounces skate "
    "board rolls near far"
).split()
TOK2ID = {t: i for i, t in enumerate(TOKENS)}


def load_wav(path, sr=16000):
    wav, orig_sr = sf.read(path, dtype="float32")
    if wav.ndim == 2:
        wav = np.mean(wav, axis=-1)
    wav = torch.from_numpy(wav)
    if orig_sr != sr:
        wav = AF.resample(wav, orig_sr, sr)
    return wav


class ConvFrontend(nn.Module):
    def __init__(self, dim):
        super().__init__()
        # strides 10 * 8 * 4 * 4 * 2 = 2560 samples per step
        spec = [(1, 32, 10, 10), (32, 32, 8, 8), (32, 48, 4, 4), (48, 48, 4, 4), (48, dim, 2, 2)]
        blocks = []
        for cin, cout, k, s in spec:
            blocks.append(
                nn.Sequential(nn.Conv1d(cin, cout, k, s), nn.GroupNorm(1, cout), nn.GELU())
            )
        self.blocks = nn.ModuleList(blocks)

    def forward(self, wav):
        x = wav.unsqueeze(1)
        for block in self.blocks:
            x = block(x)
        return x.transpose(1, 2)


class Wav2Caption(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.args = args
        self.frontend = ConvFrontend(args.dim)
        self.tok = nn.Embedding(args.vocab_size, args.dim)
        self.pos = nn.Parameter(torch.randn(1, args.max_len, args.dim) * 0.5)
        layer = nn.TransformerDecoderLayer(
            args.dim, args.heads, args.ffn, args.dropout, batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, args.layers, norm=nn.LayerNorm(args.dim))
        self.head = nn.Linear(args.dim, args.vocab_size)

    def forward(self, wav, tokens):
        memory = self.frontend(wav)
        L = tokens.shape[1]
        mask = torch.triu(torch.ones(L, L, dtype=torch.bool, device=wav.device), diagonal=1)
        x = self.tok(tokens) + self.pos[:, :L]
        x = self.decoder(x, memory, tgt_mask=mask, tgt_key_padding_mask=tokens == 0)
        return self.head(x)

    @torch.inference_mode()
    def generate(self, wav, max_new_tokens=16):
        """wav: [B, samples] -> list of B strings"""
        tokens = torch.full((wav.shape[0], 1), TOK2ID["[BOS]"], device=wav.device)
        for _ in range(max_new_tokens):
            logits = self(wav, tokens)[:, -1]
            logits[:, [0, 1]] = -float("inf")  # never pad or bos
            tokens = torch.cat([tokens, logits.argmax(-1, keepdim=True)], dim=1)
            if (tokens == TOK2ID["[EOS]"]).any(dim=1).all():
                break
        texts = []
        for seq in tokens[:, 1:].tolist():
            if TOK2ID["[EOS]"] in seq:
                seq = seq[: seq.index(TOK2ID["[EOS]"])]
            texts.append(" ".join(TOKENS[i] for i in seq if i > 3))
        return texts


def get_parser():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--ffn", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--max_len", type=int, default=32)
    parser.add_argument("--vocab_size", type=int, default=len(TOKENS))
    parser.add_argument("--lr", type=float, default=3e-4)
    return parser


def save_checkpoint(path):
    torch.manual_seed(2)
    args = get_parser().parse_args([])
    model = Wav2Caption(args)
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                p.mul_(2.0)
        model.tok.weight.mul_(0.25)
        model.head.bias[TOK2ID["[EOS]"]] += 0.5
    torch.save({"args": args, "model": model.state_dict(), "step": 20000}, path)


def reference_captions(checkpoint_path, wav_paths):
    ckpt = torch.load(checkpoint_path, map_location="cpu", weights_only=False)
    args = ckpt["args"]
    assert isinstance(args, Namespace)
    model = Wav2Caption(args)
    model.load_state_dict(ckpt["model"])
    model.eval()
    captions = []
    for path in wav_paths:
        captions += model.generate(load_wav(path)[None, :])
    return captions
