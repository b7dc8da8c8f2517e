"""What transformers raises while it loads a folder, as one line that says how to mend it."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from capfix_cli.core.errors import CapfixError

# Libraries that transformers wants for a folder, by how its messages spell them -> pip's name.
_PACKAGES = {
    "torchvision": "torchvision",
    "PIL": "pillow",
    "Pillow": "pillow",
    "pillow": "pillow",
    "mistral-common": "mistral-common",
    "mistral_common": "mistral-common",
    "bitsandbytes": "bitsandbytes",
    "accelerate": "accelerate",
    "sentencepiece": "sentencepiece",
    "tiktoken": "tiktoken",
    "librosa": "librosa",
    "torchaudio": "torchaudio",
    "timm": "timm",
    "peft": "peft",
    "torchao": "torchao",
    "gptqmodel": "gptqmodel",
    "auto-gptq": "gptqmodel",
    "autoawq": "autoawq",
    "optimum": "optimum",
    "compressed-tensors": "compressed-tensors",
    "compressed_tensors": "compressed-tensors",
    "hqq": "hqq",
    "quanto": "optimum-quanto",
    "eetq": "eetq",
    "aqlm": "aqlm",
    "fbgemm-gpu": "fbgemm-gpu",
}
_LIBRARY = re.compile(
    r"(?<![\w-])("
    + "|".join(sorted(map(re.escape, _PACKAGES), key=len, reverse=True))
    + r")(?![\w-])"
)


@contextlib.contextmanager
def plainly(path: str, quantised: Any = None) -> Iterator[None]:
    """Load quietly, and say in one line what went wrong.

    Args:
        path: of the folder.
        quantised: its ``quantization_config``, where it has one.

    Raises:
        CapfixError: whatever transformers raised.
    """
    try:
        with _quiet():
            yield
    except CapfixError:
        raise
    except Exception as error:  # transformers raises nearly everything
        told = " ".join(str(error).split())
        named = _LIBRARY.findall(told)
        wants = isinstance(error, ImportError) or "pip install" in told
        if quantised and (wants or named):
            method = _method(quantised)
            package = _PACKAGES[named[0]] if named else method
            raise CapfixError(
                f"{path} is quantised ({method}), and {package} is not installed.",
                f"Install it: pip install {package} accelerate; or give the weights unquantised.",
            ) from error
        if wants and named:
            packages = " ".join(sorted({_PACKAGES[name] for name in named}))
            raise CapfixError(
                f"transformers needs {packages.replace(' ', ', ')} to load {path}.",
                f"Install it: pip install {packages}",
            ) from error
        raise CapfixError(
            f"transformers cannot load {path}: {told[:200] or type(error).__name__}.",
            "It must be a whole folder: config, weights, preprocessor and tokenizer files.",
        ) from error


def _method(quantised: Any) -> str:
    found = quantised.get("quant_method") if isinstance(quantised, Mapping) else None
    return str(found or "of a kind that it does not name")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep progress bars and advice of transformers out of capfix's output."""
    import transformers

    logging: Any = transformers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)
