"""Automated audio captioning: waveform -> mel -> residual CNN -> LSTM with beam search."""

import argparse

import soundfile as sf
import torch
import torchaudio
from torch import nn


def get_arguments(argument_list=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--sampling-rate", type=int, default=32000)
    parser.add_argument("--number-of-mel-bands", type=int, default=64)
    parser.add_argument("--embedding-dimension", type=int, default=64)
    parser.add_argument("--hidden-dimension", type=int, default=96)
    parser.add_argument("--beam-size", type=int, default=3)
    parser.add_argument("--maximum-caption-length", type=int, default=15)
    return parser.parse_args([] if argument_list is None else argument_list)


class ResidualBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first_convolution = nn.Conv1d(channels, channels, kernel_size=3, padding=1)
        self.second_convolution = nn.Conv1d(channels, channels, kernel_size=3, padding=1)

    def forward(self, features):
        hidden = torch.relu(self.first_convolution(features))
        return torch.relu(features + self.second_convolution(hidden))


class AutomatedAudioCaptioningNetwork(nn.Module):
    def __init__(self, vocabulary_size, arguments, start_token_index, end_token_index):
        super().__init__()
        hidden_dimension = arguments.hidden_dimension
        self.start_token_index = start_token_index
        self.end_token_index = end_token_index
        self.maximum_caption_length = arguments.maximum_caption_length
        self.mel_spectrogram_extractor = torchaudio.transforms.MelSpectrogram(
            sample_rate=arguments.sampling_rate,
            n_fft=1024,
            hop_length=512,
            n_mels=arguments.number_of_mel_bands,
        )
        self.input_normalization = nn.BatchNorm1d(arguments.number_of_mel_bands)
        self.input_projection = nn.Conv1d(arguments.number_of_mel_bands, hidden_dimension, 1)
        self.residual_blocks = nn.Sequential(
            ResidualBlock(hidden_dimension), nn.MaxPool1d(4), ResidualBlock(hidden_dimension)
        )
        self.word_embedding = nn.Embedding(vocabulary_size, arguments.embedding_dimension)
        self.language_model = nn.LSTMCell(arguments.embedding_dimension, hidden_dimension)
        self.audio_gate = nn.Linear(hidden_dimension * 2, hidden_dimension)
        self.word_classifier = nn.Linear(hidden_dimension, vocabulary_size)

    def extract_audio_embedding(self, waveform):
        """waveform: (batch, samples) or (batch, 1, samples)"""
        if waveform.dim() == 3:
            waveform = waveform.squeeze(1)
        spectrogram = torch.log(self.mel_spectrogram_extractor(waveform) + 1e-5)
        features = self.input_projection(self.input_normalization(spectrogram))
        features = self.residual_blocks(features)
        return features.mean(dim=2) + features.max(dim=2).values

    def decoding_step(self, word_indices, state, audio_embedding):
        hidden_state, cell_state = self.language_model(self.word_embedding(word_indices), state)
        gate = torch.sigmoid(self.audio_gate(torch.cat([hidden_state, audio_embedding], dim=1)))
        fused = gate * hidden_state + (1 - gate) * torch.tanh(audio_embedding)
        return self.word_classifier(fused), (hidden_state, cell_state)

    def forward(self, waveform, target_captions):
        audio_embedding = self.extract_audio_embedding(waveform)
        state = (torch.tanh(audio_embedding), torch.zeros_like(audio_embedding))
        all_scores = []
        for position in range(target_captions.shape[1] - 1):
            scores, state = self.decoding_step(target_captions[:, position], state, audio_embedding)
            all_scores.append(scores)
        return torch.stack(all_scores, dim=1)

    @torch.no_grad()
    def beam_search(self, waveform, beam_size=3):
        """Works on a single recording. Returns the word indices of the best hypothesis."""
        audio_embedding = self.extract_audio_embedding(waveform)
        state = (torch.tanh(audio_embedding), torch.zeros_like(audio_embedding))
        beams = [(0.0, [self.start_token_index], state)]
        finished_hypotheses = []
        for _ in range(self.maximum_caption_length):
            candidates = []
            for log_probability, indices, state in beams:
                last_word = torch.tensor([indices[-1]], device=waveform.device)
                scores, new_state = self.decoding_step(last_word, state, audio_embedding)
                best = torch.log_softmax(scores[0], dim=0).topk(beam_size)
                for value, index in zip(best.values.tolist(), best.indices.tolist()):
                    candidates.append((log_probability + value, indices + [index], new_state))
            candidates.sort(key=lambda candidate: candidate[0], reverse=True)
            beams = []
            for candidate in candidates[:beam_size]:
                if candidate[1][-1] == self.end_token_index:
                    finished_hypotheses.append(candidate)
                else:
                    beams.append(candidate)
            if not beams:
                break
        finished_hypotheses = finished_hypotheses or beams
        best = max(finished_hypotheses, key=lambda hypothesis: hypothesis[0] / len(hypothesis[1]))
        return [index for index in best[1][1:] if index != self.end_token_index]


def save_checkpoint(path):
    torch.manual_seed(886)
    words = """background-noise birds chirp children chatter church-bell clock coins door creaks
    slams engine revs fan whirs frog croaks heavy rain light thunder music plays quietly radio tuned
    saw scrapes ship horn steps on snow train passes tractor idles""".split()
    vocabulary = ["<PADDING>", "<START>", "<END>", "<UNKNOWN>"] + words
    arguments = get_arguments()
    network = AutomatedAudioCaptioningNetwork(len(vocabulary), arguments, 1, 2)
    with torch.no_grad():
        network.input_normalization.running_mean.fill_(-2.0)
        network.input_normalization.running_var.fill_(9.0)
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1 and "embedding" not in name:
                parameter.mul_(7.0)
        network.word_classifier.bias[2] += 3.0
        network.word_classifier.bias[[0, 1, 3]] -= 30.0
    contents = {"epoch": 12, "arguments": arguments, "network_weights": network.state_dict()}
    torch.save({**contents, "vocabulary": vocabulary}, path)


def reference_captions(checkpoint_path, wav_paths):
    checkpoint = torch.load(checkpoint_path, map_location="cpu", weights_only=False)
    arguments, vocabulary = checkpoint["arguments"], checkpoint["vocabulary"]
    network = AutomatedAudioCaptioningNetwork(
        len(vocabulary), arguments, vocabulary.index("<START>"), vocabulary.index("<END>")
    )
    network.load_state_dict(checkpoint["network_weights"])
    network.eval()
    captions = []
    for wav_path in wav_paths:
        samples, rate = sf.read(wav_path, dtype="float32", always_2d=True)
        waveform = torch.from_numpy(samples.mean(axis=1)).unsqueeze(0)
        waveform = torchaudio.functional.resample(waveform, rate, arguments.sampling_rate)
        indices = network.beam_search(waveform, beam_size=arguments.beam_size)
        captions.append(" ".join(vocabulary[index] for index in indices))
    return captions
