"""Finding a captioner's networks, watching their layers, and holding them in eval mode."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner

Watcher = Callable[[str, nn.Module, tuple[Any, ...], Any], None]  # name, layer, given, gave


def networks(captioner: Captioner) -> dict[str, nn.Module]:
    """Name every layer of a captioner: of its ``module``, or of what its attributes hold.

    Raises:
        Untestable: there is no ``nn.Module`` in it.
    """
    roots = {"": captioner.module} if captioner.module is not None else {}
    if not roots:
        roots = {
            f"{name}.": value
            for name, value in vars(captioner).items()
            if isinstance(value, nn.Module)
        }
    found: dict[str, nn.Module] = {}
    seen: set[int] = set()
    for prefix, root in roots.items():
        for name, layer in root.named_modules():
            if id(layer) not in seen:
                seen.add(id(layer))
                found[f"{prefix}{name}".rstrip(".")] = layer
    if len(found) < 2:  # a network alone has no layers to look into
        raise ProbeFailed("the captioner's network: set its module attribute to the nn.Module")
    return found


@contextlib.contextmanager
def watched(captioner: Captioner, watcher: Watcher) -> Iterator[None]:
    """Call ``watcher`` for every layer that runs, while the block runs."""
    handles = []
    for name, layer in networks(captioner).items():

        def hook(module: nn.Module, given: Any, gave: Any, name: str = name) -> None:
            watcher(name, module, given, gave)

        # A compiled program takes no hooks; what remains is watched.
        with contextlib.suppress(Exception):
            handles.append(layer.register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def first_tensor(value: Any) -> Tensor | None:
    """Find the first floating-point tensor of what a layer gave."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next((t for part in value if (t := first_tensor(part)) is not None), None)
    inner = getattr(value, "last_hidden_state", None)
    return inner if isinstance(inner, Tensor) else None


def forget_checks(captioner: Captioner) -> dict[str, Any]:
    """Copy a captioner's attributes without what scoring remembers of it."""
    return {k: v for k, v in vars(captioner).items() if not k.startswith("_sequence_logits")}


_DROPPING = {
    F.dropout,
    F.dropout1d,
    F.dropout2d,
    F.dropout3d,
    F.alpha_dropout,
    F.feature_alpha_dropout,
}


class _NothingDropped(TorchFunctionMode):
    """Functional dropout drops nothing, and batch statistics give way to running ones."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _DROPPING:
            return args[0] if args else kwargs["input"]
        if func is F.batch_norm and len(args) > 2 and args[1] is not None:
            args, kwargs["training"] = args[:5], False
        if func is F.scaled_dot_product_attention:
            kwargs["dropout_p"] = 0.0
        return func(*args, **kwargs)


@contextlib.contextmanager
def eval_forced(captioner: Captioner) -> Iterator[None]:
    """Run every layer as in evaluation, whatever mode the captioner puts it into."""
    handles: list[Any] = []
    before: list[tuple[nn.Module, bool]] = []
    with contextlib.suppress(ProbeFailed):
        for layer in networks(captioner).values():
            before.append((layer, layer.training))
            layer.training = False

            def hook(module: nn.Module, given: Any) -> None:
                module.training = False

            with contextlib.suppress(Exception):
                handles.append(layer.register_forward_pre_hook(hook))
    try:
        with _NothingDropped():
            yield
    finally:
        for handle in handles:
            handle.remove()
        for layer, mode in before:
            layer.training = mode


def noisy_layers(captioner: Captioner, run: Callable[[], Any]) -> list[str]:
    """Name the Dropout and BatchNorm layers that ran in training mode while ``run`` did."""
    found: dict[str, None] = {}

    def watcher(name: str, layer: nn.Module, given: tuple[Any, ...], gave: Any) -> None:
        random = isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0
        batch = isinstance(layer, nn.modules.batchnorm._BatchNorm)
        if layer.training and (random or batch):
            found[name] = None

    with watched(captioner, watcher), torch.inference_mode():
        run()
    return list(found)
