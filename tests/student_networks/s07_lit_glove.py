"""LightningModule-like training code, fixed word vectors, waveform in, mel inside the network."""

import json
import os

import soundfile as sf
import torch
import torchaudio
from torch import nn

PAD_ID, START_ID, END_ID, UNK_ID = range(4)


class WaveCaptionNet(nn.Module):
    """Raw 16 kHz audio [B, samples] -> words. The word vectors are a buffer, never trained."""

    def __init__(self, word_vectors, hidden=96, n_mels=48, tie=False):
        super().__init__()
        self.mel = torchaudio.transforms.MelSpectrogram(16000, 400, hop_length=160, n_mels=n_mels)
        self.to_db = torchaudio.transforms.AmplitudeToDB()
        self.encoder = nn.Sequential(
            nn.Conv1d(n_mels, 64, 7, stride=4),
            nn.LeakyReLU(0.1),
            nn.Conv1d(64, hidden, 7, stride=4),
            nn.LeakyReLU(0.1),
        )
        self.register_buffer("word_vectors", word_vectors)
        self.gru = nn.GRUCell(word_vectors.size(1), hidden)
        self.out = nn.Linear(hidden, word_vectors.size(0))

    def embed_audio(self, wav):
        x = (self.to_db(self.mel(wav)) + 40.0) / 40.0
        return self.encoder(x).amax(dim=-1).tanh()

    def forward(self, wav, captions):
        """captions [B, L] start with <start>; logits [B, L, V] (targets = captions shifted)."""
        h = self.embed_audio(wav)
        logits = []
        for t in range(captions.size(1)):
            h = self.gru(self.word_vectors[captions[:, t]], h)
            logits.append(self.out(h))
        return torch.stack(logits, 1)

    @torch.no_grad()
    def generate(self, wav, max_length=16):
        """Batched greedy search -> list of id lists without <start>/<end>."""
        h = self.embed_audio(wav)
        current = torch.full((wav.size(0),), START_ID, dtype=torch.long, device=wav.device)
        sentences = [[] for _ in range(wav.size(0))]
        done = [False] * wav.size(0)
        for _ in range(max_length):
            h = self.gru(self.word_vectors[current], h)
            current = self.out(h).argmax(1)
            for i, token in enumerate(current.tolist()):
                if token == END_ID:
                    done[i] = True
                if not done[i]:
                    sentences[i].append(token)
            if all(done):
                break
        return sentences


class LitCaptioner(nn.Module):
    """Would inherit from pl.LightningModule in train.py; only the names matter for loading."""

    def __init__(self, vocab_file="vocab.json", vector_dim=50, hidden=96, n_mels=48, lr=1e-3):
        super().__init__()
        self.hparams = dict(vector_dim=vector_dim, hidden=hidden, n_mels=n_mels, lr=lr)
        with open(vocab_file) as f:
            self.vocab = json.load(f)
        vectors = torch.zeros(len(self.vocab), vector_dim)  # filled from GloVe / the checkpoint
        self.net = WaveCaptionNet(vectors, hidden, n_mels)
        self.criterion = nn.CrossEntropyLoss(ignore_index=PAD_ID)

    def forward(self, wav, captions):
        return self.net(wav, captions)

    def training_step(self, batch, batch_idx):
        wav, captions = batch
        logits = self(wav, captions[:, :-1])
        return self.criterion(logits.flatten(0, 1), captions[:, 1:].flatten())


def load_wave(path, seconds=5.0, rate=16000):
    audio, sr = sf.read(path, dtype="float32", always_2d=True)
    audio = torchaudio.functional.resample(torch.from_numpy(audio.T.copy()), sr, rate).mean(0)
    n = int(seconds * rate)
    audio = audio[:n]
    return nn.functional.pad(audio, (0, n - audio.numel()))


def save_checkpoint(path):
    g = torch.Generator().manual_seed(776)
    torch.manual_seed(776)
    words = """<pad> <start> <end> <unk> a an two people person crowd river stream fire helicopter
    truck horn bee fly pig rooster crows crackles flies honks snorts chatters applauds drips
    splashes hums outdoors indoors nearby constantly suddenly again as with""".split()
    vocab = {w: i for i, w in enumerate(words)}
    vocab_file = os.path.join(os.path.dirname(path), "vocab.json")
    with open(vocab_file, "w") as f:
        json.dump(vocab, f)
    lit = LitCaptioner(vocab_file)
    net = lit.net
    net.word_vectors.copy_(torch.randn(net.word_vectors.shape, generator=g))
    with torch.no_grad():
        for layer in (net.encoder[0], net.encoder[2]):
            layer.weight.mul_(2.4)
        net.gru.weight_hh.mul_(4.7)
        net.gru.weight_ih.mul_(3.0)
        net.out.weight.mul_(5.2)
        net.out.bias[END_ID] += 1.5
        net.out.bias[[PAD_ID, START_ID, UNK_ID]] = -30.0
    ckpt = {"epoch": 9, "global_step": 4200, "pytorch-lightning_version": "2.1.0"}
    ckpt["state_dict"] = lit.state_dict()  # keys start with "net."
    ckpt["hyper_parameters"] = lit.hparams
    torch.save(ckpt, path)


def reference_captions(checkpoint_path, wav_paths):
    ckpt = torch.load(checkpoint_path, map_location="cpu", weights_only=True)
    vocab_file = os.path.join(os.path.dirname(checkpoint_path), "vocab.json")
    lit = LitCaptioner(vocab_file, **ckpt["hyper_parameters"])
    lit.load_state_dict(ckpt["state_dict"])
    lit.eval()
    names = {i: w for w, i in lit.vocab.items()}
    batch = torch.stack([load_wave(p) for p in wav_paths])
    return [" ".join(names[i] for i in ids) for ids in lit.net.generate(batch)]
