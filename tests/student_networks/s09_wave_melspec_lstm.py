import random

import soundfile as sf
import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torchaudio.transforms import AmplitudeToDB, MelSpectrogram, Resample

SAMPLE_RATE = 16000
PAD, SOS, EOS, UNK = 0, 1, 2, 3

vocab = {"<pad>": PAD, "<sos>": SOS, "<eos>": EOS, "<unk>": UNK}
for word in (
    "a the is are several many kids play yell outside inside room echo ball hit water splash pool "
    "swimming boat motor starts up stops steam hisses kettle boiling pours cup spoon stirs soft "
    "squeaking chair floor creaks"
).split():
    vocab[word] = len(vocab)
ivocab = {v: k for k, v in vocab.items()}


class WaveCaptioner(nn.Module):
    def __init__(self, vocab_size=len(vocab), n_mels=40, enc_dim=48, emb_dim=40, dec_dim=80):
        super().__init__()
        self.vocab_size = vocab_size
        self.hop = 512
        self.melspec = MelSpectrogram(SAMPLE_RATE, n_fft=1024, hop_length=self.hop, n_mels=n_mels)
        self.to_db = AmplitudeToDB(stype="power")
        self.norm = nn.LayerNorm(n_mels)
        self.enc = nn.LSTM(n_mels, enc_dim, batch_first=True, bidirectional=True)
        self.bridge_h = nn.Linear(2 * enc_dim, dec_dim)
        self.bridge_c = nn.Linear(2 * enc_dim, dec_dim)
        self.emb = nn.Embedding(vocab_size, emb_dim, padding_idx=PAD)
        self.query = nn.Linear(dec_dim, 2 * enc_dim, bias=False)
        self.cell = nn.LSTMCell(emb_dim + 2 * enc_dim, dec_dim)
        self.out = nn.Linear(dec_dim + 2 * enc_dim, vocab_size)

    def encode(self, wav, wav_lengths):
        x = self.to_db(self.melspec(wav)).transpose(1, 2)  # B, T, mel
        x = self.norm(x)
        frames = (wav_lengths // self.hop + 1).clamp(max=x.size(1)).cpu()
        packed = pack_padded_sequence(x, frames, batch_first=True, enforce_sorted=False)
        enc, _ = self.enc(packed)
        enc, _ = pad_packed_sequence(enc, batch_first=True, total_length=x.size(1))
        mask = torch.arange(x.size(1))[None, :] < frames[:, None]
        mask = mask.to(enc.device)
        mean = enc.sum(1) / frames.to(enc.device).unsqueeze(1)
        state = (torch.tanh(self.bridge_h(mean)), torch.tanh(self.bridge_c(mean)))
        return enc, mask, state

    def decode_step(self, prev_word, state, enc, mask):
        h, c = state
        scores = torch.bmm(enc, self.query(h).unsqueeze(2)).squeeze(2)
        scores = scores.masked_fill(~mask, -1e9)
        weights = torch.softmax(scores, dim=-1)
        context = torch.bmm(weights.unsqueeze(1), enc).squeeze(1)
        h, c = self.cell(torch.cat([self.emb(prev_word), context], dim=-1), (h, c))
        logits = self.out(torch.cat([h, context], dim=-1))
        return logits, (h, c)

    def forward(self, wav, wav_lengths, captions, teacher_forcing_ratio=0.5):
        enc, mask, state = self.encode(wav, wav_lengths)
        batch_size, max_len = captions.shape
        outputs = torch.zeros(batch_size, max_len, self.vocab_size, device=wav.device)
        word = captions[:, 0]
        for t in range(1, max_len):
            logits, state = self.decode_step(word, state, enc, mask)
            outputs[:, t] = logits
            use_teacher = random.random() < teacher_forcing_ratio
            word = captions[:, t] if use_teacher else logits.argmax(1)
        return outputs

    @torch.no_grad()
    def greedy_decode(self, wav, wav_lengths, max_len=18):
        enc, mask, state = self.encode(wav, wav_lengths)
        word = torch.full((wav.size(0),), SOS, dtype=torch.long, device=wav.device)
        done = torch.zeros_like(word, dtype=torch.bool)
        sentences = [[] for _ in range(wav.size(0))]
        for _ in range(max_len):
            logits, state = self.decode_step(word, state, enc, mask)
            word = logits.argmax(1)
            done |= word == EOS
            if done.all():
                break
            for b in range(len(sentences)):
                if not done[b]:
                    sentences[b].append(word[b].item())
        return sentences


def read_wave(path):
    y, sr = sf.read(path, dtype="float32", always_2d=True)
    y = torch.from_numpy(y).mean(dim=1)
    return y if sr == SAMPLE_RATE else Resample(sr, SAMPLE_RATE)(y)


def save_checkpoint(path):
    torch.manual_seed(1)
    model = WaveCaptioner()
    for p in model.parameters():
        p.data.mul_(2)
    model.out.bias.data[EOS] += 0.2
    torch.save({"model": model.state_dict(), "vocab": vocab, "sample_rate": SAMPLE_RATE}, path)


def reference_captions(checkpoint_path, wav_paths):
    state = torch.load(checkpoint_path, map_location="cpu")
    model = WaveCaptioner(vocab_size=len(state["vocab"]))
    model.load_state_dict(state["model"])
    model.eval()
    words = {i: w for w, i in state["vocab"].items()}
    waves = [read_wave(p) for p in wav_paths]
    lengths = torch.tensor([len(w) for w in waves])
    batch = pad_sequence(waves, batch_first=True)
    captions = model.greedy_decode(batch, lengths)
    return [" ".join(words[i] for i in c if i > UNK) for c in captions]
