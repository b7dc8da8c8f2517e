import math
from collections import OrderedDict

import soundfile as sf
import torch
import torch.nn as nn
import torchaudio

PAD_IDX, BOS_IDX, EOS_IDX, UNK_IDX = 0, 1, 2, 3
special_symbols = ["<pad>", "<bos>", "<eos>", "<unk>"]
itos = (
    special_symbols
    + (
        "a an is are being bell rings clock ticks baby cries laughs child children play plays piano "
        "guitar drum beats helicopter flies over overhead siren wails truck horn honks thunder "
        "rumbles footsteps glass breaks"
    ).split()
)
stoi = {w: i for i, w in enumerate(itos)}


class LogMel:
    def __init__(self, sample_rate=16000, n_mels=32):
        self.sample_rate = sample_rate
        self.mel = torchaudio.transforms.MelSpectrogram(
            sample_rate, n_fft=1024, win_length=1024, hop_length=640, n_mels=n_mels, power=2.0
        )

    def __call__(self, path):
        wav, sr = sf.read(path, dtype="float32", always_2d=True)
        wav = torch.from_numpy(wav.T).mean(0)
        if sr != self.sample_rate:
            wav = torchaudio.functional.resample(wav, sr, self.sample_rate)
        mel = torch.log10(torch.clamp(self.mel(wav), min=1e-10))
        mel = torch.maximum(mel, mel.max() - 8.0)
        mel = (mel + 4.0) / 4.0
        return mel.transpose(0, 1)  # [T, n_mels]


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, dropout=0.1, max_len=1000):
        super().__init__()
        self.dropout = nn.Dropout(p=dropout)
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(max_len, 1, d_model)
        pe[:, 0, 0::2] = torch.sin(position * div_term)
        pe[:, 0, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe)

    def forward(self, x):
        return self.dropout(x + self.pe[: x.size(0)])


def generate_square_subsequent_mask(sz, device):
    return torch.triu(torch.full((sz, sz), float("-inf"), device=device), diagonal=1)


class Seq2SeqTransformer(nn.Module):
    def __init__(
        self,
        n_mels,
        vocab_size,
        d_model=64,
        nhead=4,
        num_layers=2,
        dim_feedforward=128,
        dropout=0.1,
    ):
        super().__init__()
        self.d_model = d_model
        self.src_proj = nn.Linear(n_mels * 4, d_model)
        self.tgt_tok_emb = nn.Embedding(vocab_size, d_model)
        self.positional_encoding = PositionalEncoding(d_model, dropout)
        self.transformer = nn.Transformer(
            d_model=d_model,
            nhead=nhead,
            num_encoder_layers=1,
            num_decoder_layers=num_layers,
            dim_feedforward=dim_feedforward,
            dropout=dropout,
        )
        self.generator = nn.Linear(d_model, vocab_size)

    def stack_frames(self, src):
        T, B, D = src.shape
        T = T // 4 * 4
        return src[:T].reshape(T // 4, 4, B, D).permute(0, 2, 1, 3).reshape(T // 4, B, 4 * D)

    def encode(self, src, src_mask=None):
        src = self.src_proj(self.stack_frames(src))
        return self.transformer.encoder(self.positional_encoding(src), src_mask)

    def decode(self, tgt, memory, tgt_mask):
        emb = self.tgt_tok_emb(tgt) * math.sqrt(self.d_model)
        return self.transformer.decoder(self.positional_encoding(emb), memory, tgt_mask)

    def forward(self, src, tgt):
        # src: [T, B, n_mels], tgt: [L, B]
        tgt_mask = generate_square_subsequent_mask(tgt.size(0), tgt.device)
        tgt_padding_mask = (tgt == PAD_IDX).transpose(0, 1)
        src_emb = self.positional_encoding(self.src_proj(self.stack_frames(src)))
        tgt_emb = self.positional_encoding(self.tgt_tok_emb(tgt) * math.sqrt(self.d_model))
        outs = self.transformer(
            src_emb, tgt_emb, tgt_mask=tgt_mask, tgt_key_padding_mask=tgt_padding_mask
        )
        return self.generator(outs)

    def greedy(self, src, max_len):
        memory = self.encode(src)
        ys = torch.ones(1, 1).fill_(BOS_IDX).type(torch.long).to(src.device)
        for i in range(max_len - 1):
            tgt_mask = generate_square_subsequent_mask(ys.size(0), src.device)
            out = self.decode(ys, memory, tgt_mask)
            out = out.transpose(0, 1)
            prob = self.generator(out[:, -1])
            _, next_word = torch.max(prob, dim=1)
            next_word = next_word.item()
            ys = torch.cat([ys, torch.ones(1, 1).type_as(ys).fill_(next_word)], dim=0)
            if next_word == EOS_IDX:
                break
        return ys


def save_checkpoint(path):
    torch.manual_seed(4)
    hparams = dict(n_mels=32, vocab_size=len(itos), d_model=64, nhead=4, num_layers=2)
    net = Seq2SeqTransformer(**hparams)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "norm" not in name:
                p.mul_(2)
        net.tgt_tok_emb.weight.mul_(0.4)
        for layer in net.transformer.decoder.layers:
            layer.multihead_attn.out_proj.weight.mul_(0.4)
            layer.linear2.weight.mul_(2)
        net.generator.bias[EOS_IDX] += 0.5
    state_dict = OrderedDict(("net." + k, v) for k, v in net.state_dict().items())
    ckpt = {
        "epoch": 49,
        "global_step": 12000,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": state_dict,
        "hyper_parameters": {**hparams, "lr": 1e-3},
    }
    torch.save(ckpt, path)


def reference_captions(checkpoint_path, wav_paths):
    ckpt = torch.load(checkpoint_path, map_location="cpu", weights_only=False)
    hp = dict(ckpt["hyper_parameters"])
    hp.pop("lr")
    net = Seq2SeqTransformer(**hp)
    net.load_state_dict({k[len("net.") :]: v for k, v in ckpt["state_dict"].items()})
    net.eval()
    logmel = LogMel()
    captions = []
    for path in wav_paths:
        src = logmel(path).unsqueeze(1)  # [T, 1, n_mels]
        with torch.no_grad():
            tokens = net.greedy(src, max_len=22).flatten()
        captions.append(" ".join(itos[t] for t in tokens.tolist() if t > UNK_IDX))
    return captions
