"""Show, attend and tell -- but for sounds."""

import numpy as np
import soundfile as sf
import torch
import torch.nn.functional as F
import torchaudio
from torch import nn

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

SR = 16000
VOCAB = ["<pad>", "<sos>", "<eos>", "<unk>"] + [
    "a", "an", "the", "dog", "barks", "engine", "idles", "motor", "rain", "falls", "hard",
    "people", "talk", "someone", "walks", "on", "gravel", "water", "drips", "into", "sink",
    "birds", "chirp", "distance", "in", "while", "and", "wind", "blows", "machine", "hums",
    "metal", "clanks", "repeatedly", "slowly", "crowd",
]  # fmt: skip

encoder_config = {"n_mels": 40, "channels": [24, 48], "encoder_dim": 48}
EMBED_DIM = 48
DECODER_DIM = 96
ATTENTION_DIM = 48


def wav_to_logmel(path, n_mels=40):
    x, sr = sf.read(path)
    x = np.asarray(x, dtype=np.float32)
    if x.ndim == 2:
        x = x[:, 0]
    x = torch.tensor(x)
    if sr != SR:
        x = torchaudio.transforms.Resample(sr, SR)(x)
    m = torchaudio.transforms.MelSpectrogram(SR, n_fft=512, hop_length=320, n_mels=n_mels)(x)
    return torch.log(m + 1e-5)  # (n_mels, frames)


class Encoder(nn.Module):
    def __init__(self, n_mels, channels, encoder_dim):
        super().__init__()
        c1, c2 = channels
        self.conv1 = nn.Conv1d(n_mels, c1, 5, stride=2, padding=2)
        self.bn1 = nn.BatchNorm1d(c1)
        self.conv2 = nn.Conv1d(c1, c2, 5, stride=2, padding=2)
        self.bn2 = nn.BatchNorm1d(c2)
        self.proj = nn.Linear(c2, encoder_dim)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.avg_pool1d(x, 2)
        return self.proj(x.permute(0, 2, 1))  # (batch, frames, encoder_dim)


class Attention(nn.Module):
    def __init__(self, encoder_dim, decoder_dim, attention_dim):
        super().__init__()
        self.encoder_att = nn.Linear(encoder_dim, attention_dim)
        self.decoder_att = nn.Linear(decoder_dim, attention_dim)
        self.full_att = nn.Linear(attention_dim, 1)

    def forward(self, enc, h):
        e = self.full_att(torch.tanh(self.encoder_att(enc) + self.decoder_att(h)[:, None])).squeeze(
            2
        )
        alpha = F.softmax(e, dim=1)
        return (enc * alpha.unsqueeze(2)).sum(1), alpha


class SoundAttendTell(nn.Module):
    def __init__(self, vocab_size, encoder_config):
        super().__init__()
        self.vocab_size = vocab_size
        d = encoder_config["encoder_dim"]
        self.encoder = Encoder(**encoder_config)
        self.attention = Attention(d, DECODER_DIM, ATTENTION_DIM)
        self.embedding = nn.Embedding(vocab_size, EMBED_DIM)
        self.lstm = nn.LSTMCell(EMBED_DIM + d, DECODER_DIM)
        self.init_h = nn.Linear(d, DECODER_DIM)
        self.init_c = nn.Linear(d, DECODER_DIM)
        self.f_beta = nn.Linear(DECODER_DIM, d)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(DECODER_DIM, vocab_size)

    def init_hidden_state(self, enc):
        mean = enc.mean(dim=1)
        return self.init_h(mean), self.init_c(mean)

    def forward(self, x, encoded_captions, caption_lengths):
        caption_lengths, sort_ind = caption_lengths.squeeze(1).sort(dim=0, descending=True)
        enc = self.encoder(x)[sort_ind]
        encoded_captions = encoded_captions[sort_ind]
        emb = self.embedding(encoded_captions)
        h, c = self.init_hidden_state(enc)
        decode_lengths = (caption_lengths - 1).tolist()
        bs, n_frames = enc.size(0), enc.size(1)
        predictions = torch.zeros(bs, max(decode_lengths), self.vocab_size).to(device)
        alphas = torch.zeros(bs, max(decode_lengths), n_frames).to(device)
        for t in range(max(decode_lengths)):
            bt = sum([l > t for l in decode_lengths])
            awe, alpha = self.attention(enc[:bt], h[:bt])
            gate = torch.sigmoid(self.f_beta(h[:bt]))
            h, c = self.lstm(torch.cat([emb[:bt, t], gate * awe], dim=1), (h[:bt], c[:bt]))
            predictions[:bt, t, :] = self.fc(self.dropout(h))
            alphas[:bt, t, :] = alpha
        return predictions, encoded_captions, decode_lengths, alphas, sort_ind

    def sample(self, x):
        """One clip (1, n_mels, frames) -> list of word ids."""
        enc = self.encoder(x)
        h, c = self.init_hidden_state(enc)
        word = torch.LongTensor([1]).to(x.device)
        ids = []
        while len(ids) < 18:
            awe, _ = self.attention(enc, h)
            awe = torch.sigmoid(self.f_beta(h)) * awe
            h, c = self.lstm(torch.cat([self.embedding(word), awe], dim=1), (h, c))
            word = self.fc(h).max(1)[1]
            if word.item() == 2:
                break
            ids.append(word.item())
        return ids


def save_checkpoint(path):
    torch.manual_seed(123)
    net = SoundAttendTell(len(VOCAB), encoder_config)
    for p in net.parameters():
        p.data *= 2
    net.fc.bias.data[2] += 0.5
    torch.save(
        {"encoder_config": encoder_config, "state_dict": net.state_dict(), "vocab": VOCAB}, path
    )


def reference_captions(checkpoint_path, wav_paths):
    ckpt = torch.load(checkpoint_path, map_location=device)
    vocab = ckpt["vocab"]
    net = SoundAttendTell(len(vocab), ckpt["encoder_config"]).to(device)
    net.load_state_dict(ckpt["state_dict"])
    net.eval()
    out = []
    with torch.no_grad():
        for p in wav_paths:
            ids = net.sample(wav_to_logmel(p).unsqueeze(0).to(device))
            out.append(" ".join(vocab[i] for i in ids if i > 3))
    return out
