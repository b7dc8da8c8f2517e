"""Adapter files: which function is called, and which modules they find."""

from __future__ import annotations

import sys

import pytest

from capfix_cli.captioners.adapters import load_with_adapter
from capfix_cli.core.errors import CapfixError

FAILS = "    raise ValueError(f'called with {checkpoint} on {device}')\n"


def told(file, text):
    file.write_text(text)
    with pytest.raises(CapfixError) as error:
        load_with_adapter(str(file), "m.pt", "cpu")
    return str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        f"def captioner(checkpoint, device):\n{FAILS}",
        f"def _own(a, b): pass\ndef one(a): pass\ndef make(checkpoint, device='cpu'):\n{FAILS}",
        f"def other(a, b): pass\ndef load(checkpoint, device):\n{FAILS}",
        f"from os.path import join\ndef build(checkpoint, device):\n{FAILS}",
    ],
    ids=["only", "only-public", "load", "imported"],
)
def test_a_file_alone_is_asked_for_its_only_factory(text, tmp_path):
    assert "called with m.pt on cpu" in told(tmp_path / "mine.py", text)


def test_several_or_no_factories_are_told(tmp_path):
    two = "def first(a, b): pass\ndef second(a, b): pass\n"
    assert "first, second" in told(tmp_path / "mine.py", two)
    assert "no function that takes a checkpoint" in told(tmp_path / "mine.py", "X = 1\n")


def test_an_adapter_named_as_its_package_does_not_hide_it(tmp_path, monkeypatch):
    package = tmp_path / "libraries" / "wrapped_net"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text("NAME = 'inside'\n")
    adapters = tmp_path / "adapters"
    adapters.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "libraries"))
    text = (
        "from wrapped_net.parts import NAME\n"
        "def load(checkpoint, device):\n"
        "    import wrapped_net.parts\n"
        "    raise ValueError(NAME)\n"
    )
    assert "inside" in told(adapters / "wrapped_net.py", text)
    for name in [name for name in sys.modules if name.startswith("wrapped_net")]:
        del sys.modules[name]


def test_an_adapter_in_a_folder_of_the_project_finds_the_project(tmp_path, monkeypatch):
    (tmp_path / "own_net").mkdir()
    (tmp_path / "own_net" / "__init__.py").write_text("NAME = 'project'\n")
    (tmp_path / "adapters").mkdir()
    monkeypatch.chdir(tmp_path)
    text = "import own_net\ndef load(checkpoint, device):\n    raise ValueError(own_net.NAME)\n"
    assert "project" in told(tmp_path / "adapters" / "own_net.py", text)
    sys.modules.pop("own_net", None)
