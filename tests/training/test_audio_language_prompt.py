"""A language model taught one prompt and asked another: told, and mended by the words."""

from __future__ import annotations

import csv
import json

import pytest
import soundfile
import torch

from benchmarks.zoo import audio_language as zoo
from capfix_cli.captioners.huggingface.audio_language_folder import find_class
from capfix_cli.captioners.huggingface.audio_prompt import PROMPT, PROMPTS, AudioPrompt

KINDS = ("dog barks", "rain falls loudly", "a bell rings", "wind and rain")
CLIPS, RATE, STEPS = 32, 16_000, 160
TAUGHT = PROMPTS[2]


def sounds():
    """Tones of four heights, each clip with noise of its own: [CLIPS, samples]."""
    generator = torch.Generator().manual_seed(7)
    time = torch.arange(RATE) / RATE
    heights = torch.tensor([200.0, 700.0, 1800.0, 4500.0])[torch.arange(CLIPS) % 4]
    tones = 0.4 * torch.sin(6.28 * heights.unsqueeze(1) * time)
    return tones + 0.02 * torch.randn(CLIPS, RATE, generator=generator)


def teach(folder):
    """Captions under the taught prompt; under the default one the same words for every clip."""
    import transformers

    kind = find_class(json.loads((folder / "config.json").read_text()))
    model = kind.from_pretrained(folder)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    tokenizer = processor.tokenizer
    lengths = torch.full((CLIPS,), RATE)
    waveforms = sounds()
    batches = []
    for words in (TAUGHT, PROMPT):
        said = [KINDS[i % 4] if words == TAUGHT else "a a" for i in range(CLIPS)]
        ids = [[*tokenizer(text, add_special_tokens=False).input_ids, 2] for text in said]
        longest = max(map(len, ids))
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
        inside = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
        fed = AudioPrompt(processor, words, "")(waveforms, lengths)
        places = fed["input_ids"].shape[1]
        fed["input_ids"] = torch.cat([fed["input_ids"], padded], dim=1)
        fed["attention_mask"] = torch.cat([fed["attention_mask"], inside], dim=1)
        labels = fed["input_ids"].masked_fill(fed["attention_mask"] == 0, -100)
        labels[:, :places] = -100
        batches.append({**fed, "labels": labels})
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for step in range(STEPS):
        loss = model(**batches[step % 2]).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.save_pretrained(folder)
    return float(loss.detach())


@pytest.mark.slow
def test_the_words_of_training_are_found(tmp_path, capfix, monkeypatch):
    from benchmarks.zoo import audio_language_parts as parts

    monkeypatch.setattr(zoo, "STANDARD", 0.1)
    monkeypatch.setattr(parts, "STANDARD", 0.1)
    monkeypatch.setattr(parts, "PROMPT", sorted({w for p in PROMPTS for w in p.split()}))
    folder = zoo.save("granite_speech", tmp_path / "model")
    assert teach(folder) < 0.2
    clips = tmp_path / "clips"
    clips.mkdir()
    with (tmp_path / "said.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "caption_1"])
        for number, sound in enumerate(sounds()):
            soundfile.write(clips / f"{number:02}.wav", sound.numpy(), RATE)
            rows.writerow([f"{number:02}.wav", KINDS[number % 4]])
    asked = ("diagnose", folder, "--audio", clips, "--references", tmp_path / "said.csv")
    right = capfix(*asked, "--prompt", TAUGHT, "--json", "--quiet")
    assert right.status == 0, right.err
    wrong = capfix(*asked, "--json", "--quiet")
    assert wrong.status == 0, wrong.err
    found, sound = json.loads(wrong.out), json.loads(right.out)
    first = found["causes"][0]
    assert first["id"] == "wiring.prompt"
    assert any(f"{words!r} does better" in first["mend"] for words in PROMPTS[1:])
    assert [r for r in found["repairs"] if "asked" in json.dumps(r)]
    assert "wiring.prompt" not in [cause["id"] for cause in sound["causes"]]
