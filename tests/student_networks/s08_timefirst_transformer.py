"""TransformerDecoder in PyTorch's default time-first layout, vocabulary object in the model."""

import math
from collections import Counter

import soundfile as sf
import torch
import torch.nn as nn
import torchaudio

TRAIN_TEXT = """a gate opens with a loud squeak
a squeak is followed by a bang
glass is falling on a stone floor
someone whistles a tune in an empty room
steam escapes from the kettle at a high pitch
the old elevator moves and beeps twice
coins drop into a tin box
a spoon stirs hot tea in a cup"""


class Vocab:
    def __init__(self, specials=("<unk>", "<pad>", "<bos>", "<eos>")):
        self.itos = list(specials)
        self.stoi = {w: i for i, w in enumerate(self.itos)}

    @classmethod
    def build(cls, text, min_freq=1):
        vocab = cls()
        for word, freq in sorted(Counter(text.split()).items(), key=lambda x: (-x[1], x[0])):
            if freq >= min_freq:
                vocab.stoi[word] = len(vocab.itos)
                vocab.itos.append(word)
        return vocab

    def __len__(self):
        return len(self.itos)

    def __getitem__(self, token):
        return self.stoi.get(token, 0)

    def lookup_tokens(self, ids):
        return [self.itos[i] for i in ids]


class CaptionTransformer(nn.Module):
    def __init__(self, vocab, n_mels=64, d_model=72, nhead=6, num_layers=1, dim_ff=144):
        super().__init__()
        self.vocab = vocab
        self.d_model = d_model
        self.pad_idx = vocab["<pad>"]
        self.audio_proj = nn.Linear(n_mels, d_model)
        self.audio_rnn = nn.GRU(d_model, d_model)  # time first too
        self.tok_emb = nn.Embedding(len(vocab), d_model)
        self.pos_emb = nn.Parameter(torch.randn(64, 1, d_model) * 0.5)
        layer = nn.TransformerDecoderLayer(d_model, nhead, dim_ff, dropout=0.2)
        self.transformer_decoder = nn.TransformerDecoder(layer, num_layers)
        self.generator = nn.Linear(d_model, len(vocab))

    def encode(self, mel):
        # mel [B, F, T] -> [T/4, B, D]
        x = mel.permute(2, 0, 1)
        x = torch.relu(self.audio_proj(x))
        x, _ = self.audio_rnn(x[::4])
        return x

    def forward(self, mel, tgt):
        """tgt: [L, B] token ids (already shifted right); returns [L, B, vocab]."""
        memory = self.encode(mel)
        return self.generator(self.run_decoder(tgt, memory))

    def run_decoder(self, tgt, memory):
        seq_len = tgt.size(0)
        mask = torch.triu(torch.full((seq_len, seq_len), float("-inf")), diagonal=1)
        emb = self.tok_emb(tgt) * math.sqrt(self.d_model) * 0.1 + self.pos_emb[:seq_len]
        pad_mask = torch.zeros(tgt.shape).masked_fill(tgt == self.pad_idx, float("-inf")).t()
        return self.transformer_decoder(
            emb, memory, tgt_mask=mask.to(tgt.device), tgt_key_padding_mask=pad_mask.to(tgt.device)
        )

    @torch.inference_mode()
    def caption(self, mel, vocab=None, max_words=18):
        vocab = vocab or self.vocab
        memory = self.encode(mel)
        tgt = torch.full((1, mel.size(0)), vocab["<bos>"], dtype=torch.long)
        for _ in range(max_words):
            scores = self.generator(self.run_decoder(tgt, memory)[-1])
            tgt = torch.cat([tgt, scores.argmax(-1, keepdim=True).t()], dim=0)
        texts = []
        for ids in tgt.t().tolist():
            tokens = vocab.lookup_tokens(ids[1:])
            if "<eos>" in tokens:
                tokens = tokens[: tokens.index("<eos>")]
            texts.append(" ".join(t for t in tokens if not t.startswith("<")))
        return texts


class LogMel:
    def __init__(self, sample_rate=44100, n_mels=64):
        self.sample_rate = sample_rate
        self.mel = torchaudio.transforms.MelSpectrogram(
            sample_rate,
            n_fft=2048,
            hop_length=1024,
            n_mels=n_mels,
            norm="slaney",
            mel_scale="slaney",
        )

    def __call__(self, path):
        x, sr = sf.read(path, dtype="float32")
        x = torch.from_numpy(x)
        x = x.mean(-1) if x.dim() > 1 else x
        x = torchaudio.functional.resample(x, sr, self.sample_rate)
        m = 10 * torch.log10(self.mel(x).clamp_min(1e-10))
        return ((m - m.amax()).clamp_min(-80.0) + 40.0) / 20.0


def save_checkpoint(path):
    torch.manual_seed(803)
    vocab = Vocab.build(TRAIN_TEXT)
    model = CaptionTransformer(vocab)
    with torch.no_grad():
        model.audio_proj.weight.mul_(8.7)
        for p in model.audio_rnn.parameters():
            p.mul_(11.6)
        for layer in model.transformer_decoder.layers:
            layer.multihead_attn.out_proj.weight.mul_(2.9)
            layer.linear2.weight.mul_(6.8)
        model.generator.bias[vocab["<eos>"]] += 1.0
        for w in ("<unk>", "<pad>", "<bos>"):
            model.generator.bias[vocab[w]] -= 20.0
    torch.save({"model_state": model.state_dict(), "itos": vocab.itos, "n_mels": 64}, path)


def reference_captions(checkpoint_path, wav_paths):
    ckpt = torch.load(checkpoint_path, map_location="cpu")
    vocab = Vocab(specials=ckpt["itos"])
    model = CaptionTransformer(vocab, n_mels=ckpt["n_mels"])
    model.load_state_dict(ckpt["model_state"])
    model.eval()
    logmel = LogMel(n_mels=ckpt["n_mels"])
    return [model.caption(logmel(p)[None])[0] for p in wav_paths]
