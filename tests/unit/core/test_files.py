"""Files are whole or not there, and readable by whom other new files are."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from capfix_cli.core.files import whole_file, write_text
from capfix_cli.core.suggest import did_you_mean, nearest


def test_what_fails_half_way_leaves_what_stood_there(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    path.parent.mkdir()
    write_text(path, "old\n")

    def fails():
        with whole_file(path) as part:
            Path(part).write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert path.read_text() == "old\n"
    assert [each.name for each in path.parent.iterdir()] == ["a.txt"]
    write_text(path, "new\n")
    assert path.read_text() == "new\n"
    assert [each.name for each in path.parent.iterdir()] == ["a.txt"]


def test_a_new_file_is_no_more_private_than_others(tmp_path):
    (tmp_path / "usual").write_text("")
    write_text(tmp_path / "ours", "")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "ours")}
    assert len(modes) == 1


def test_the_nearest_name_is_meant():
    assert nearest("temprature", ("temperature", "top_p")) == "temperature"
    assert nearest("temprature", ("temperature",), cutoff=0.99) is None
    assert did_you_mean("x", ("temperature",), "Known: temperature.") == "Known: temperature."
