"""Features as people keep them: every layout becomes the same clips, matched with captions."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
import torch

from capfix_cli.audio.audio_batches import Waveform, iterate_batches
from capfix_cli.captions.reference_file import read_references
from capfix_cli.core.errors import CapfixError
from capfix_cli.features import array_files
from capfix_cli.features.feature_set import FeatureSet, open_features

CLIPS = 24
WIDTH = 6
LENGTHS = [5 + n % 4 for n in range(CLIPS)]
NAMES = [f"clip {n:02}" for n in range(CLIPS)]


def arrays(kind=np.float32, width=WIDTH):
    draw = np.random.default_rng(0)
    return {
        name: draw.normal(size=(length, width)).astype(kind)
        for name, length in zip(NAMES, LENGTHS, strict=True)
    }


def packed(held):
    most = max(map(len, held.values()))
    whole = np.zeros((len(held), most, next(iter(held.values())).shape[1]), np.float32)
    for row, array in enumerate(held.values()):
        whole[row, : len(array)] = array
    return whole


def check(found: FeatureSet, names=NAMES, held=None):
    """See that every clip is there under its name, and holds its own numbers."""
    held = held or arrays()
    assert sorted(found.names) == sorted(names)
    assert not found.skipped
    own = dict(zip(names, held.values(), strict=True))
    seen = 0
    for batch in iterate_batches(found.clips, found.rate, 8):
        assert batch.waveforms.ndim == 3
        for row, clip in enumerate(batch.clips):
            length = int(batch.lengths[row])
            assert batch.waveforms[row, length:].abs().sum() == 0
            np.testing.assert_allclose(
                batch.waveforms[row, :length], own[clip.name].astype(np.float32), rtol=1e-3
            )
            seen += 1
    assert seen == len(names)


def captions_file(folder, names, file="captions.csv"):
    rows = "".join(f'"{name}",a sound of kind {row}\n' for row, name in enumerate(names))
    (folder / file).write_text(f"file_name,caption\n{rows}")
    return folder / file


def matched(found, path):
    return found.named_after(list(read_references(path)), path)


def test_a_folder_of_npy_files_in_a_course_work_layout(tmp_path):
    """As course work keeps videos: feat/<id>.avi.npy and labels in JSON by "id": "<id>.avi"."""
    held = arrays(np.float64)
    ids = [f"{name.replace(' ', '_')}_248_265.avi" for name in NAMES]
    (tmp_path / "feat").mkdir()
    for id_, array in zip(ids, held.values(), strict=True):
        np.save(tmp_path / "feat" / f"{id_}.npy", array)
    rows = [{"id": id_, "caption": ["a man plays.", "someone plays."]} for id_ in ids]
    (tmp_path / "training_label.json").write_text(json.dumps(rows))
    found = open_features(tmp_path)
    assert found.described == f"[T, {WIDTH}]"
    found = matched(found, tmp_path / "training_label.json")
    check(found, ids, held)


def test_the_dcase_2020_baseline_s_files_a_caption(tmp_path):
    """One pickled recarray a caption: features beside words, five files a clip."""
    held = arrays()
    for name, array in held.items():
        for copy in range(5):
            row = (f"{name}.wav", f"caption {copy} of it", array, np.arange(3 + copy), copy)
            kinds = [
                ("file_name", "U40"),
                ("caption", "U40"),
                ("features", object),
                ("words_ind", object),
                ("caption_ind", "i4"),
            ]
            record = np.rec.array(np.array(row, dtype=kinds))
            path = tmp_path / "development" / f"clotho_file_{name}_{copy}.npy"
            path.parent.mkdir(exist_ok=True)
            np.save(path, record)
    found = open_features(tmp_path)
    check(found, [f"{name}.wav" for name in NAMES])
    assert "96 arrays are copies" in found.told[0]
    assert len(found.said[f"{NAMES[0]}.wav"]) == 5
    check(
        matched(found, captions_file(tmp_path, [f"{n}.wav" for n in NAMES])),
        [f"{n}.wav" for n in NAMES],
    )


def test_records_with_two_arrays_ask_for_a_field(tmp_path):
    """As BART captioners over VGGish keep them: the field is named by input_field_name."""
    held = arrays()
    for name, array in held.items():
        kinds = [("vggish_embeddings", object), ("yamnet_logits", object), ("caption", "U9")]
        row = (array, np.ones((4, 9), np.float32) * len(array), "a sound")
        np.save(tmp_path / f"clotho_{name}_0.npy", np.rec.array(np.array(row, dtype=kinds)))
    with pytest.raises(CapfixError, match="several arrays") as told:
        open_features(tmp_path)
    assert f"vggish_embeddings [5, {WIDTH}] float32" in told.value.message
    assert "--feature-field" in told.value.hint
    check(open_features(tmp_path, "vggish_embeddings"))
    with pytest.raises(CapfixError, match="no field 'vggish_embedings'") as told:
        open_features(tmp_path, "vggish_embedings")
    assert "vggish_embeddings" in told.value.hint
    both = open_features(tmp_path, "all")
    assert [one.name for one in both.layout.fields] == ["vggish_embeddings", "yamnet_logits"]


def test_hdf5_with_a_dataset_a_clip(tmp_path):
    h5py = pytest.importorskip("h5py")
    held = arrays()
    with h5py.File(tmp_path / "logmel.hdf5", "w") as file:
        for name, array in held.items():
            file[name] = array
    check(open_features(tmp_path / "logmel.hdf5"))
    check(open_features(tmp_path))
    names = [f"{name}.wav" for name in NAMES]
    check(matched(open_features(tmp_path), captions_file(tmp_path, names)), names, held)


def test_two_hdf5_files_of_the_same_clips_and_a_table_of_shards(tmp_path):
    h5py = pytest.importorskip("h5py")
    held = arrays()
    (tmp_path / "both").mkdir()
    with (
        h5py.File(tmp_path / "both" / "fc.h5", "w") as fc,
        h5py.File(tmp_path / "both" / "attn.h5", "w") as attn,
    ):
        for name, array in held.items():
            fc[name], attn[name] = array.mean(axis=0), array
    found = open_features(tmp_path / "both")
    assert [(one.name, one.vector) for one in found.layout.fields] == [
        ("attn", False),
        ("fc", True),
    ]
    (batch, *_) = iterate_batches(found.clips, found.rate, 4)
    features, lengths = found.layout.unpack(batch.waveforms, batch.lengths)
    own = held[batch.names[0]]
    np.testing.assert_allclose(features["attn"][0, : len(own)], own)
    np.testing.assert_allclose(features["fc"][0, 0], own.mean(axis=0), rtol=1e-6)
    assert int(lengths["attn"][0]) == len(own)
    assert lengths["fc"].tolist() == [1] * len(batch.clips)
    rows = ["audio_id\thdf5_path"]
    for part, chosen in enumerate((NAMES[:12], NAMES[12:])):
        with h5py.File(tmp_path / f"part{part}.h5", "w") as file:
            for name in chosen:
                file[name] = held[name]
                rows.append(f"{name}\tpart{part}.h5")
    (tmp_path / "parts.tsv").write_text("\n".join(rows) + "\n")
    check(open_features(tmp_path / "parts.tsv"))


def test_packed_rows_of_hdf5_with_their_shapes(tmp_path):
    """As CoNeTTE and the DCASE 2024 baseline keep them: frame_embs beside frame_embs_shape."""
    h5py = pytest.importorskip("h5py")
    held = arrays()
    text = h5py.string_dtype()
    with h5py.File(tmp_path / "clotho_val.hdf", "w") as file:
        file["frame_embs"] = packed(held)[:, None]
        file["frame_embs_shape"] = np.array([(1, *array.shape) for array in held.values()])
        file.create_dataset("fname", data=[f"{name}.wav" for name in NAMES], dtype=text)
        said = [[f"caption {n} of {name}" for n in range(5)] for name in NAMES]
        file.create_dataset("captions", data=said, dtype=text)
        file["index"] = np.arange(CLIPS)
    found = open_features(tmp_path / "clotho_val.hdf")
    names = [f"{name}.wav" for name in NAMES]
    check(found, names)
    assert len(found.said[names[3]]) == 5


def test_two_trees_of_codes_and_vectors(tmp_path):
    """As EnCLAP keeps them: codes [T, 16] and a vector [D] under the same relative paths."""
    draw = np.random.default_rng(1)
    codes = {name: draw.integers(0, 1024, (5 + row % 4, 16)) for row, name in enumerate(NAMES)}
    for name in NAMES:
        for tree in ("encodec_embeddings", "clap_embeddings"):
            path = tmp_path / tree / "clotho" / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            clap = np.full(8, len(codes[name]), np.float32) + np.arange(8)
            np.save(path, codes[name] if tree[0] == "e" else clap)
    for found in (
        open_features(tmp_path),
        open_features([tmp_path / "clap_embeddings", tmp_path / "encodec_embeddings"]),
    ):
        fields = {one.name: one for one in found.layout.fields}
        assert fields["encodec_embeddings"].integer
        assert fields["clap_embeddings"].vector
        (batch, *_) = iterate_batches(found.clips, found.rate, 4)
        features, _ = found.layout.unpack(batch.waveforms, batch.lengths)
        own = codes[batch.names[0].rpartition("/")[2]]
        assert features["encodec_embeddings"].dtype == torch.int64
        assert features["encodec_embeddings"][0, : len(own)].tolist() == own.tolist()
        assert features["clap_embeddings"].shape == (len(batch.clips), 1, 8)
    csv = tmp_path / "csv" / "test.csv"
    csv.parent.mkdir()
    rows = "".join(f"clotho/{name}.npy,a sound\n" for name in NAMES)
    csv.write_text(f"file_path,caption_1\n{rows}")
    found = matched(open_features(tmp_path), csv)
    assert sorted(found.names) == [f"clotho/{name}.npy" for name in NAMES]


@pytest.mark.parametrize("how", ["pickle", "pickle of tensors", "pt", "npz", "npy of a dict"])
def test_one_file_of_a_dict_by_name(tmp_path, how):
    held = arrays()
    if how == "npz":
        path = tmp_path / "all.npz"
        np.savez(path, **held)
    elif how == "npy of a dict":
        path = tmp_path / "all.npy"
        np.save(path, held)
    elif how == "pt":
        path = tmp_path / "all.pt"
        torch.save({name: torch.from_numpy(a) for name, a in held.items()}, path)
    else:
        path = tmp_path / "all.pkl"
        tensors = {name: torch.from_numpy(a) for name, a in held.items()}
        path.write_bytes(pickle.dumps(held if how == "pickle" else tensors))
    check(open_features(path))
    check(open_features(tmp_path))


def test_one_array_of_all_clips_in_the_order_of_the_captions(tmp_path):
    held = {name: a[:5] for name, a in arrays().items()}
    np.save(tmp_path / "all.npy", packed(held))
    found = open_features(tmp_path / "all.npy")
    assert found.names[:2] == ["row 0", "row 1"]
    names = [f"{name}.wav" for name in NAMES]
    found = matched(found, captions_file(tmp_path, names))
    check(found, names, held)
    assert "by their order" in found.told[-1]
    with pytest.raises(CapfixError, match="None of the 24 clips of features"):
        matched(open_features(tmp_path / "all.npy"), captions_file(tmp_path, names[:-1], "b.csv"))


def test_pt_files_by_number_with_halves(tmp_path):
    held = arrays(np.float16)
    for number, array in enumerate(held.values()):
        record = {"features": torch.from_numpy(array), "captions": ["a sound", "some sound"]}
        torch.save(record, tmp_path / f"{number}.pt")
    found = open_features(tmp_path)
    names = [f"{name}.wav" for name in NAMES]
    assert len(found.said["3"]) == 2
    check(matched(found, captions_file(tmp_path, names)), names, held)


def test_a_dict_of_names_and_padded_arrays(tmp_path):
    held = arrays()
    record = {"names": NAMES, "features": torch.from_numpy(packed(held))}
    record["lengths"] = torch.tensor(LENGTHS)
    torch.save(record, tmp_path / "test.pt")
    check(open_features(tmp_path / "test.pt"))


def test_ragged_arrays_of_objects_are_read_without_running_anything(tmp_path):
    held = arrays()
    ragged = np.empty(CLIPS, object)
    ragged[:] = list(held.values())
    np.save(tmp_path / "all.npy", ragged)
    found = open_features(tmp_path / "all.npy")
    check(matched(found, captions_file(tmp_path, NAMES)))

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"a": Evil(), "b": Evil()}))
    with pytest.raises(CapfixError, match="no features"):
        open_features(tmp_path / "evil.pkl")
    bad = np.empty(1, object)
    bad[0] = Evil()
    np.save(tmp_path / "evil.npy", bad)
    with pytest.raises(CapfixError):
        open_features(tmp_path / "evil.npy")
    assert not (tmp_path / "harm").exists()


def test_time_as_the_second_axis(tmp_path):
    held = arrays()
    for name, array in held.items():
        np.save(tmp_path / f"{name}.npy", array.T)
    found = open_features(tmp_path)
    check(found)
    assert "second axis" in found.told[0]


def test_names_up_to_the_first_dot(tmp_path):
    for name, array in arrays().items():
        np.save(tmp_path / f"{name}.vggish.v2.npy", array)
    names = [f"{name}.wav" for name in NAMES]
    check(matched(open_features(tmp_path), captions_file(tmp_path, names)), names)


def test_what_cannot_be_used_is_skipped_with_its_reason(tmp_path):
    for name, array in arrays().items():
        np.save(tmp_path / f"{name}.npy", array)
    holes = arrays()[NAMES[0]]
    holes[1, 1] = np.nan
    np.save(tmp_path / "nan.npy", holes)
    np.save(tmp_path / "empty.npy", np.zeros((0, WIDTH)))
    np.save(tmp_path / "scalar.npy", np.float32(3))
    np.save(tmp_path / "wide.npy", np.ones((4, 2 * WIDTH)))
    np.save(tmp_path / "zeros.npy", np.zeros((5, WIDTH), np.float32))
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY\x01\x00")
    (tmp_path / "none.npy").write_bytes(b"")
    found = open_features(tmp_path)
    reasons = {clip.path: clip.reason for clip in found.skipped}
    for batch in iterate_batches(found.clips, found.rate, 8):
        reasons |= {clip.path: clip.reason for clip in batch.skipped}
    assert set(reasons) == {"nan", "empty", "scalar", "wide", "zeros", "text", "cut", "none"}
    assert "NaN" in reasons["nan"]
    assert reasons["empty"] == "is empty"
    assert "single number" in reasons["scalar"]
    assert reasons["wide"] == f"is [4, {2 * WIDTH}], where the others are [T, {WIDTH}]"
    assert reasons["zeros"].startswith("constant")


def test_what_matches_no_caption_says_what_both_have(tmp_path):
    for name, array in arrays().items():
        np.save(tmp_path / f"{name}.npy", array)
    other = captions_file(tmp_path, ["x1", "x2", "x3", "x4"])
    with pytest.raises(CapfixError, match="None of the 24 clips of features") as told:
        matched(open_features(tmp_path), other)
    assert "clip 00, clip 01, clip 02, ..." in told.value.message
    assert "x1, x2, x3, ..." in told.value.message
    found = matched(open_features(tmp_path), captions_file(tmp_path, NAMES[:20], "some.csv"))
    assert "20 of 24 clips" in found.told[-1]
    assert "clip 20, clip 21, clip 22, ..." in found.told[-1]


def test_hdf5_without_h5py_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    array_files.open_hdf5.cache_clear()
    with pytest.raises(CapfixError, match="h5py is not installed") as told:
        open_features(tmp_path / "a.h5")
    assert "capfix[features]" in told.value.hint


@pytest.mark.parametrize(
    ("name", "message"),
    [("gone", "no features at"), ("", "is empty"), ("a.wav", "a WAV file"), ("folder", "no files")],
)
def test_what_is_no_feature_file(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CapfixError, match=message):
        open_features(name)


def test_waveforms_in_hdf5_are_no_features(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "test.h5", "w") as file:
        file["waveform"] = np.random.default_rng(0).normal(size=(CLIPS, 20_000)).astype("f4")
        file.create_dataset("audio_name", data=NAMES, dtype=h5py.string_dtype())
    with pytest.raises(CapfixError, match="samples of audio"):
        open_features(tmp_path / "test.h5")


def test_a_single_clip(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(80, 12)))
    found = open_features(tmp_path / "a.npy")
    assert found.names == ["a"]
    assert isinstance(found.clips[0].read(), Waveform)
    assert found.clips[0].read(100).samples.shape == (100, 12)
