"""Decoding options on disk: what transformers writes is read, and what we write it reads."""

from __future__ import annotations

import difflib
import json

import pytest

from capfix_cli.core.errors import CapfixError
from capfix_cli.decoding import generation_config as config_file
from capfix_cli.decoding.decoding_options import GREEDY, DecodingOptions
from capfix_cli.decoding.generation_config import read_decoding, write_decoding

OPTIONS = (
    GREEDY,
    DecodingOptions(do_sample=True),
    DecodingOptions(do_sample=True, temperature=0.8, top_k=7, top_p=0.9, min_p=0.1, typical_p=0.7),
    DecodingOptions(num_beams=6, num_beam_groups=3, diversity_penalty=0.5, length_penalty=0.7),
    DecodingOptions(num_beams=4, early_stopping="never", num_return_sequences=2),
    DecodingOptions(contrast=1.0, contrast_cutoff=0.2, contrast_absent="silence"),
    DecodingOptions(do_sample=True, num_candidates=9, rerank="mbr", repetition_penalty=1.3),
    DecodingOptions(no_repeat_ngram_size=3, min_new_tokens=2, max_new_tokens=9),
)


def written(tmp_path, text):
    path = tmp_path / "generation_config.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return path


@pytest.mark.parametrize("options", OPTIONS)
def test_options_come_back_as_they_were_written(options, tmp_path):
    write_decoding(tmp_path / "decoding.json", options)
    assert read_decoding(tmp_path / "decoding.json") == options


@pytest.mark.parametrize("options", OPTIONS)
def test_transformers_reads_what_we_write_as_we_do(options, tmp_path):
    transformers = pytest.importorskip("transformers")
    write_decoding(tmp_path / "generation_config.json", options)
    theirs = transformers.GenerationConfig.from_pretrained(tmp_path)
    # What its `generate` fills in where a file has none; of these only top_k is not neutral.
    usual = {"top_k": 50 if options.do_sample else 0}
    for name, value in vars(options).items():
        if name.startswith("contrast") or name in {"num_candidates", "rerank"}:
            continue  # ours alone
        read = getattr(theirs, name, None)
        assert (usual.get(name, vars(GREEDY)[name]) if read is None else read) == value, name


def test_what_transformers_writes_is_read(tmp_path):
    transformers = pytest.importorskip("transformers")
    transformers.GenerationConfig(
        do_sample=True, temperature=0.6, top_p=0.9, eos_token_id=2, max_length=20
    ).save_pretrained(tmp_path)
    assert read_decoding(tmp_path / "generation_config.json") == DecodingOptions(
        do_sample=True, temperature=0.6, top_p=0.9, top_k=50
    )
    # Every key that it may hold is ours, ignored, or refused if set: none is taken for a typo.
    keys = transformers.GenerationConfig().to_dict()
    assert len(keys) > 50
    path = written(tmp_path, dict.fromkeys(keys))
    assert read_decoding(path) == GREEDY
    known = {*config_file._OURS, *config_file._THEIRS, *config_file._MISSING}
    for key in set(keys) - known:
        assert not difflib.get_close_matches(key, config_file._OURS, 1, 0.8), key


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ({}, GREEDY),
        ({"do_sample": False, "temperature": 0.6, "top_k": 5}, GREEDY),
        ({"temperature": 0.6}, GREEDY),
        ({"do_sample": True, "top_k": 0}, DecodingOptions(do_sample=True)),
        ({"do_sample": True, "top_k": None}, DecodingOptions(do_sample=True, top_k=50)),
        ({"num_beams": 5, "forced_decoder_ids": [[1, 2]]}, DecodingOptions(num_beams=5)),
        ({"lang_to_id": {"<|en|>": 1}, "return_timestamps": False, "epsilon_cutoff": 0.0}, GREEDY),
    ],
)
def test_files_mean_what_they_mean_to_transformers(data, options, tmp_path):
    assert read_decoding(written(tmp_path, data)) == options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"temprature": 0.8}, "Did you mean temperature?"),
        ({"num_captions": 2}, "Did you mean num_return_sequences?"),
        ({"do_sample": True, "top_p": 0}, "--top-p is 0; it must be above 0"),
        ({"do_sample": "yes"}, "do_sample is 'yes'. It must be true or false."),
        ({"do_sample": True, "num_beams": 5}, "exclude each other"),
        ({"num_beams": 2.5}, "whole number"),
        ({"num_beams": 5, "guidance_scale": 3.0}, "capfix has no such step"),
        ('{"do_sample": true, "temperature": NaN}', "temperature is nan"),
        ("{", "is not JSON (line 1)"),
        ("[1]", "is not a JSON object"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_files_that_cannot_be_meant_are_refused_by_name(text, message, tmp_path):
    path = written(tmp_path, text)
    with pytest.raises(CapfixError, match="generation_config") as caught:
        read_decoding(path)
    assert message in str(caught.value)
    assert caught.value.hint or "must be" in caught.value.message


def test_files_that_cannot_be_read_or_written_are_told(tmp_path):
    with pytest.raises(CapfixError, match="There is no decoding file"):
        read_decoding(tmp_path / "none.json")
    with pytest.raises(CapfixError, match="cannot be read"):
        read_decoding(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(CapfixError, match="is not JSON"):
        read_decoding(tmp_path / "latin.json")
    with pytest.raises(CapfixError, match="cannot be written"):
        write_decoding(tmp_path / "no" / "decoding.json", GREEDY)
