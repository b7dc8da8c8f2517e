"""CTC instead of a language model: one word or blank per audio step. No recurrence over words."""

import soundfile as sf
import torch as t
import torch.nn as nn
import torch.nn.functional as F
import torchaudio as ta


class C:
    """config"""

    sr = 22050
    n = 64  # mel bands
    w = 1024
    s = 512
    d = 64
    k = 3
    v = 0  # set from the word list


W = """_ low high tone beep noise hiss click click-train sweep up down fast slow loud soft long short
steady pulsing buzzing pure rough bright dark then with and over before a the of static silence
rising""".split()  # W[0] is the blank


class M(nn.Module):
    def __init__(self, c):
        super().__init__()
        p = c.k // 2
        self.a = nn.Conv2d(1, 16, c.k, padding=p)
        self.b = nn.Conv2d(16, 32, c.k, padding=p)
        self.n1 = nn.BatchNorm2d(16)
        self.n2 = nn.BatchNorm2d(32)
        self.r = nn.GRU(32 * (c.n // 16), c.d, bidirectional=True)
        self.o = nn.Linear(2 * c.d, c.v)

    def forward(self, x):
        """x (B, 1, T, F) -> log probs (T/16, B, V), as nn.CTCLoss wants them"""
        x = F.max_pool2d(F.relu(self.n1(self.a(x))), 4)
        x = F.max_pool2d(F.relu(self.n2(self.b(x))), 4)
        x = x.permute(2, 0, 1, 3).flatten(2)
        x, _ = self.r(x)
        return F.log_softmax(self.o(x), dim=-1)

    def loss(self, x, y, ly):
        z = self(x)
        lz = t.full((x.size(0),), z.size(0), dtype=t.long)
        return F.ctc_loss(z, y, lz, ly, blank=0, zero_infinity=True)

    @t.no_grad()
    def decode(self, x):
        """best path, one list of ids per clip (repeats merged, blanks removed)"""
        z = self(x).argmax(-1).t()
        r = []
        for q in z:
            q = t.unique_consecutive(q)
            r.append([i for i in q.tolist() if i != 0])
        return r


def spec(f, c=C):
    y, sr = sf.read(f, dtype="float32", always_2d=True)
    y = ta.functional.resample(t.from_numpy(y.mean(1)), sr, c.sr)
    m = ta.transforms.MelSpectrogram(c.sr, c.w, hop_length=c.s, n_mels=c.n)(y)
    m = (m + 1e-4).log().t()
    m = (m - m.mean()) / m.std()
    return m[None, None]


def fake_clip(kind, g, c=C):
    """two seconds of something, for the toy training below"""
    x = t.arange(2 * c.sr) / c.sr
    f = 100.0 * 2 ** (5 * t.rand(1, generator=g))
    y, s = {
        0: (t.sin(6.283 * f * x), "a low pure tone" if f < 500 else "a high pure tone"),
        1: (t.randn(x.numel(), generator=g), "steady loud noise"),
        2: (t.sin(6.283 * f * x * (1 + x)), "a fast sweep up"),
        3: (t.sin(6.283 * f * x).sign() * (t.sin(25 * x) > 0), "rough pulsing beep"),
        4: (t.randn(x.numel(), generator=g) * (t.sin(19 * x) > 0.9), "short click then silence"),
    }[kind]
    return 0.2 * y + 0.002 * t.randn(x.numel(), generator=g), s


def save_checkpoint(path):
    t.manual_seed(5)
    g = t.Generator().manual_seed(5)
    C.v = len(W)
    m = M(C)
    e = ta.transforms.MelSpectrogram(C.sr, C.w, hop_length=C.s, n_mels=C.n)
    x, y, n = [], [], []
    for i in range(20):
        a, s = fake_clip(i % 5, g)
        q = (e(a) + 1e-4).log().t()
        x.append((q - q.mean()) / q.std())
        y += [W.index(w) for w in s.split()]
        n.append(len(s.split()))
    x = t.stack(x)[:, None]
    o = t.optim.Adam(m.parameters(), 6e-3)
    for _ in range(30):
        o.zero_grad()
        m.loss(x, t.tensor(y), t.tensor(n)).backward()
        o.step()
    c = {k: getattr(C, k) for k in ("sr", "n", "w", "s", "d", "k", "v")}
    t.save({"m": m.state_dict(), "c": c, "W": W}, path)


def reference_captions(checkpoint_path, wav_paths):
    q = t.load(checkpoint_path, map_location="cpu")
    for k, v in q["c"].items():
        setattr(C, k, v)
    m = M(C)
    m.load_state_dict(q["m"])
    m.eval()
    return [" ".join(q["W"][i] for i in m.decode(spec(f))[0]) for f in wav_paths]
