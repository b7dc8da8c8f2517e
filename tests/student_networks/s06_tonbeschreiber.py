"""Projektseminar Akustik: Beschreibung von Geräuschen. Wörter gehen als One-Hot in die GRU."""

from pathlib import Path

import soundfile as sf
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchaudio

ABTASTRATE = 22050
ANZAHL_MEL = 40
VERSTECKT = 96
TON_DIM = 48
MAX_LAENGE = 14

VOKABULAR = """<fuell> <anfang> ein eine der die das hund vogel wasser auto motor regen wind tür
kind mann frau bellt singt fließt fährt brummt fällt weht knarrt lacht spricht ruft und dann leise
laut im hintergrund <ende>""".split()
FUELL, ANFANG, ENDE = 0, 1, len(VOKABULAR) - 1


class TonBeschreiber(nn.Module):
    def __init__(self):
        super().__init__()
        anzahl_woerter = len(VOKABULAR)
        self.faltung1 = nn.Conv1d(ANZAHL_MEL, 64, kernel_size=5, padding=2)
        self.faltung2 = nn.Conv1d(64, TON_DIM, kernel_size=5, padding=2)
        self.norm = nn.BatchNorm1d(64)
        self.gru = nn.GRU(anzahl_woerter + TON_DIM, VERSTECKT, num_layers=1, batch_first=True)
        self.ausgabe = nn.Linear(VERSTECKT, anzahl_woerter)
        self.anzahl_woerter = anzahl_woerter

    def kodiere(self, ton):
        # ton: [Stapel, Mel, Zeit]
        x = F.relu(self.norm(self.faltung1(ton)))
        x = F.max_pool1d(x, 2)
        x = self.faltung2(x)
        return torch.tanh(x.mean(dim=2))

    def forward(self, ton, saetze):
        """saetze: [Stapel, Länge] ohne <ende>; Ergebnis [Stapel, Wörter, Länge] für den Verlust"""
        merkmal = self.kodiere(ton)
        woerter = F.one_hot(saetze, self.anzahl_woerter).float()
        merkmal = merkmal.unsqueeze(1).expand(-1, woerter.size(1), -1)
        h, _ = self.gru(torch.cat([woerter, merkmal], dim=2))
        return self.ausgabe(h).permute(0, 2, 1)

    def beschreibe(self, ton, max_laenge=MAX_LAENGE):
        """Gibt für jeden Ton im Stapel einen fertigen Satz zurück."""
        merkmal = self.kodiere(ton)
        stapel = ton.shape[0]
        wort = torch.full((stapel,), ANFANG, dtype=torch.long)
        zustand = None
        alle = []
        for _ in range(max_laenge):
            eingabe = torch.cat([F.one_hot(wort, self.anzahl_woerter).float(), merkmal], dim=1)
            h, zustand = self.gru(eingabe.unsqueeze(1), zustand)
            wort = self.ausgabe(h.squeeze(1)).argmax(dim=1)
            alle.append(wort)
        saetze = []
        for zeile in torch.stack(alle, dim=1):
            satz = []
            for nummer in zeile:
                if nummer == ENDE:
                    break
                if nummer not in (FUELL, ANFANG):
                    satz.append(VOKABULAR[nummer])
            saetze.append(" ".join(satz))
        return saetze


mel_umwandlung = torchaudio.transforms.MelSpectrogram(
    sample_rate=ABTASTRATE, n_fft=1024, hop_length=441, n_mels=ANZAHL_MEL, power=2.0
)


def lade_merkmale(datei):
    signal, rate = sf.read(datei, dtype="float32")
    signal = torch.as_tensor(signal)
    if signal.ndim == 2:
        signal = signal.mean(1)
    signal = signal / (signal.abs().max() + 1e-9)  # auf 1 normieren
    if rate != ABTASTRATE:
        signal = torchaudio.functional.resample(signal, rate, ABTASTRATE)
    mel = torch.log(mel_umwandlung(signal) + 1e-4)
    return (mel - mel.mean()) / mel.std()


def save_checkpoint(path):
    torch.manual_seed(776)
    netz = TonBeschreiber()
    with torch.no_grad():
        netz.faltung1.weight.mul_(1.3)
        netz.faltung2.weight.mul_(1.4)
        netz.gru.weight_ih_l0.mul_(4.9)
        netz.gru.weight_hh_l0.mul_(3.1)
        netz.ausgabe.weight.mul_(22.5)
        netz.ausgabe.bias[ENDE] += 5.0
        netz.ausgabe.bias[[FUELL, ANFANG]] -= 50.0
    torch.save(netz.state_dict(), path)
    Path(path).with_name("vokabular.txt").write_text("\n".join(VOKABULAR), encoding="utf-8")


def reference_captions(checkpoint_path, wav_paths):
    netz = TonBeschreiber()
    netz.load_state_dict(torch.load(checkpoint_path, weights_only=True))
    netz.eval()
    ergebnis = []
    with torch.no_grad():
        for datei in wav_paths:
            ergebnis.extend(netz.beschreibe(lade_merkmale(datei).unsqueeze(0)))
    return ergebnis
