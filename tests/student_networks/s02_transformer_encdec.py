"""Transformer captioning model for Clotho-style data (config driven)."""

import math
from dataclasses import asdict, dataclass

import soundfile as sf
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torchaudio import functional as AF
from torchaudio import transforms as AT

PAD, BOS, EOS = 0, 1, 2


@dataclass
class Config:
    vocab_size: int = 0
    sample_rate: int = 32000
    n_fft: int = 1024
    hop: int = 640
    n_mels: int = 64
    d_model: int = 64
    n_heads: int = 4
    n_layers: int = 2
    d_ff: int = 128
    dropout: float = 0.1
    max_len: int = 22


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, max_len=1000):
        super().__init__()
        pos = torch.arange(max_len).unsqueeze(1)
        div = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(max_len, d_model)
        pe[:, 0::2] = torch.sin(pos * div)
        pe[:, 1::2] = torch.cos(pos * div)
        self.register_buffer("pe", pe.unsqueeze(0))

    def forward(self, x):
        return x + self.pe[:, : x.size(1)]


class AudioTransformer(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.frontend = nn.Sequential(
            nn.Conv1d(cfg.n_mels, cfg.d_model, 5, stride=4, padding=2),
            nn.GELU(),
            nn.Conv1d(cfg.d_model, cfg.d_model, 1),
        )
        self.word_emb = nn.Embedding(cfg.vocab_size, cfg.d_model, padding_idx=PAD)
        self.pos = PositionalEncoding(cfg.d_model)
        layer = nn.TransformerDecoderLayer(
            cfg.d_model, cfg.n_heads, cfg.d_ff, cfg.dropout, batch_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, cfg.n_layers)
        self.classifier = nn.Linear(cfg.d_model, cfg.vocab_size)

    def encode(self, mel, mel_len=None):
        """mel [B, F, T] -> memory [B, T', D], padding mask [B, T'] (True = padding)"""
        memory = self.frontend(mel).transpose(1, 2)
        if mel_len is None:
            return memory, None
        steps = torch.arange(memory.size(1), device=mel.device)
        return memory, steps.unsqueeze(0) >= ((mel_len + 3) // 4).unsqueeze(1)

    def decode(self, tgt, memory, memory_mask=None):
        """tgt [B, L] -> logits [B, L, V]"""
        L = tgt.size(1)
        causal = torch.triu(torch.ones(L, L, dtype=torch.bool, device=tgt.device), diagonal=1)
        x = self.pos(self.word_emb(tgt) * math.sqrt(self.cfg.d_model))
        x = self.decoder(x, memory, tgt_mask=causal, memory_key_padding_mask=memory_mask)
        return self.classifier(x)

    def forward(self, mel, tgt, mel_len=None):
        memory, mask = self.encode(mel, mel_len)
        return self.decode(tgt, memory, mask)


@torch.no_grad()
def greedy_decode(model, mel, mel_len=None, max_len=22):
    """Batched greedy search, returns a LongTensor [B, <=max_len+1] starting with BOS."""
    memory, mask = model.encode(mel, mel_len)
    ys = torch.full((mel.size(0), 1), BOS, dtype=torch.long, device=mel.device)
    finished = torch.zeros(mel.size(0), dtype=torch.bool, device=mel.device)
    for _ in range(max_len):
        logits = model.decode(ys, memory, mask)[:, -1]
        nxt = logits.argmax(-1).masked_fill(finished, PAD)
        ys = torch.cat([ys, nxt.unsqueeze(1)], dim=1)
        finished |= nxt == EOS
        if finished.all():
            break
    return ys


def load_mel(path, cfg):
    data, sr = sf.read(path, dtype="float32", always_2d=True)
    wav = AF.resample(torch.from_numpy(data).mean(1), sr, cfg.sample_rate)
    spec = AT.MelSpectrogram(
        cfg.sample_rate, cfg.n_fft, hop_length=cfg.hop, f_min=50, f_max=14000, n_mels=cfg.n_mels
    )(wav)
    return (AT.AmplitudeToDB(top_db=80.0)(spec) + 30.0) / 20.0  # [F, T]


def save_checkpoint(path):
    torch.manual_seed(870)
    words = """a an is are and of the with people talking bird chirping dog barking water running
    car driving by engine humming rain falling wind blowing door closing metal clanking footsteps
    walking gravel machine buzzing crowd cheering music playing""".split()
    word2idx = {"<pad>": 0, "<bos>": 1, "<eos>": 2}
    for w in words:
        word2idx[w] = len(word2idx)
    cfg = Config(vocab_size=len(word2idx))
    model = AudioTransformer(cfg)
    with torch.no_grad():
        for layer in model.decoder.layers:
            layer.multihead_attn.in_proj_weight.mul_(6.0)
            layer.multihead_attn.out_proj.weight.mul_(0.9)
            layer.linear2.weight.mul_(2.5)
        model.word_emb.weight.mul_(0.1)
        model.classifier.bias[EOS] += 0.5
        model.classifier.bias[[PAD, BOS]] -= 10
    torch.save({"model": model.state_dict(), "config": asdict(cfg), "word2idx": word2idx}, path)


def reference_captions(checkpoint_path, wav_paths, batch_size=4):
    ckpt = torch.load(checkpoint_path, map_location="cpu")
    cfg = Config(**ckpt["config"])
    model = AudioTransformer(cfg)
    model.load_state_dict(ckpt["model"])
    model.eval()
    idx2word = {i: w for w, i in ckpt["word2idx"].items()}
    captions = []
    for start in range(0, len(wav_paths), batch_size):
        mels = [load_mel(p, cfg).T for p in wav_paths[start : start + batch_size]]
        lens = torch.tensor([m.size(0) for m in mels])
        batch = pad_sequence(mels, batch_first=True).transpose(1, 2)
        for row in greedy_decode(model, batch, lens, cfg.max_len).tolist():
            captions.append(" ".join(idx2word[i] for i in row if i > EOS))
    return captions
