# audio captioning, homework 3
# words go in as one-hot vectors, the audio vector is put next to every word
import json

import numpy as np
import soundfile as sf
import torch
import torch.nn.functional as F
from torch import nn
from torchaudio.functional import melscale_fbanks, resample

vocab = ["<eos>", "<sos>", "<pad>"] + sorted(
    "a man woman is are the dog dogs cat meows bark talking to and each other rain pouring down "
    "loud soft noise car truck driving past birds singing in forest waves crashing on beach "
    "keyboard typing".split()
)
V = len(vocab)
EOS, SOS, PAD = 0, 1, 2
HID = 100
AUDIO = 64
FBANK = melscale_fbanks(257, 0.0, 8000.0, 40, 16000)


def features(wav_file):
    audio, fs = sf.read(wav_file, dtype="float32")
    if audio.ndim > 1:
        audio = audio.mean(1)
    audio = torch.tensor(audio)
    if fs != 16000:
        audio = resample(audio, fs, 16000)
    stft = torch.stft(audio, 512, 256, window=torch.hann_window(512), return_complex=True)
    mel = stft.abs().pow(2).T @ FBANK  # T x 40
    mel = torch.log(mel + 1e-6)
    return (mel - (-4.0)) / 4.0


class Net(nn.Module):
    def __init__(self, n_mels=40, audio=AUDIO, hid=HID, vocab_size=V):
        super().__init__()
        self.vocab_size = vocab_size
        self.audio_rnn = nn.GRU(n_mels, audio // 2, batch_first=True, bidirectional=True)
        self.word_rnn = nn.GRU(vocab_size + audio, hid, batch_first=True)
        self.lin = nn.Linear(hid, vocab_size)

    def audio_vector(self, x):
        out, h = self.audio_rnn(x)
        return torch.cat([h[0], h[1]], dim=1)

    def forward(self, x, y):
        # x: B x T x 40, y: B x L, returns B x V x L for nn.CrossEntropyLoss
        a = self.audio_vector(x)
        onehot = F.one_hot(y, self.vocab_size).float()
        a = a[:, None, :].expand(-1, y.shape[1], -1)
        out, _ = self.word_rnn(torch.cat([onehot, a], dim=2))
        return self.lin(out).permute(0, 2, 1)

    def infer(self, x, max_words=15):
        b = x.shape[0]
        y = torch.full((b, 1), SOS)
        finished = torch.zeros(b, dtype=torch.bool)
        for i in range(max_words):
            scores = self.forward(x, y)[:, :, -1]
            nxt = scores.argmax(1)
            nxt[finished] = PAD
            finished = finished | (nxt == EOS)
            y = torch.cat([y, nxt[:, None]], dim=1)
            if finished.all():
                break
        return y[:, 1:]


def train(net, loader, epochs=10):
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    for epoch in range(epochs):
        losses = []
        for x, y in loader:
            loss = F.cross_entropy(net(x, y[:, :-1]), y[:, 1:], ignore_index=PAD)
            opt.zero_grad()
            loss.backward()
            opt.step()
            losses.append(loss.item())
        print(epoch, np.mean(losses))


def save_checkpoint(path):
    torch.manual_seed(1)
    net = Net()
    for p in net.parameters():
        p.data = p.data * 3
    net.lin.bias.data[EOS] += 0.6
    torch.save({"weights": net.state_dict(), "vocab": json.dumps(vocab)}, path)


def reference_captions(checkpoint_path, wav_paths):
    d = torch.load(checkpoint_path, map_location="cpu")
    words = json.loads(d["vocab"])
    net = Net(vocab_size=len(words))
    net.load_state_dict(d["weights"])
    net.eval()
    with torch.no_grad():
        x = torch.stack([features(w) for w in wav_paths])
        y = net.infer(x)
    texts = []
    for row in y.numpy():
        texts.append(" ".join(words[k] for k in row if k not in (EOS, SOS, PAD)))
    return texts
