"""AAC project, week 6 baseline: GRU encoder, LSTM decoder, trained with teacher forcing."""

import soundfile as sf
import torch
import torch.nn as nn
import torchaudio

SAMPLE_RATE = 16000
N_MELS = 64
MAX_LEN = 18

WORDS = (
    "a the dog bird man woman child car engine train bell water rain wind barks sings speaks "
    "laughs passes runs rings flows falls blows loudly softly slowly while and then in near "
    "distance background"
).split()
SPECIALS = ["<pad>", "<sos>", "<eos>", "<unk>"]


class AudioCaptioner(nn.Module):
    def __init__(self, vocab_size, embed_dim, hidden_dim, n_mels=N_MELS, dropout=0.3):
        super().__init__()
        self.encoder = nn.GRU(n_mels, hidden_dim, batch_first=True)
        self.init_h = nn.Linear(hidden_dim, hidden_dim)
        self.init_c = nn.Linear(hidden_dim, hidden_dim)
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=0)
        self.decoder = nn.LSTM(embed_dim, hidden_dim, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.fc_out = nn.Linear(hidden_dim, vocab_size)

    def encode_audio(self, audio):
        # audio: [B, T, n_mels]
        outputs, _ = self.encoder(audio)
        pooled = outputs.mean(dim=1)
        h0 = torch.tanh(self.init_h(pooled)).unsqueeze(0)
        c0 = torch.tanh(self.init_c(pooled)).unsqueeze(0)
        return h0, c0

    def forward(self, audio, captions):
        """captions: [B, L] with <sos> and <eos>; returns logits [B, L-1, vocab]."""
        hidden = self.encode_audio(audio)
        embedded = self.dropout(self.embedding(captions[:, :-1]))
        outputs, _ = self.decoder(embedded, hidden)
        return self.fc_out(self.dropout(outputs))

    @torch.no_grad()
    def generate(self, audio, max_len, sos_idx, eos_idx):
        """Greedy decoding of ONE clip, audio: [1, T, n_mels]."""
        hidden = self.encode_audio(audio)
        token = torch.tensor([[sos_idx]], device=audio.device)
        caption = []
        for _ in range(max_len):
            output, hidden = self.decoder(self.embedding(token), hidden)
            next_id = self.fc_out(output[:, -1]).argmax(dim=-1).item()
            if next_id == eos_idx:
                break
            caption.append(next_id)
            token = torch.tensor([[next_id]], device=audio.device)
        return caption


mel_transform = torchaudio.transforms.MelSpectrogram(
    sample_rate=SAMPLE_RATE, n_fft=1024, hop_length=512, n_mels=N_MELS
)


def extract_features(path):
    wav, sr = sf.read(path, dtype="float32")
    wav = torch.from_numpy(wav)
    if wav.dim() == 2:
        wav = wav.mean(dim=1)
    if sr != SAMPLE_RATE:
        wav = torchaudio.functional.resample(wav, sr, SAMPLE_RATE)
    mel = torch.log(mel_transform(wav) + 1e-6)
    mel = (mel - mel.mean()) / (mel.std() + 1e-6)
    return mel.transpose(0, 1)  # [T, n_mels]


def save_checkpoint(path):
    torch.manual_seed(95)
    vocab = {w: i for i, w in enumerate(SPECIALS + WORDS)}
    args = {"embed_dim": 64, "hidden_dim": 96, "n_mels": N_MELS, "dropout": 0.3}
    model = AudioCaptioner(len(vocab), args["embed_dim"], args["hidden_dim"])
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "weight" in name and "embedding" not in name:
                p.mul_(6.8)
        model.fc_out.bias[vocab["<eos>"]] += 1.5
        model.fc_out.bias[:2] -= 10.0
    torch.save({"model_state_dict": model.state_dict(), "vocab": vocab, "args": args}, path)


def load_model(checkpoint_path):
    checkpoint = torch.load(checkpoint_path, map_location="cpu")
    vocab, args = checkpoint["vocab"], checkpoint["args"]
    model = AudioCaptioner(len(vocab), **args)
    model.load_state_dict(checkpoint["model_state_dict"])
    model.eval()
    return model, vocab


def reference_captions(checkpoint_path, wav_paths):
    model, vocab = load_model(checkpoint_path)
    idx2word = {i: w for w, i in vocab.items()}
    results = []
    for path in wav_paths:
        feats = extract_features(path).unsqueeze(0)
        ids = model.generate(feats, MAX_LEN, vocab["<sos>"], vocab["<eos>"])
        results.append(" ".join(idx2word[i] for i in ids if idx2word[i] not in SPECIALS))
    return results
