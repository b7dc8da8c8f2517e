"""Praktikum Maschinelles Hören: Geräusche in englischen Sätzen beschreiben."""

from pathlib import Path

import numpy as np
import soundfile
import torch
import torch.nn as nn
import torchaudio

ABTASTRATE = 16000
MEL_BAENDER = 40
MAX_WOERTER = 16
SONDERZEICHEN = ["<leer>", "<anfang>", "<ende>", "<unbekannt>"]
WOERTER = (
    SONDERZEICHEN
    + (
        "a an the dog barks cat hisses baby screams woman sighs man whistles clock ticking coins "
        "jingle keys rattle on table door slams window shuts vacuum cleaner hair dryer shower bath "
        "tub fills"
    ).split()
)

mel_filter = torchaudio.transforms.MelSpectrogram(
    ABTASTRATE, n_fft=1024, hop_length=400, n_mels=MEL_BAENDER, center=False
)


def merkmale(pfad):
    """Liest eine Datei und gibt das Mel-Spektrogramm [F, T] zurück."""
    ton, rate = soundfile.read(pfad, dtype="float32")
    if ton.ndim > 1:
        ton = ton.mean(axis=1)
    ton = torch.from_numpy(ton)
    if rate != ABTASTRATE:
        ton = torchaudio.functional.resample(ton, rate, ABTASTRATE)
    spektrum = torch.log(mel_filter(ton) + 1e-4)
    return spektrum / 5.0


class Kodierer(nn.Module):
    def __init__(self, baender, kanaele, ausgabe):
        super().__init__()
        self.faltung1 = nn.Conv1d(baender, kanaele, 5, padding=2)
        self.faltung2 = nn.Conv1d(kanaele, ausgabe, 5, padding=2)
        self.pool = nn.MaxPool1d(4)

    def forward(self, mel):
        x = self.pool(torch.relu(self.faltung1(mel)))
        x = torch.tanh(self.faltung2(x))
        return torch.max(x, dim=2)[0]  # Maximum über die Zeit


class Dekodierer(nn.Module):
    def __init__(self, anzahl_woerter, einbettung, versteckt):
        super().__init__()
        self.einbettung = nn.Embedding(anzahl_woerter, einbettung, padding_idx=0)
        self.gru = nn.GRU(einbettung, versteckt, batch_first=True)
        self.ausgabe = nn.Linear(versteckt, anzahl_woerter)

    def forward(self, woerter, zustand):
        y, zustand = self.gru(self.einbettung(woerter), zustand)
        return self.ausgabe(y), zustand


class GeraeuschBeschreiber(nn.Module):
    def __init__(self, anzahl_woerter=len(WOERTER), versteckt=96):
        super().__init__()
        self.kodierer = Kodierer(MEL_BAENDER, 48, 64)
        self.bruecke = nn.Linear(64, versteckt)
        self.dekodierer = Dekodierer(anzahl_woerter, 48, versteckt)

    def anfangszustand(self, mel):
        return torch.tanh(self.bruecke(self.kodierer(mel))).unsqueeze(0)

    def forward(self, mel, saetze):
        # mel [B, F, T], saetze [B, L] mit <anfang> vorne
        logits, _ = self.dekodierer(saetze, self.anfangszustand(mel))
        return logits

    def beschreibe(self, mel, woerterliste):
        """mel [F, T] -> Liste von Wörtern"""
        self.eval()
        satz = []
        with torch.no_grad():
            zustand = self.anfangszustand(mel.unsqueeze(0))
            wort = woerterliste.index("<anfang>")
            for _ in range(MAX_WOERTER):
                logits, zustand = self.dekodierer(torch.tensor([[wort]]), zustand)
                wort = int(np.argmax(logits[0, -1].cpu().numpy()))
                if woerterliste[wort] == "<ende>":
                    break
                satz.append(woerterliste[wort])
        return satz


def save_checkpoint(path):
    torch.manual_seed(7)
    netz = GeraeuschBeschreiber()
    for gewicht in netz.parameters():
        gewicht.data *= 2.0
    netz.bruecke.weight.data *= 2.0
    netz.dekodierer.ausgabe.bias.data[2] += 0.3
    torch.save(netz.state_dict(), path)
    woerterdatei = Path(path).parent / "woerter.txt"
    woerterdatei.write_text("\n".join(WOERTER) + "\n", encoding="utf-8")


def reference_captions(checkpoint_path, wav_paths):
    woerterdatei = Path(checkpoint_path).parent / "woerter.txt"
    woerterliste = woerterdatei.read_text(encoding="utf-8").split()
    netz = GeraeuschBeschreiber(len(woerterliste))
    netz.load_state_dict(torch.load(checkpoint_path, map_location="cpu"))
    saetze = []
    for pfad in wav_paths:
        satz = netz.beschreibe(merkmale(pfad), woerterliste)
        saetze.append(" ".join(w for w in satz if w not in SONDERZEICHEN))
    return saetze
