"""Audio captioning, CNN encoder + LSTM decoder (baseline of the course project)."""

import numpy as np
import soundfile as sf
import torch
import torch.nn as nn
import torchaudio

SAMPLE_RATE = 16000
N_FFT = 1024
HOP_LENGTH = 512
N_MELS = 64
MAX_LEN = 20

WORDS = (
    "a the is and of in with on dog cat bird man woman people car engine train rain wind water "
    "barking singing talking speaking running passing blowing falling chirping loudly quietly "
    "background while then street music door"
).split()

word2idx = {"<pad>": 0, "<start>": 1, "<end>": 2, "<unk>": 3}
for w in WORDS:
    word2idx[w] = len(word2idx)

mel_transform = torchaudio.transforms.MelSpectrogram(
    sample_rate=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP_LENGTH, n_mels=N_MELS
)
to_db = torchaudio.transforms.AmplitudeToDB(top_db=80)


def extract_mel(wav_path):
    audio, sr = sf.read(wav_path, dtype="float32")
    if audio.ndim > 1:
        audio = np.mean(audio, axis=1)
    audio = torch.from_numpy(audio)
    if sr != SAMPLE_RATE:
        audio = torchaudio.functional.resample(audio, sr, SAMPLE_RATE)
    mel = to_db(mel_transform(audio))  # [F, T]
    mel = (mel - mel.mean()) / (mel.std() + 1e-6)
    return mel.t().unsqueeze(0)  # [1, T, F]


class AudioCaptioner(nn.Module):
    def __init__(self, vocab_size, embed_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.cnn = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d((1, 4)),
        )
        self.fc_h = nn.Linear(64 * 4, hidden_size)
        self.fc_c = nn.Linear(64 * 4, hidden_size)
        self.embedding = nn.Embedding(vocab_size, embed_size, padding_idx=0)
        self.lstm = nn.LSTM(embed_size, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(0.3)
        self.fc_out = nn.Linear(hidden_size, vocab_size)

    def encode(self, mel):
        x = self.cnn(mel)
        x = x.flatten(1)
        h0 = torch.tanh(self.fc_h(x)).unsqueeze(0)
        c0 = torch.tanh(self.fc_c(x)).unsqueeze(0)
        return h0, c0

    def forward(self, mel, captions):
        # captions: [B, L] with <start> ... <end>, teacher forcing
        h0, c0 = self.encode(mel)
        emb = self.dropout(self.embedding(captions[:, :-1]))
        out, _ = self.lstm(emb, (h0, c0))
        return self.fc_out(self.dropout(out))  # [B, L-1, vocab]

    @torch.no_grad()
    def generate(self, mel, max_len=20):
        self.eval()
        batch_size = mel.size(0)
        state = self.encode(mel)
        token = torch.full((batch_size, 1), 1, dtype=torch.long, device=mel.device)
        result = []
        for _ in range(max_len):
            out, state = self.lstm(self.embedding(token), state)
            logits = self.fc_out(out[:, -1])
            token = logits.argmax(dim=-1, keepdim=True)
            result.append(token)
        return torch.cat(result, dim=1)


def save_checkpoint(path):
    torch.manual_seed(4)
    model = AudioCaptioner(len(word2idx), 64, 128)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2.0)
        model.fc_h.weight.mul_(2.0)
        model.fc_out.bias[2] += 0.3
    torch.save({"model_state_dict": model.state_dict(), "word2idx": word2idx, "epoch": 30}, path)


def reference_captions(checkpoint_path, wav_paths):
    ckpt = torch.load(checkpoint_path, map_location="cpu")
    w2i = ckpt["word2idx"]
    idx2word = {i: w for w, i in w2i.items()}
    model = AudioCaptioner(len(w2i), 64, 128)
    model.load_state_dict(ckpt["model_state_dict"])
    model.eval()
    mels = torch.stack([extract_mel(p) for p in wav_paths])  # [B, 1, T, F]
    ids = model.generate(mels, MAX_LEN)
    captions = []
    for row in ids.tolist():
        words = []
        for i in row:
            if idx2word[i] == "<end>":
                break
            if idx2word[i] not in ("<pad>", "<start>", "<unk>"):
                words.append(idx2word[i])
        captions.append(" ".join(words))
    return captions
