"""Show, Attend and Tell but for sound. The mel spectrogram is treated like a gray image."""

import json
import os

import soundfile as sf
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchaudio

device = torch.device("cpu")
SR, N_MELS = 22050, 128

# model parameters (same names as in my train.py)
attention_dim, emb_dim, decoder_dim, encoder_dim = 48, 48, 96, 64


class Encoder(nn.Module):
    def __init__(self, encoded_size=6):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, encoder_dim, 3, padding=1),
        )
        self.adaptive_pool = nn.AdaptiveAvgPool2d((encoded_size, encoded_size))

    def forward(self, spec):  # (B, 1, T, F)
        out = self.adaptive_pool(self.net(spec))
        return out.permute(0, 2, 3, 1)  # (B, 6, 6, encoder_dim)


class Attention(nn.Module):
    def __init__(self, encoder_dim, decoder_dim, attention_dim):
        super().__init__()
        self.encoder_att = nn.Linear(encoder_dim, attention_dim)
        self.decoder_att = nn.Linear(decoder_dim, attention_dim)
        self.full_att = nn.Linear(attention_dim, 1)

    def forward(self, encoder_out, h):
        att = torch.tanh(self.encoder_att(encoder_out) + self.decoder_att(h).unsqueeze(1))
        alpha = F.softmax(self.full_att(att).squeeze(2), dim=1)
        return (encoder_out * alpha.unsqueeze(2)).sum(dim=1), alpha


class SoundAttendTell(nn.Module):
    def __init__(self, attention_dim, embed_dim, decoder_dim, vocab_size, dropout=0.5):
        super().__init__()
        self.vocab_size = vocab_size
        self.encoder = Encoder()
        self.attention = Attention(encoder_dim, decoder_dim, attention_dim)
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.dropout = nn.Dropout(p=dropout)
        self.decode_step = nn.LSTMCell(embed_dim + encoder_dim, decoder_dim)
        self.init_h = nn.Linear(encoder_dim, decoder_dim)
        self.init_c = nn.Linear(encoder_dim, decoder_dim)
        self.f_beta = nn.Linear(decoder_dim, encoder_dim)
        self.fc = nn.Linear(decoder_dim, vocab_size)

    def init_hidden_state(self, encoder_out):
        mean = encoder_out.mean(dim=1)
        return self.init_h(mean), self.init_c(mean)

    def forward(self, spec, encoded_captions, caption_lengths):
        """spec (B,1,T,F), encoded_captions (B,L), caption_lengths (B,1) incl. <start>, <end>"""
        encoder_out = self.encoder(spec).flatten(1, 2)
        caption_lengths, sort_ind = caption_lengths.squeeze(1).sort(dim=0, descending=True)
        encoder_out = encoder_out[sort_ind]
        encoded_captions = encoded_captions[sort_ind]
        embeddings = self.embedding(encoded_captions)
        h, c = self.init_hidden_state(encoder_out)
        decode_lengths = (caption_lengths - 1).tolist()  # no step at <end>

        B, n_places = encoder_out.shape[:2]
        predictions = torch.zeros(B, max(decode_lengths), self.vocab_size, device=spec.device)
        alphas = torch.zeros(B, max(decode_lengths), n_places, device=spec.device)
        for t in range(max(decode_lengths)):
            bt = sum(length > t for length in decode_lengths)
            awe, alpha = self.attention(encoder_out[:bt], h[:bt])
            awe = torch.sigmoid(self.f_beta(h[:bt])) * awe
            h, c = self.decode_step(torch.cat([embeddings[:bt, t], awe], 1), (h[:bt], c[:bt]))
            predictions[:bt, t] = self.fc(self.dropout(h))
            alphas[:bt, t] = alpha
        return predictions, encoded_captions, decode_lengths, alphas, sort_ind

    def generate_caption(self, spec, word_map, max_len=20):
        """one spectrogram only; returns the words and the attention weights for the plot"""
        rev_word_map = {v: k for k, v in word_map.items()}
        encoder_out = self.encoder(spec).flatten(1, 2)
        h, c = self.init_hidden_state(encoder_out)
        word = torch.LongTensor([word_map["<start>"]]).to(spec.device)
        words, alphas = [], []
        for _ in range(max_len):
            awe, alpha = self.attention(encoder_out, h)
            awe = torch.sigmoid(self.f_beta(h)) * awe
            h, c = self.decode_step(torch.cat([self.embedding(word), awe], dim=1), (h, c))
            word = self.fc(h).argmax(dim=1)
            alphas.append(alpha.view(6, 6))
            words.append(rev_word_map[word.item()])
            if words[-1] == "<end>":
                break
        return words, alphas


def get_spec(path):
    y, sr = sf.read(path)
    y = torch.tensor(y, dtype=torch.float32)
    if y.ndim > 1:
        y = y[:, 0]  # left channel is enough
    y = torchaudio.functional.resample(y, sr, SR)
    m = torchaudio.transforms.MelSpectrogram(SR, n_fft=2048, hop_length=512, n_mels=N_MELS)(y)
    m = torch.log10(m.clamp(min=1e-10))
    return ((m - m.mean()) / m.std()).t()[None, None]  # (1, 1, T, F)


def save_checkpoint(path):
    torch.manual_seed(626)
    words = """a someone is walking on leaves typing keyboard clock ticking thunder rumbling far
    away sea waves hit beach frogs croak at night airplane flies over quietly cat meows phone
    ringing then stops children play outside""".split()
    word_map = {w: i + 1 for i, w in enumerate(words)}
    word_map["<unk>"] = len(word_map) + 1
    word_map["<start>"] = len(word_map) + 1
    word_map["<end>"] = len(word_map) + 1
    word_map["<pad>"] = 0
    model = SoundAttendTell(attention_dim, emb_dim, decoder_dim, len(word_map))
    for name, p in model.named_parameters():
        if p.dim() > 1 and "embedding" not in name:
            p.data *= 3.0
    model.fc.bias.data[word_map["<end>"]] += 0.5
    model.fc.bias.data[[0, word_map["<start>"], word_map["<unk>"]]] -= 20.0
    torch.save(model.state_dict(), path)
    with open(os.path.join(os.path.dirname(path), "WORDMAP.json"), "w") as j:
        json.dump(word_map, j)


def reference_captions(checkpoint_path, wav_paths):
    with open(os.path.join(os.path.dirname(checkpoint_path), "WORDMAP.json")) as j:
        word_map = json.load(j)
    model = SoundAttendTell(attention_dim, emb_dim, decoder_dim, len(word_map)).to(device)
    model.load_state_dict(torch.load(checkpoint_path, map_location=device))
    model.eval()
    out = []
    with torch.no_grad():
        for p in wav_paths:
            words, _ = model.generate_caption(get_spec(p).to(device), word_map)
            out.append(" ".join(w for w in words if not w.startswith("<")))
    return out
