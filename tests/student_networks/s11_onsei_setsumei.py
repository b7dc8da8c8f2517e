"""Onsei (oto) kara setsumei-bun wo tsukuru. GRU + Luong attention, scheduled sampling ari."""

import json
import random

import numpy as np
import soundfile as sf
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchaudio

SHUUHASUU = 32000  # sampling rate
MERU_SUU = 128  # mel bands
SAIDAI_NAGASA = 20  # max length


class OtoEncoder(nn.Module):
    def __init__(self, meru_suu, kakure):
        super().__init__()
        self.tatamikomi = nn.Conv1d(meru_suu, kakure, kernel_size=4, stride=4)
        self.gru = nn.GRU(kakure, kakure, batch_first=True)

    def forward(self, oto):
        x = torch.tanh(self.tatamikomi(oto)).transpose(1, 2)
        return self.gru(x)


class LuongAttention(nn.Module):
    def __init__(self, kakure):
        super().__init__()
        self.W = nn.Linear(kakure, kakure, bias=False)

    def forward(self, h, oto_tokuchou):
        score = torch.bmm(oto_tokuchou, self.W(h).unsqueeze(2)).squeeze(2)
        omomi = F.softmax(score, dim=1)
        return torch.bmm(omomi.unsqueeze(1), oto_tokuchou).squeeze(1)


class OtoSetsumei(nn.Module):
    def __init__(self, tango_suu, umekomi=56, kakure=80, meru_suu=MERU_SUU, hajime=1):
        super().__init__()
        self.hajime = hajime
        self.tango_suu = tango_suu
        self.encoder = OtoEncoder(meru_suu, kakure)
        self.attention = LuongAttention(kakure)
        self.umekomi = nn.Embedding(tango_suu, umekomi)
        self.gru = nn.GRUCell(umekomi, kakure)
        self.ketsugou = nn.Linear(kakure * 2, kakure)
        self.shutsuryoku = nn.Linear(kakure, tango_suu)

    def ichi_ho(self, tango, h, oto_tokuchou):
        """one step: word ids [B] -> logits [B, V], new state"""
        h = self.gru(self.umekomi(tango), h)
        bunmyaku = self.attention(h, oto_tokuchou)
        x = torch.tanh(self.ketsugou(torch.cat([bunmyaku, h], dim=1)))
        return self.shutsuryoku(x), h

    def forward(self, oto, seikai, teacher_forcing_ratio=0.5):
        # oto: [B, F, T], seikai: [B, L] (seikai[:, 0] = <BOS>)
        oto_tokuchou, h = self.encoder(oto)
        h = h[-1]
        B, L = seikai.shape
        kekka = torch.zeros(B, self.tango_suu, L - 1, device=oto.device)
        tango = seikai[:, 0]
        for i in range(L - 1):
            logits, h = self.ichi_ho(tango, h, oto_tokuchou)
            kekka[:, :, i] = logits
            if random.random() < teacher_forcing_ratio:
                tango = seikai[:, i + 1]
            else:
                tango = logits.argmax(dim=1)
        return kekka  # [B, V, L-1]

    def generate(self, oto, vocab):
        """vocab: dict tango -> bangou. Returns a list of sentences."""
        gyaku = {v: k for k, v in vocab.items()}
        with torch.no_grad():
            oto_tokuchou, h = self.encoder(oto)
            h = h[-1]
            tango = torch.LongTensor([vocab["<BOS>"]] * oto.size(0)).to(oto.device)
            bun = [[] for _ in range(oto.size(0))]
            owari = np.zeros(oto.size(0), dtype=bool)
            for _ in range(SAIDAI_NAGASA):
                logits, h = self.ichi_ho(tango, h, oto_tokuchou)
                tango = logits.argmax(dim=1)
                for b, bangou in enumerate(tango.cpu().numpy()):
                    if gyaku[int(bangou)] == "<EOS>":
                        owari[b] = True
                    elif not owari[b]:
                        bun[b].append(gyaku[int(bangou)])
                if owari.all():
                    break
        return [" ".join(b) for b in bun]


def logmel_wo_tsukuru(path):
    hakei, fs = sf.read(path, dtype="float32")
    if hakei.ndim > 1:
        hakei = hakei.mean(axis=1)
    hakei = torch.from_numpy(hakei)
    if fs != SHUUHASUU:
        hakei = torchaudio.transforms.Resample(fs, SHUUHASUU)(hakei)
    meru = torchaudio.transforms.MelSpectrogram(
        sample_rate=SHUUHASUU, n_fft=2048, hop_length=1000, f_min=20.0, n_mels=MERU_SUU
    )(hakei)
    meru = torchaudio.functional.amplitude_to_DB(meru, 10.0, 1e-10, 0.0, top_db=80.0)
    return (meru - meru.mean(dim=1, keepdim=True).mean()) / 20.0


def save_checkpoint(path):
    torch.manual_seed(362)
    tango = """ame ga futte iru kaze fuku inu hoeru neko naku tori saezuru kuruma hashiru densha
    tooru hito hanasu kodomo warau nami no oto suru tooku de chikaku kane naru mizu nagareru to
    soshite shizuka ookii chiisai""".split()
    vocab = {"<PAD>": 0, "<BOS>": 1, "<EOS>": 2, "<UNK>": 3}
    vocab.update({w: i + 4 for i, w in enumerate(tango)})
    model = OtoSetsumei(len(vocab))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() >= 2 and not name.startswith("umekomi"):
                p *= 3.0
        model.shutsuryoku.bias[2] += 1.0
        model.shutsuryoku.bias[[0, 1, 3]] -= 30.0
    settei = {"umekomi": 56, "kakure": 80, "meru_suu": MERU_SUU}
    torch.save({"net": model.state_dict(), "vocab": json.dumps(vocab), "settei": settei}, path)


def reference_captions(checkpoint_path, wav_paths):
    data = torch.load(checkpoint_path, map_location="cpu")
    vocab = json.loads(data["vocab"])
    model = OtoSetsumei(len(vocab), **data["settei"])
    model.load_state_dict(data["net"])
    model.eval()
    kekka = []
    for path in wav_paths:
        kekka += model.generate(logmel_wo_tsukuru(path).unsqueeze(0), vocab)
    return kekka
