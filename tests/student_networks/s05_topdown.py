"""Top-down attention (two LSTM cells) with opt/vocab in the style of image captioning toolkits.

Index 0 is padding, begin AND end of sentence at once; words start at 1.
"""

from argparse import Namespace

import numpy as np
import soundfile as sf
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchaudio


class TopDownModel(nn.Module):
    def __init__(self, opt):
        super().__init__()
        self.vocab_size = opt.vocab_size
        self.seq_length = opt.seq_length
        self.rnn_size = opt.rnn_size
        self.drop_prob = opt.drop_prob_lm

        self.embed = nn.Sequential(
            nn.Embedding(opt.vocab_size + 1, opt.input_encoding_size),
            nn.ReLU(),
            nn.Dropout(self.drop_prob),
        )
        self.fc_embed = nn.Sequential(nn.Linear(opt.feat_size, opt.rnn_size), nn.ReLU())
        self.att_embed = nn.Sequential(nn.Linear(opt.feat_size, opt.rnn_size), nn.ReLU())
        self.ctx2att = nn.Linear(opt.rnn_size, opt.att_hid_size)
        self.h2att = nn.Linear(opt.rnn_size, opt.att_hid_size)
        self.alpha_net = nn.Linear(opt.att_hid_size, 1)
        self.att_lstm = nn.LSTMCell(opt.input_encoding_size + opt.rnn_size * 2, opt.rnn_size)
        self.lang_lstm = nn.LSTMCell(opt.rnn_size * 2, opt.rnn_size)
        self.logit = nn.Linear(opt.rnn_size, opt.vocab_size + 1)

    def init_hidden(self, bsz):
        z = self.logit.weight.new_zeros(2, bsz, self.rnn_size)
        return z, z.clone()

    def prepare(self, feats):
        # feats: [B, T, F]; every 8 frames become one "region"
        att = self.att_embed(F.avg_pool1d(feats.transpose(1, 2), 8, ceil_mode=True).mT)
        return self.fc_embed(feats.mean(1)), att, self.ctx2att(att)

    def attend(self, h, att, p_att):
        dot = torch.tanh(p_att + self.h2att(h).unsqueeze(1))
        weight = F.softmax(self.alpha_net(dot).squeeze(-1), dim=1)
        return torch.bmm(weight.unsqueeze(1), att).squeeze(1)

    def get_logprobs_state(self, it, fc, att, p_att, state):
        xt = self.embed(it)
        h_att, c_att = self.att_lstm(
            torch.cat([state[0][1], fc, xt], 1), (state[0][0], state[1][0])
        )
        ctx = self.attend(h_att, att, p_att)
        h_lang, c_lang = self.lang_lstm(torch.cat([ctx, h_att], 1), (state[0][1], state[1][1]))
        state = (torch.stack([h_att, h_lang]), torch.stack([c_att, c_lang]))
        out = F.dropout(h_lang, self.drop_prob, self.training)
        return F.log_softmax(self.logit(out), dim=1), state

    def forward(self, feats, seq):
        """seq: [B, L+2], zero at both ends. Returns log-probs [B, L+1, V+1]."""
        fc, att, p_att = self.prepare(feats)
        state = self.init_hidden(feats.size(0))
        outputs = feats.new_zeros(feats.size(0), seq.size(1) - 1, self.vocab_size + 1)
        for i in range(seq.size(1) - 1):
            if i >= 1 and seq[:, i].sum() == 0:
                break
            outputs[:, i], state = self.get_logprobs_state(seq[:, i], fc, att, p_att, state)
        return outputs

    def sample(self, feats, opt={}):
        """Greedy; returns ids [B, seq_length] (0 after the end) and their log-probs."""
        max_len = opt.get("seq_length", self.seq_length)
        fc, att, p_att = self.prepare(feats)
        B = feats.size(0)
        state = self.init_hidden(B)
        seq = torch.zeros(B, max_len, dtype=torch.long, device=feats.device)
        seqLogprobs = feats.new_zeros(B, max_len)
        it = torch.zeros(B, dtype=torch.long, device=feats.device)
        unfinished = torch.ones(B, dtype=torch.bool, device=feats.device)
        for t in range(max_len):
            logprobs, state = self.get_logprobs_state(it, fc, att, p_att, state)
            sampleLogprobs, it = torch.max(logprobs, 1)
            unfinished = unfinished & (it > 0)
            it = it * unfinished.type_as(it)
            seq[:, t] = it
            seqLogprobs[:, t] = sampleLogprobs
            if unfinished.sum() == 0:
                break
        return seq, seqLogprobs


def decode_sequence(ix_to_word, seq):
    out = []
    for row in seq.tolist():
        txt = []
        for ix in row:
            if ix == 0:
                break
            txt.append(ix_to_word[str(ix)])
        out.append(" ".join(txt))
    return out


def logmel(path, sr=44100, n_mels=64):
    y, fs = sf.read(path, dtype="float32", always_2d=True)
    y = torch.from_numpy(np.ascontiguousarray(y.mean(1)))
    if fs != sr:
        y = torchaudio.functional.resample(y, fs, sr)
    spec = torchaudio.transforms.MelSpectrogram(
        sr, n_fft=2048, win_length=2048, hop_length=1024, n_mels=n_mels, power=1.0
    )(y)
    spec = torch.log(spec.T + np.finfo(np.float32).eps)
    return (spec - spec.mean()) / spec.std()


def save_checkpoint(path):
    torch.manual_seed(870)
    words = sorted(set("""the a of in on with from by several loud quiet insects buzz birds tweet
    vehicle motor idles accelerates paper crumples glass breaks toilet flushes baby cries sheep
    bleats gun fires spray hisses church bells toll UNK""".split()))  # fmt: skip
    ix_to_word = {str(i + 1): w for i, w in enumerate(words)}
    opt = Namespace(vocab_size=len(words), seq_length=16, rnn_size=64, feat_size=64,
                    input_encoding_size=48, att_hid_size=32, drop_prob_lm=0.5)  # fmt: skip
    model = TopDownModel(opt)
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.mul_(3.2)
        model.logit.bias[0] += 0.5
    torch.save({"model": model.state_dict(), "opt": opt, "vocab": ix_to_word, "iter": 3000}, path)


def reference_captions(checkpoint_path, wav_paths):
    infos = torch.load(checkpoint_path, map_location="cpu", weights_only=False)
    model = TopDownModel(infos["opt"])
    model.load_state_dict(infos["model"])
    model.eval()
    captions = []
    for p in wav_paths:
        with torch.no_grad():
            seq, _ = model.sample(logmel(p).unsqueeze(0), {"seq_length": 16})
        captions += decode_sequence(infos["vocab"], seq)
    return captions
