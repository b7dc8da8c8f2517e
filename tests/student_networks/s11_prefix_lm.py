"""GPT-like captioner: audio tokens are a prefix, words follow (nanoGPT flavoured)."""

import json
import os
from dataclasses import asdict, dataclass

import soundfile as sf
import torch
import torch.nn as nn
import torchaudio
from torch.nn import functional as F

ALL_WORDS = (
    "a the in of and man child speaks whispers shouts dog growls pants sniffs horse gallops hooves "
    "clop bicycle spokes spin train horn sounds approaching fading away busy station announcement "
    "faint echoing"
).split()


@dataclass
class CaptionerConfig:
    n_mels: int = 64
    patch: int = 8  # mel frames in one audio token
    n_embd: int = 64
    n_head: int = 4
    n_layer: int = 2
    block_size: int = 64
    vocab_size: int = 40
    dropout: float = 0.1


def get_mel(path, config):
    wav, sr = sf.read(path, dtype="float32")
    wav = torch.from_numpy(wav)
    if wav.ndim > 1:
        wav = wav.mean(-1)
    if sr != 16000:
        wav = torchaudio.functional.resample(wav, sr, 16000)
    mel = torchaudio.transforms.MelSpectrogram(
        16000, n_fft=1024, hop_length=320, n_mels=config.n_mels, f_min=50, f_max=7600
    )(wav)
    return (torch.log(mel.clamp_min(1e-5)) + 5.0) / 5.0  # n_mels x frames


class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.n_head = config.n_head

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(C, dim=2)
        q, k, v = (t.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd)
        self.mlp = nn.Sequential(
            nn.Linear(config.n_embd, 2 * config.n_embd),
            nn.GELU(),
            nn.Linear(2 * config.n_embd, config.n_embd),
            nn.Dropout(config.dropout),
        )

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class PrefixCaptioner(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.audio_in = nn.Conv1d(config.n_mels, config.n_embd, config.patch, stride=config.patch)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layer)])
        self.ln_f = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size)

    def forward(self, mel, tokens):
        # mel (B, n_mels, frames), tokens (B, T) -> logits (B, T, vocab_size)
        audio = self.audio_in(mel).transpose(1, 2)
        x = torch.cat([audio, self.wte(tokens)], dim=1)
        pos = torch.arange(x.size(1), device=x.device)
        assert x.size(1) <= self.config.block_size, "sequence too long"
        x = x + self.wpe(pos)
        for block in self.blocks:
            x = block(x)
        x = self.ln_f(x[:, audio.size(1) :])
        return self.lm_head(x)

    @torch.no_grad()
    def generate(self, mel, bos, eos, max_new_tokens=16, temperature=0.0):
        tokens = torch.full((mel.size(0), 1), bos, dtype=torch.long, device=mel.device)
        for _ in range(max_new_tokens):
            logits = self(mel, tokens)[:, -1, :]
            if temperature > 0:
                probs = F.softmax(logits / temperature, dim=-1)
                nxt = torch.multinomial(probs, num_samples=1)
            else:
                nxt = torch.argmax(logits, dim=-1, keepdim=True)
            tokens = torch.cat((tokens, nxt), dim=1)
            if mel.size(0) == 1 and nxt.item() == eos:
                break
        return tokens


def save_checkpoint(path):
    torch.manual_seed(1)
    vocab = {w: i for i, w in enumerate(["<|pad|>", "<|bos|>", "<|eos|>"] + ALL_WORDS)}
    config = CaptionerConfig(vocab_size=len(vocab))
    model = PrefixCaptioner(config)
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() >= 2:
                p.mul_(2.0)
        model.wte.weight.mul_(0.3)
        model.wpe.weight.mul_(0.3)
        model.lm_head.bias[2] += 0.5
    torch.save({"model": model.state_dict(), "model_args": asdict(config)}, path)
    with open(os.path.join(os.path.dirname(path), "vocab.json"), "w") as f:
        json.dump(vocab, f)


def reference_captions(checkpoint_path, wav_paths):
    ckpt = torch.load(checkpoint_path, map_location="cpu")
    with open(os.path.join(os.path.dirname(checkpoint_path), "vocab.json")) as f:
        vocab = json.load(f)
    itos = {i: w for w, i in vocab.items()}
    config = CaptionerConfig(**ckpt["model_args"])
    model = PrefixCaptioner(config)
    model.load_state_dict(ckpt["model"])
    model.eval()
    captions = []
    for path in wav_paths:
        mel = get_mel(path, config).unsqueeze(0)
        out = model.generate(mel, vocab["<|bos|>"], vocab["<|eos|>"])[0].tolist()
        captions.append(" ".join(itos[i] for i in out if not itos[i].startswith("<|")))
    return captions
