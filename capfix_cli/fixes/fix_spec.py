"""What there is to say of one fix, in one record: each module of the catalogue holds one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.fixes.setting_rule import SettingRule

if TYPE_CHECKING:
    from capfix_cli.fixes.rewrites.architecture_names import ArchitectureNames
    from capfix_cli.fixes.rewrites.code_writing import Written
    from capfix_cli.fixes.rewrites.inspection_values import Done
    from capfix_cli.schemas.inspection_record import Inspection

Impact = Literal["low", "low-medium", "medium", "medium-high", "high"]
IMPACTS: tuple[Impact, ...] = ("low", "low-medium", "medium", "medium-high", "high")
Facts = Mapping[str, Any]

CATEGORY_TITLES: dict[int, str] = {
    1: "Decoding strategies",
    2: "Architecture",
    3: "Training techniques",
    4: "Data",
    5: "Regularisation",
}


class Setup(Protocol):
    """A setup of training, as ``capfix_cli.training`` defines it: sections with fields."""

    @property
    def model(self) -> Any:
        """The network."""

    @property
    def training(self) -> Any:
        """The loop and the loss."""

    @property
    def data(self) -> Any:
        """Which captions are trained on, and how often."""

    @property
    def augmentation(self) -> Any:
        """What is altered in them."""

    def change(self, section: str, **values: Any) -> Self:
        """Give the setup with fields of a section changed."""


SetupT = TypeVar("SetupT", bound=Setup)


def change_encoder(setup: SetupT, **values: Any) -> SetupT:
    """Give a setup with fields of its encoder changed."""
    return setup.change("model", encoder=dataclasses.replace(setup.model.encoder, **values))


@dataclass(frozen=True)
class FixSetting:
    """One number or choice of a fix.

    Attributes:
        name: as spelled in a ``generation_config.json``, a recipe or PyTorch.
        value: what capfix starts from.
        recommended: the recommended value or range.
        ranges: (range, what it does) pairs, in ascending order.
    """

    name: str
    value: str
    recommended: str
    ranges: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Switch:
    """How a recipe carries a fix out.

    Attributes:
        turn_on: gives the setup with the fix at the catalogue's value.
        is_on: whether a setup has it.
        field: the field of a recipe that it is.
        architecture: whether it changes the network, so that weights must be trained anew.
        told: its fields, for the docs.
        start: the value to start from, for the docs.
    """

    turn_on: Callable[[Any], Any]
    is_on: Callable[[Any], bool]
    field: str
    architecture: bool = False
    told: str = ""
    start: str = ""


def training_switch(
    name: str, value: object, *, off: object = 0, told: str = "", start: str = ""
) -> Switch:
    """Make the switch of a fix that is one field of the section ``training``.

    Args:
        name: of the field.
        value: that switches it on.
        off: the value that leaves it off.
        told: its fields, for the docs.
        start: the value to start from, for the docs.
    """
    return Switch(
        lambda setup: setup.change("training", **{name: value}),
        lambda setup: getattr(setup.training, name) != off,
        f"training.{name}",
        told=told,
        start=start,
    )


@dataclass(frozen=True, kw_only=True)
class DecodingFix:
    """A way of decoding that is tried.

    Attributes:
        fix: ids of the fixes that it makes use of, joined by ``+``.
        options: how to decode.
        name: by which the tree asks for it; empty where only a search comes upon it.
        asked: the questions of the tree that try it.
    """

    fix: str
    options: DecodingOptions
    name: str = ""
    asked: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NetworkRewrite:
    """The code of a fix for other people's networks, and how its trace is seen.

    Attributes:
        write: fits the code to a network.
        was_done: compares a checkpoint from before with one from after.
        code: what is written, for the docs.
        trace: what is seen in the next checkpoint, for the docs.
    """

    write: Callable[[ArchitectureNames], Written]
    was_done: Callable[[Inspection, Inspection], Done]
    code: str
    trace: str


@dataclass(frozen=True)
class AblatedForm:
    """One form of a fix that the ablation measures alone.

    Attributes:
        name: of the form.
        values: section -> fields that make the form, beside what the switch does.
        alone: whether the fields are all of it, without the switch.
    """

    name: str
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    alone: bool = False


@dataclass(frozen=True, kw_only=True)
class FixSpec:
    """One fix.

    Impact words are the document's own. Its star ratings came through OCR garbled, so where a
    fix has no words its summary table decides, read by the rows that have both: 3 stars are
    medium, 5 medium-high and 6 high. A fix with neither is rated by capfix, with a comment.

    Attributes:
        id: number in the document, ``category.position``; ours continue its numbering.
        title: its name.
        aliases: other names under which it is looked up, lower case.
        what: what it does.
        when: when to use it.
        settings: its numbers and choices.
        pros: what speaks for it.
        cons: what speaks against it.
        impact: how much it can change, one of ``IMPACTS``.
        effort: how long it takes or how much code it touches.
        retrain: whether the model must be trained again.
        priority: the step of the plan that it belongs to, 1 to 4.
        order: its place among the fixes of its priority.
        snippet: Python that runs as it stands, given torch.
        source: where it comes from.
        caution: what the document did not know, with its source.
        cures: ids of the causes that it is there to mend: where one was found it is needed, where
            all were looked for and none was found it is not.
        asked_for: why the tree asks for it where no decoding works; empty where it does not.
        asked_for_bland: the same where captions are right but bland.
        asked_for_degenerate: the same where captions are no sentences.
        built_in: how the checkpoint's facts show that the network has it already, in words; an
            empty text where they do not.
        setting: how settings of training show that it was done.
        switch: how a recipe carries it out.
        trials: ways of decoding that the tree tries.
        searched: settings around them that a search tries beside, the cheap ones first.
        rewrite: the code that it is for other people's networks.
        ablated: forms of it that ``benchmarks/accuracy/ablation.py`` measures.
    """

    id: str
    title: str
    aliases: tuple[str, ...]
    what: str
    when: str
    settings: tuple[FixSetting, ...]
    pros: tuple[str, ...]
    cons: tuple[str, ...]
    impact: Impact
    effort: str
    retrain: bool
    priority: int
    order: int
    snippet: str
    source: str
    caution: str = ""
    cures: tuple[str, ...] = ()
    asked_for: str = ""
    asked_for_bland: str = ""
    asked_for_degenerate: str = ""
    built_in: Callable[[Facts], str] | None = None
    setting: SettingRule | None = None
    switch: Switch | None = None
    trials: tuple[DecodingFix, ...] = ()
    searched: tuple[DecodingFix, ...] = ()
    rewrite: NetworkRewrite | None = None
    ablated: tuple[AblatedForm, ...] = ()

    @property
    def category(self) -> int:
        """The document's category, 1 to 5."""
        return int(self.id.partition(".")[0])

    @property
    def category_title(self) -> str:
        """The category's name."""
        return CATEGORY_TITLES[self.category]

    def to_dict(self) -> dict[str, Any]:
        """Give the document's row as plain values, as ``capfix fixes --json`` prints it."""
        row = {name: getattr(self, name) for name in _ROW}
        return row | {"settings": [dataclasses.asdict(setting) for setting in self.settings]}


_ROW = (
    *("id", "title", "category", "category_title", "aliases", "what", "when", "settings"),
    *("pros", "cons", "impact", "effort", "retrain", "priority", "snippet", "source", "caution"),
)
