"""All words at once: one learned query per word position, no feedback of words."""

from pathlib import Path

import soundfile as sf
import torch
from torch import Tensor, nn
from torchaudio.functional import resample
from torchaudio.transforms import MelSpectrogram

L = 16
ID_TO_WORD: dict[int, str] = dict(
    enumerate(
        ["<blank>", "<eos>"]
        + (
            "a an the old heavy loud quiet sharp truck tractor lawn mower church bells ring toll "
            "stream river flows gently insects hum night owl hoots wolf howls near campfire "
            "burns leaves rustle under feet and"
        ).split()
    )
)


def log_mel(path: str | Path) -> Tensor:
    x, sr = sf.read(str(path), dtype="float32")
    x = torch.from_numpy(x if x.ndim == 1 else x.mean(1))
    if sr != 16_000:
        x = resample(x, sr, 16_000)
    mel = MelSpectrogram(16_000, n_fft=1024, hop_length=512, n_mels=48, norm="slaney")(x)
    mel = (mel + 1e-6).log()
    return (mel - mel.mean(dim=1, keepdim=True).mean()) / 3.0  # [48, T]


class ConvBlock(nn.Module):
    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel_size=3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.max_pool2d(self.bn(self.conv(x)).relu(), 2)


class ParallelCaptioner(nn.Module):
    def __init__(self, vocab_size: int, dim: int = 64, length: int = L, heads: int = 4):
        super().__init__()
        self.length = length
        self.backbone = nn.Sequential(ConvBlock(1, 16), ConvBlock(16, 32), ConvBlock(32, 32))
        self.proj = nn.Linear(32 * 6, dim)
        self.queries = nn.Parameter(torch.randn(length, dim))
        self.cross = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.mix = nn.TransformerEncoderLayer(dim, heads, 2 * dim, 0.1, batch_first=True)
        self.classifier = nn.Linear(dim, vocab_size)

    def forward(self, mel: Tensor) -> Tensor:
        """mel [B, 48, T] -> logits [B, L, V]"""
        x = self.backbone(mel.unsqueeze(1))  # B, 32, 6, T/8
        x = self.proj(x.flatten(1, 2).transpose(1, 2))
        q = self.queries.expand(mel.shape[0], -1, -1)
        y, _ = self.cross(q, x, x)
        return self.classifier(self.mix(q + y))

    @torch.no_grad()
    def predict(self, mel: Tensor) -> list[list[int]]:
        best = self(mel).argmax(dim=-1)
        captions = []
        for row in best:
            ids = []
            for i in row.tolist():
                if i == 1:
                    break
                ids.append(i)
            captions.append(ids)
        return captions


def loss_fn(model: ParallelCaptioner, mel: Tensor, target: Tensor) -> Tensor:
    # target [B, L], filled with <eos> after the last word
    return nn.functional.cross_entropy(model(mel).flatten(0, 1), target.flatten())


def save_checkpoint(path):
    torch.manual_seed(4)
    model = ParallelCaptioner(len(ID_TO_WORD))
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2.0)
        model.cross.out_proj.weight.mul_(2.0)
        model.classifier.bias[1] += 2.0
    torch.save({"net": model.state_dict(), "id_to_word": ID_TO_WORD, "length": L}, path)


def reference_captions(checkpoint_path, wav_paths):
    saved = torch.load(checkpoint_path, map_location="cpu", weights_only=True)
    id_to_word = saved["id_to_word"]
    model = ParallelCaptioner(len(id_to_word), length=saved["length"])
    model.load_state_dict(saved["net"])
    model.eval()
    mels = torch.stack([log_mel(p) for p in wav_paths])
    return [" ".join(id_to_word[i] for i in ids if i > 1) for ids in model.predict(mels)]
