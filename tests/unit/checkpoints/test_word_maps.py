"""Vocabularies in the objects and files that people keep them in."""

from __future__ import annotations

import collections
import json
import pickle
import struct

import numpy as np
import pytest
import torch
from torch import nn

from capfix_cli.checkpoints.inspection import inspect_checkpoint
from capfix_cli.checkpoints.vocabulary import load_vocabulary
from capfix_cli.core.errors import CapfixError

WORDS = ["wind", "blows", "a", "door", "slams"]
ALL = ["<pad>", "<sos>", "<eos>", "<unk>", *WORDS]
IDS = {word: number for number, word in enumerate(ALL)}
BACK = dict(enumerate(ALL))
KERAS = {word: number + 1 for number, word in enumerate(["startseq", "endseq", *WORDS])}


class Thing:
    def __init__(self, **fields):
        self.__dict__.update(fields)


class Vocab(Thing):
    """As torchtext of now saves what is made in C++: a tuple of versions, numbers and words."""

    def __init__(self):
        pass

    def __getstate__(self):
        return ("0.0.2", [], list(ALL), [])

    def __setstate__(self, state):
        raise AssertionError("it runs")


class WordDict(dict):
    pass


KINDS = {
    "map": IDS,
    "inverse": BACK,
    "pair": (IDS, BACK),
    "both": {"word_to_ix": IDS, "ix_to_word": BACK},
    "list": ALL,
    "subclass": WordDict(IDS),
    "array": np.array(ALL, dtype=object),
    "object": Thing(word2idx=IDS, idx2word=BACK, idx=len(ALL)),
    "legacy-torchtext": Thing(
        freqs=collections.Counter(WORDS), itos=ALL, stoi=collections.defaultdict(int, IDS)
    ),
    "torchtext": Thing(vocab=Vocab()),
    "symbols": Thing(symbols=ALL, indices=IDS, count=[1] * len(ALL), pad_index=0),
    "nested": {"data": {"made": "today", "field": Thing(token2id=IDS, id2token=BACK)}},
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_pickled_vocabularies_are_read(kind, protocol, tmp_path):
    path = tmp_path / "words.pkl"
    path.write_bytes(pickle.dumps(KINDS[kind], protocol))
    found = load_vocabulary(str(path))
    assert found.words == tuple(ALL)
    assert (found.pad_id, found.bos_id, found.eos_id, found.unk_id) == (0, 1, 2, 3)


@pytest.mark.parametrize("compress", [0, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_joblib_keeps_them_too(kind, compress, tmp_path):
    joblib = pytest.importorskip("joblib")
    path = tmp_path / "words.joblib"
    kept = {"vocab": KINDS[kind], "vectors": np.zeros((len(ALL), 3)), "more": np.array([None, {}])}
    joblib.dump(kept, path, compress=compress)
    assert load_vocabulary(str(path)).words == tuple(ALL)


def test_the_seq2seq_tutorials_map_leaves_out_what_its_inverse_has(tmp_path):
    back = {0: "SOS", 1: "EOS", **{number + 2: word for number, word in enumerate(WORDS)}}
    there = {word: number for number, word in back.items() if number > 1}
    counts = dict.fromkeys(WORDS, 3)
    path = tmp_path / "lang.pkl"
    path.write_bytes(
        pickle.dumps(Thing(name="en", word2index=there, word2count=counts, index2word=back))
    )
    found = load_vocabulary(str(path))
    assert found.words == ("SOS", "EOS", *WORDS)
    assert (found.bos_id, found.eos_id) == (0, 1)


@pytest.mark.parametrize("kept", [None, 5])
def test_a_keras_tokenizer_counts_from_one_and_keeps_so_many(kept, tmp_path):
    tokenizer = Thing(
        word_counts=collections.OrderedDict.fromkeys(KERAS, 9),
        word_docs=collections.defaultdict(int, {"a": 1}),
        word_index=KERAS,
        index_word={number: word for word, number in KERAS.items()},
        num_words=kept,
        oov_token=None,
    )
    path = tmp_path / "tokenizer.pkl"
    path.write_bytes(pickle.dumps(tokenizer))
    found = load_vocabulary(str(path))
    assert found.words == ("<pad>", *KERAS)[: kept or 8]
    assert (found.pad_id, found.bos_id, found.eos_id) == (0, 1, 2)


def test_row_0_is_no_padding_where_padding_has_its_own():
    found = load_vocabulary({word: number + 1 for word, number in IDS.items()})
    assert found.words[0] == "<row 0>"
    assert found.pad_id == 1


def test_bare_names_count_only_where_special_tokens_stand():
    assert load_vocabulary(["start", "end", *WORDS]).bos_id == 0
    with pytest.raises(CapfixError, match="which token opens"):
        load_vocabulary([*WORDS, "start", "end", *(f"w{n}" for n in range(9))])


@pytest.mark.parametrize(
    "kept",
    [
        Thing(word2idx={"a": 0, "b": 1, "<sos>": 2}, idx2word={0: "b", 1: "a", 2: "<sos>"}),
        {"one": ["<sos>", "<eos>", "x"], "other": ["<sos>", "<eos>", "y"]},
        {"captions": ["a dog barks", "rain falls", "a door slams"]},
    ],
    ids=["contradiction", "two", "sentences"],
)
def test_what_cannot_be_told_is_not_guessed(kept, tmp_path):
    path = tmp_path / "words.pkl"
    path.write_bytes(pickle.dumps(kept))
    with pytest.raises(CapfixError, match="holds no vocabulary that can be read"):
        load_vocabulary(str(path))


@pytest.mark.parametrize(
    "kept",
    [
        {"version": 1, "vocab": IDS, "counts": {"a": 3}},
        {"ix_to_word": {str(number): word for number, word in BACK.items()}},
        {"meta": {"made": "today"}, "words": {"token_list": ALL}},
    ],
    ids=["named", "inverse", "list"],
)
def test_json_with_more_beside(kept, tmp_path):
    path = tmp_path / "words.json"
    path.write_text(json.dumps(kept))
    assert load_vocabulary(str(path)).words == tuple(ALL)


def _field(number, data):
    return bytes([number << 3 | 2, len(data)]) + data


def sentence_pieces(path, pieces=("<unk>", "<s>", "</s>", "\u2581a", "\u2581dog")):
    """Write a model as sentencepiece_model.proto lays it out: pieces, then how it was trained."""
    kinds = {"<unk>": 2, "<s>": 3, "</s>": 3}
    data = b""
    for piece in pieces:
        body = _field(1, piece.encode()) + b"\x15" + struct.pack("<f", -1.5)
        body += b"\x18" + bytes([kinds[piece]]) if piece in kinds else b""
        data += _field(1, body)
    path.write_bytes(data + _field(2, b"\x20\x05"))
    return pieces


def test_sentence_pieces_are_read(tmp_path):
    pieces = sentence_pieces(tmp_path / "spm.model")
    found = load_vocabulary(str(tmp_path / "spm.model"))
    assert found.words == pieces
    assert (found.bos_id, found.eos_id, found.unk_id) == (1, 2, 0)


def test_a_real_model_of_sentencepiece_has_the_same_pieces(tmp_path):
    library = pytest.importorskip("sentencepiece")
    (tmp_path / "text.txt").write_text("a dog barks in the rain\nrain falls on a roof\n" * 30)
    library.SentencePieceTrainer.train(
        input=str(tmp_path / "text.txt"),
        model_prefix=str(tmp_path / "spm"),
        vocab_size=22,
        minloglevel=9,
    )
    model = library.SentencePieceProcessor(model_file=str(tmp_path / "spm.model"))
    found = load_vocabulary(str(tmp_path / "spm.model"))
    assert list(found.words) == [model.id_to_piece(n) for n in range(model.get_piece_size())]


@pytest.mark.parametrize("cut", [1, 7, 20])
def test_a_broken_model_of_pieces_is_no_vocabulary(cut, tmp_path):
    sentence_pieces(tmp_path / "spm.model")
    data = (tmp_path / "spm.model").read_bytes()
    (tmp_path / "spm.model").write_bytes(data[:-cut])
    with pytest.raises(CapfixError):
        load_vocabulary(str(tmp_path / "spm.model"))


def test_inspect_says_what_a_file_without_tensors_is(tmp_path):
    def content(kept, name="x.pkl"):
        (tmp_path / name).write_bytes(pickle.dumps(kept))
        return inspect_checkpoint(str(tmp_path / name)).facts["content"].value

    many = {f"w{n}": n for n in range(4373)}
    assert content(many) == "no tensors: a word map of 4,373 words"
    assert content(list(many)) == "no tensors: a word list of 4,373 words"
    assert content({"rate": 1, "width": 0, "depth": 2}) == "no tensors: settings: 3 values"
    arrays = {f"clip{n}": np.zeros((8, 4)) for n in range(20)}
    assert content(arrays) == "no tensors: 20 arrays, the first an array [8, 4] of float64"
    assert content([None]) is None
    sentence_pieces(tmp_path / "spm.model")
    with pytest.raises(CapfixError, match="SentencePiece model of 5 pieces"):
        inspect_checkpoint(str(tmp_path / "spm.model"))


def test_a_vocabulary_of_any_class_beside_the_weights_is_found(tmp_path):
    kept = {"model": nn.Linear(2, 2).state_dict(), "config": {"tokenizer": KINDS["torchtext"]}}
    torch.save(kept, tmp_path / "m.pt")
    assert inspect_checkpoint(str(tmp_path / "m.pt")).vocabulary.size == len(ALL)
    assert load_vocabulary(str(tmp_path / "m.pt")).words == tuple(ALL)
