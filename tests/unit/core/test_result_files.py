"""Results of benchmarks say what they were measured on, and nothing of whose machine it was."""

from __future__ import annotations

import json
import platform

import pytest

from benchmarks.result_files import read_result, write_result


def test_a_result_comes_back_with_commit_machine_and_date(tmp_path):
    path = write_result("speed/startup", {"ratio": 1.5}, tmp_path)
    assert path == tmp_path / "speed" / "startup.json"
    found = read_result("speed/startup", tmp_path)
    assert found["figures"] == {"ratio": 1.5}
    assert len(found["date"]) == 10
    assert found["machine"]["python"] == platform.python_version()
    assert platform.node() not in path.read_text()


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"schema": "capfix.diagnosis/1"}))
    with pytest.raises(ValueError, match="no result"):
        read_result("x", tmp_path)
