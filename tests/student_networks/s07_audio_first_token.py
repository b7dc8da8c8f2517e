import argparse
import os

import soundfile as sf
import torch
import torch.nn as nn
import torchaudio
from torch.nn.utils.rnn import pack_padded_sequence

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Vocabulary(object):
    def __init__(self):
        self.word2idx = {}
        self.idx2word = {}
        self.idx = 0

    def add_word(self, word):
        if word not in self.word2idx:
            self.word2idx[word] = self.idx
            self.idx2word[self.idx] = word
            self.idx += 1

    def __call__(self, word):
        if word not in self.word2idx:
            return self.word2idx["<unk>"]
        return self.word2idx[word]

    def __len__(self):
        return len(self.word2idx)


def build_vocab():
    vocab = Vocabulary()
    for w in ("<pad>", "<start>", "<end>", "<unk>"):
        vocab.add_word(w)
    words = (
        "a an the of and as by is being small large electric saw drill cuts wood hammer nails "
        "rooster crows chicken clucks duck quacks horse trots sheep bleats cow moos bee buzzes "
        "frog croaks farm ."
    )
    for w in words.split():
        vocab.add_word(w)
    return vocab


def load_audio(path):
    """[1, 64, T] log mel of a file."""
    samples, rate = sf.read(path, dtype="float32")
    samples = torch.from_numpy(samples)
    if samples.dim() > 1:
        samples = samples.mean(-1)
    samples = torchaudio.functional.resample(samples, rate, 16000)
    mel = torchaudio.transforms.MelSpectrogram(16000, n_fft=1024, hop_length=256, n_mels=64)
    db = torchaudio.transforms.AmplitudeToDB()(mel(samples))
    return ((db + 40) / 40).unsqueeze(0)


class EncoderCNN(nn.Module):
    def __init__(self, embed_size):
        super(EncoderCNN, self).__init__()
        layers = []
        for i, o in [(1, 12), (12, 24), (24, 32)]:
            layers += [nn.Conv2d(i, o, 3, stride=2, padding=1), nn.BatchNorm2d(o), nn.ReLU()]
        self.net = nn.Sequential(*layers)
        self.linear = nn.Linear(32 * 8, embed_size)
        self.bn = nn.BatchNorm1d(embed_size, momentum=0.01)

    def forward(self, specs):
        features = self.net(specs)
        features = features.mean(dim=3).reshape(features.size(0), -1)
        return self.bn(self.linear(features))


class DecoderRNN(nn.Module):
    def __init__(self, embed_size, hidden_size, vocab_size, num_layers, max_seq_length=20):
        super(DecoderRNN, self).__init__()
        self.embed = nn.Embedding(vocab_size, embed_size)
        self.lstm = nn.LSTM(embed_size, hidden_size, num_layers, batch_first=True)
        self.linear = nn.Linear(hidden_size, vocab_size)
        self.max_seg_length = max_seq_length

    def forward(self, features, captions, lengths=None):
        """The audio feature is the first 'word', so T captions give T+1 outputs."""
        embeddings = self.embed(captions)
        embeddings = torch.cat((features.unsqueeze(1), embeddings), 1)
        if lengths is not None:
            packed = pack_padded_sequence(embeddings, lengths, batch_first=True)
            hiddens, _ = self.lstm(packed)
            return self.linear(hiddens[0])
        hiddens, _ = self.lstm(embeddings)
        return self.linear(hiddens)

    def sample(self, features, states=None):
        """Greedy search."""
        sampled_ids = []
        inputs = features.unsqueeze(1)
        for i in range(self.max_seg_length):
            hiddens, states = self.lstm(inputs, states)
            outputs = self.linear(hiddens.squeeze(1))
            _, predicted = outputs.max(1)
            sampled_ids.append(predicted)
            inputs = self.embed(predicted)
            inputs = inputs.unsqueeze(1)
        return torch.stack(sampled_ids, 1)


def get_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--embed_size", type=int, default=64)
    parser.add_argument("--hidden_size", type=int, default=96)
    parser.add_argument("--num_layers", type=int, default=1)
    return parser.parse_args([])


def save_checkpoint(path):
    torch.manual_seed(8)
    args = get_args()
    vocab = build_vocab()
    encoder = EncoderCNN(args.embed_size)
    decoder = DecoderRNN(args.embed_size, args.hidden_size, len(vocab), args.num_layers)
    for m in (encoder, decoder):
        for p in m.parameters():
            p.data.mul_(2.0)
    decoder.linear.bias.data[vocab("<end>")] += 0.3
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    torch.save({"encoder": encoder.state_dict(), "decoder": decoder.state_dict()}, path)


def reference_captions(checkpoint_path, wav_paths):
    args = get_args()
    vocab = build_vocab()
    encoder = EncoderCNN(args.embed_size).eval()
    decoder = DecoderRNN(args.embed_size, args.hidden_size, len(vocab), args.num_layers)
    encoder = encoder.to(device)
    decoder = decoder.to(device)
    checkpoint = torch.load(checkpoint_path, map_location=device)
    encoder.load_state_dict(checkpoint["encoder"])
    decoder.load_state_dict(checkpoint["decoder"])
    sentences = []
    for path in wav_paths:
        with torch.no_grad():
            feature = encoder(load_audio(path).unsqueeze(0).to(device))
            sampled_ids = decoder.sample(feature)
        sampled_ids = sampled_ids[0].cpu().numpy()
        sampled_caption = []
        for word_id in sampled_ids:
            word = vocab.idx2word[word_id]
            if word == "<end>":
                break
            if word not in ("<pad>", "<start>", "<unk>"):
                sampled_caption.append(word)
        sentences.append(" ".join(sampled_caption))
    return sentences
