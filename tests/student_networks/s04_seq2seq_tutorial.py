"""Based on the seq2seq translation lesson: here the input "sentence" is a list of mel frames."""

import random

import soundfile as sf
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchaudio

SOS_token = 0
EOS_token = 1
MAX_LENGTH = 30  # number of audio places the attention can look at
RATE = 16000


class Lang:
    def __init__(self, name):
        self.name = name
        self.word2index = {}
        self.index2word = {0: "SOS", 1: "EOS"}
        self.n_words = 2

    def addSentence(self, sentence):
        for word in sentence.split(" "):
            if word not in self.word2index:
                self.word2index[word] = self.n_words
                self.index2word[self.n_words] = word
                self.n_words += 1


class EncoderRNN(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.inp = nn.Linear(input_size, hidden_size)
        self.gru = nn.GRU(hidden_size, hidden_size)

    def forward(self, frame, hidden):
        output = torch.relu(self.inp(frame)).view(1, 1, -1)
        return self.gru(output, hidden)

    def initHidden(self):
        return torch.zeros(1, 1, self.hidden_size)


class AttnDecoderRNN(nn.Module):
    def __init__(self, hidden_size, output_size, dropout_p=0.1, max_length=MAX_LENGTH):
        super().__init__()
        self.embedding = nn.Embedding(output_size, hidden_size)
        self.attn = nn.Linear(hidden_size * 2, max_length)
        self.attn_combine = nn.Linear(hidden_size * 2, hidden_size)
        self.dropout = nn.Dropout(dropout_p)
        self.gru = nn.GRU(hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, output_size)

    def forward(self, input, hidden, encoder_outputs):
        embedded = self.dropout(self.embedding(input).view(1, 1, -1))
        attn_weights = F.softmax(self.attn(torch.cat((embedded[0], hidden[0]), 1)), dim=1)
        attn_applied = torch.bmm(attn_weights.unsqueeze(0), encoder_outputs.unsqueeze(0))
        output = torch.cat((embedded[0], attn_applied[0]), 1)
        output = F.relu(self.attn_combine(output).unsqueeze(0))
        output, hidden = self.gru(output, hidden)
        output = F.log_softmax(self.out(output[0]), dim=1)
        return output, hidden, attn_weights


class Seq2Seq(nn.Module):
    def __init__(self, lang, n_mels=40, hidden_size=80):
        super().__init__()
        self.lang = lang
        self.encoder = EncoderRNN(n_mels, hidden_size)
        self.decoder = AttnDecoderRNN(hidden_size, lang.n_words)

    def run_encoder(self, frames):
        hidden = self.encoder.initHidden()
        encoder_outputs = torch.zeros(MAX_LENGTH, self.encoder.hidden_size)
        for ei in range(min(frames.size(0), MAX_LENGTH)):
            encoder_output, hidden = self.encoder(frames[ei], hidden)
            encoder_outputs[ei] = encoder_output[0, 0]
        return encoder_outputs, hidden

    def forward(self, input_tensor, target_tensor, teacher_forcing_ratio=0.5):
        """input_tensor [T, n_mels] (one clip), target_tensor [L, 1] ending with EOS"""
        encoder_outputs, decoder_hidden = self.run_encoder(input_tensor)
        decoder_input = torch.tensor([[SOS_token]])
        use_teacher_forcing = random.random() < teacher_forcing_ratio
        outputs = []
        for di in range(target_tensor.size(0)):
            out, decoder_hidden, _ = self.decoder(decoder_input, decoder_hidden, encoder_outputs)
            outputs.append(out)
            if use_teacher_forcing:
                decoder_input = target_tensor[di]
            else:
                decoder_input = out.topk(1)[1].squeeze().detach()
                if decoder_input.item() == EOS_token:
                    break
        return torch.cat(outputs)  # [L, n_words] log probabilities

    def caption(self, input_tensor, max_words=15):
        with torch.no_grad():
            encoder_outputs, hidden = self.run_encoder(input_tensor)
            decoder_input = torch.tensor([[SOS_token]])
            decoded_words = []
            for _ in range(max_words):
                out, hidden, attn = self.decoder(decoder_input, hidden, encoder_outputs)
                topv, topi = out.data.topk(1)
                if topi.item() == EOS_token:
                    break
                decoded_words.append(self.lang.index2word[topi.item()])
                decoder_input = topi.squeeze().detach()
        return " ".join(decoded_words)


def tensorFromWav(path):
    x, sr = sf.read(path, dtype="float32")
    x = torch.from_numpy(x if x.ndim == 1 else x.mean(axis=1))
    x = torchaudio.functional.resample(x, sr, RATE)
    mel = torchaudio.transforms.MelSpectrogram(RATE, n_fft=512, hop_length=256, n_mels=40)(x)
    mel = torch.log(mel + 1e-5) / 4 + 1
    return F.adaptive_avg_pool1d(mel.unsqueeze(0), MAX_LENGTH)[0].t()  # [30, 40]


def save_checkpoint(path):
    torch.manual_seed(870)
    lang = Lang("captions")
    lang.addSentence("a low tone is humming while a high whistle rings")
    lang.addSentence("noise hisses loudly and someone claps twice in the hall")
    lang.addSentence("short clicks repeat over soft static then silence")
    lang.addSentence("the siren goes up very fast before it falls down again")
    model = Seq2Seq(lang)
    with torch.no_grad():
        for m in (model.encoder, model.decoder):
            for n, p in m.named_parameters():
                if "weight" in n and "embedding" not in n:
                    p.mul_(6.6)
        model.decoder.out.bias[EOS_token] += 2.0
        model.decoder.out.bias[SOS_token] -= 30
    torch.save({"state_dict": model.state_dict(), "lang": lang.__dict__, "hidden_size": 80}, path)


def reference_captions(checkpoint_path, wav_paths):
    ckpt = torch.load(checkpoint_path)
    lang = Lang("captions")
    lang.__dict__.update(ckpt["lang"])
    model = Seq2Seq(lang, hidden_size=ckpt["hidden_size"])
    model.load_state_dict(ckpt["state_dict"])
    model.eval()
    return [model.caption(tensorFromWav(p)) for p in wav_paths]
