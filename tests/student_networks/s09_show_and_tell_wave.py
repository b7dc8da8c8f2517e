"""Show-and-tell for audio: the clip is the first "word" of the LSTM. 1-D convolutions on samples."""

import json
import os
from types import SimpleNamespace

import soundfile as sf
import torch
import torch.nn as nn
import torchaudio
from torch.nn.utils.rnn import pack_padded_sequence

# hyper parameters, same as in train.py
args = SimpleNamespace(embed_size=64, hidden_size=96, num_layers=1, clip_seconds=4, sr=16000)


class EncoderCNN(nn.Module):
    def __init__(self, embed_size):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(1, 32, kernel_size=80, stride=8),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.MaxPool1d(8),
            nn.Conv1d(32, 48, kernel_size=9, stride=2),
            nn.BatchNorm1d(48),
            nn.ReLU(),
            nn.MaxPool1d(8),
            nn.Conv1d(48, 64, kernel_size=3),
            nn.ReLU(),
        )
        self.linear = nn.Linear(64, embed_size)

    def forward(self, waveforms):
        """waveforms [B, samples]"""
        features = self.conv(waveforms.unsqueeze(1))
        features = features.mean(dim=2)
        return self.linear(features)


class DecoderRNN(nn.Module):
    def __init__(self, embed_size, hidden_size, vocab_size, num_layers, max_seq_length=17):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, embed_size)
        self.lstm = nn.LSTM(embed_size, hidden_size, num_layers, batch_first=True)
        self.linear = nn.Linear(hidden_size, vocab_size)
        self.max_seg_length = max_seq_length

    def forward(self, features, captions, lengths):
        """Decode audio feature vectors and generate captions."""
        embeddings = self.embed(captions)
        embeddings = torch.cat((features.unsqueeze(1), embeddings), 1)
        packed = pack_padded_sequence(embeddings, lengths, batch_first=True)
        hiddens, _ = self.lstm(packed)
        return self.linear(hiddens[0])

    def sample(self, features, states=None):
        """Generate captions for given features using greedy search."""
        sampled_ids = []
        inputs = features.unsqueeze(1)
        for i in range(self.max_seg_length):
            hiddens, states = self.lstm(inputs, states)
            outputs = self.linear(hiddens.squeeze(1))
            _, predicted = outputs.max(1)
            sampled_ids.append(predicted)
            inputs = self.embed(predicted).unsqueeze(1)
        return torch.stack(sampled_ids, 1)


class CaptionNet(nn.Module):
    def __init__(self, embed_size, hidden_size, vocab_size, num_layers):
        super().__init__()
        self.encoder = EncoderCNN(embed_size)
        self.decoder = DecoderRNN(embed_size, hidden_size, vocab_size, num_layers)

    def forward(self, waveforms, captions, lengths):
        """captions with <start> ... <end>, sorted by length; output is packed: [sum(lengths), V]
        and is compared with pack_padded_sequence(captions, lengths)[0] in the loss"""
        return self.decoder(self.encoder(waveforms), captions, lengths)

    def sample(self, waveforms):
        return self.decoder.sample(self.encoder(waveforms))


def load_audio(path):
    data, sr = sf.read(path, dtype="float32")
    if data.ndim == 2:
        data = data.mean(axis=1)
    wave = torchaudio.functional.resample(torch.from_numpy(data), sr, args.sr)
    wanted = args.clip_seconds * args.sr
    if wave.numel() < wanted:  # repeat short clips
        wave = wave.repeat(wanted // wave.numel() + 1)
    wave = wave[:wanted]
    return wave / wave.abs().max().clamp(min=1e-5)


def save_checkpoint(path):
    torch.manual_seed(652)
    words = """a large small dog cat horse gallops hoofbeats road street traffic siren ambulance
    passing lawn mower running chainsaw cutting wood hammer hits nail loudly faintly then man
    woman speaking laughing coughing snoring""".split()
    itos = ["<pad>", "<start>", "<end>", "<unk>"] + words
    model = CaptionNet(args.embed_size, args.hidden_size, len(itos), args.num_layers)
    with torch.no_grad():
        for p in model.encoder.parameters():
            if p.dim() > 1:
                p.mul_(4.1)
        model.decoder.lstm.weight_ih_l0.mul_(1.8)
        model.decoder.lstm.weight_hh_l0.mul_(9.2)
        model.decoder.linear.weight.mul_(8.7)
        model.decoder.linear.bias[itos.index("<end>")] += 1.0
        model.decoder.linear.bias[[0, 1, 3]] -= 40.0
    torch.save(model.state_dict(), path)
    folder = os.path.dirname(path)
    with open(os.path.join(folder, "vocab.json"), "w") as f:
        word2idx = {w: i for i, w in enumerate(itos)}
        idx2word = {str(i): w for i, w in enumerate(itos)}
        json.dump({"word2idx": word2idx, "idx2word": idx2word, "idx": len(itos)}, f)


def reference_captions(checkpoint_path, wav_paths):
    with open(os.path.join(os.path.dirname(checkpoint_path), "vocab.json")) as f:
        vocab = json.load(f)
    model = CaptionNet(args.embed_size, args.hidden_size, vocab["idx"], args.num_layers)
    model.load_state_dict(torch.load(checkpoint_path))
    model.eval()

    sentences = []
    for path in wav_paths:
        with torch.no_grad():
            sampled_ids = model.sample(load_audio(path).unsqueeze(0))[0].cpu().numpy()
        sampled_caption = []
        for word_id in sampled_ids:
            word = vocab["idx2word"][str(word_id)]
            if word == "<end>":
                break
            if word not in ("<start>", "<pad>", "<unk>"):
                sampled_caption.append(word)
        sentences.append(" ".join(sampled_caption))
    return sentences
