"""Base classes of descriptions: frozen, strict models, and the settings of everything that can be plugged in.

Everything here is importable without torch. A learner, task source or metric is described by a frozen settings
class; its `build` imports the code that does the work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    WithJsonSchema,
    model_validator,
)
from pydantic.fields import FieldInfo

from crossfeed.errors import InvalidInput, MissingDependency
from crossfeed.protocols import Reading
from crossfeed.schema_rules import GIVEN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from crossfeed.protocols import (
        Examination,
        Filter,
        Learner,
        LearnerContext,
        Metric,
        OutsideModel,
        Reward,
        RewardContext,
        Task,
    )

__all__ = [
    "TWO_DECIMALS",
    "WITH_PART",
    "Count",
    "FilterSettings",
    "Frozen",
    "LearnerSettings",
    "Measure",
    "MetricSettings",
    "Name",
    "NonIid",
    "NonNegative",
    "Number",
    "PartOf",
    "Pilot",
    "Place",
    "Rate",
    "RewardSettings",
    "Sequence_",
    "Share",
    "Size",
    "TaskSettings",
    "identity",
    "is_finite_json",
    "measures_of",
    "numbers_of",
]

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_-])?")
_PART = re.compile(r"[1-9][0-9]{0,3}/[1-9][0-9]{0,3}")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
# The same in the regular expressions of JSON Schema, which know no flags.
_DEVICES = re.sub("[a-z]", lambda letter: f"[{letter[0]}{letter[0].upper()}]", "con|prn|aux|nul|com[0-9]|lpt[0-9]")
T = TypeVar("T")


def _safe_name(value: Any) -> Any:
    if isinstance(value, str) and not _NAME.fullmatch(value):
        raise ValueError(
            "a name has 1 to 64 letters, digits, '.', '_' and '-', starts with a letter or digit and does not end with "
            "'.' (names become parts of paths)"
        )
    if isinstance(value, str) and _DEVICE.fullmatch(value):
        raise ValueError("names become parts of paths, and on Windows this one is a device; choose another")
    return value


def _as_tuple(value: Any) -> Any:
    """Lists become tuples: strict mode then takes what YAML gives."""
    return tuple(value) if isinstance(value, list) else value


def _as_float(value: Any) -> Any:
    """Whole numbers are fine where a number is expected; truth values are not."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def numbers_of(part: str) -> tuple[int, int]:
    """Return i and m of a part that is written ``i/m``."""
    number, _, of = part.partition("/")
    return int(number), int(of)


def _is_part(text: str) -> str:
    if not _PART.fullmatch(text) or numbers_of(text)[0] > numbers_of(text)[1]:
        raise ValueError("a part is written i/m with 1 <= i <= m < 10000, such as 2/4")
    return text


Name = Annotated[
    str,
    BeforeValidator(_safe_name),
    WithJsonSchema({"type": "string", "pattern": rf"^(?!({_DEVICES})(\.|$)){_NAME.pattern}$"}),
]
PartOf = Annotated[str, AfterValidator(_is_part), WithJsonSchema({"type": "string", "pattern": f"^{_PART.pattern}$"})]
Number = Annotated[float, BeforeValidator(_as_float)]
Share = Annotated[float, BeforeValidator(_as_float), Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
Size = Annotated[int, Field(ge=1, le=100_000_000)]
NonNegative = Annotated[Number, Field(ge=0.0)]
Rate = Annotated[Number, Field(gt=0.0)]
Sequence_ = Annotated[tuple[T, ...], BeforeValidator(_as_tuple)]


class Frozen(BaseModel):
    """A frozen description: unknown keys are errors, and equal descriptions compare equal.

    Attributes:
        no_effect: Fields that change no result beyond rounding (names, devices); they stay out of content ids.
        always_told: Fields that are in content ids even where they equal their default: those that tell kinds apart,
            and those whose default was changed, since the same words then mean another experiment.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, serialize_by_alias=True)
    no_effect: ClassVar[frozenset[str]] = frozenset()
    always_told: ClassVar[frozenset[str]] = frozenset()

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """See `identity`; the cells of a grid share most of their parts."""
        return _identity_of(self, ())

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with some fields replaced; what was computed from the old ones is left behind.

        Args:
            update: New values of fields, which are not validated.
            deep: See `pydantic.BaseModel.model_copy`.
        """
        copied = super().model_copy(update=update, deep=deep)
        for name in vars(copied).keys() - type(self).model_fields.keys():
            del vars(copied)[name]
        return copied


class LearnerSettings(Frozen):
    """The description of a kind of generative model and its training; `kind` is its name in the registry.

    A subclass names the code that builds the learner (`builder`) instead of importing it, so that descriptions load no
    heavy library and no learner's module is imported by its own settings.

    Attributes:
        shared: Fields in which the entities of an experiment cannot differ.
        builder: ``module:callable``, imported when a learner is built; called with the settings and the context, it
            returns the learner.
        missing: Message of the error raised when a package that `builder` imports is not installed; ``{kind!r}`` and
            ``{package!r}`` are filled in.
        other_units: The reason why losses of two such learners that are described differently may have different units;
            empty if they have the same.
        loss_unit: Unit of its losses as it is shown, such as ``nats/token``; empty if they have none.
    """

    always_told = frozenset({"kind"})
    shared: ClassVar[frozenset[str]] = frozenset()
    builder: ClassVar[str] = ""
    missing: ClassVar[str] = "the learner {kind!r} needs the package {package!r}, which is not installed"
    other_units: ClassVar[str] = ""
    loss_unit: ClassVar[str] = ""

    kind: str

    @property
    def restarts(self) -> bool:
        """True if such models can begin anew (`crossfeed.protocols.RestartingLearner`)."""
        return False

    @property
    def finite_losses(self) -> bool:
        """False if such a model can give an item the probability 0: its loss is then infinite, and no fault."""
        return True

    def reading(self) -> Reading:
        """Return what training sets hold for this learner, see `crossfeed.protocols.Learner.reads`."""
        return "draws"

    def changed(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return these settings as plain data, with one entity's own fields merged in, mapping by mapping.

        Args:
            changes: The entity's own fields, nested as in the description.
        """
        return _laid_over(self.model_dump(mode="python"), changes)

    def start_identity(self) -> Any:
        """Return the fields that affect training at generation 0, as plain data.

        A field too many costs a cached state; a field too few gives wrong results.
        """
        return identity(self)

    def workers(self, cores: int) -> tuple[int, int]:
        """Return the number of worker processes that such models keep busy on a machine, and the threads of each.

        One process for learners that finish before a second one has started, or whose libraries use all cores.

        Args:
            cores: Cores of this machine.
        """
        return 1, 1

    def models(self) -> Sequence[OutsideModel]:
        """Return the models from outside that such learners begin from and that can be had now, without loading them.

        A run keeps what identifies them, and refuses to go on with others.
        """
        return ()

    @classmethod
    def examine(cls, folder: Path, items: pa.Table | None) -> Examination:
        """Examine a model's folder as a base for such learners; see `crossfeed.protocols.Examination`.

        Args:
            folder: The model's folder.
            items: Items for it to read, or None.

        Raises:
            InvalidInput: Such learners begin from no folder.
        """
        raise InvalidInput(f"learners described by {cls.__name__} do not begin from a model's folder")

    def standalone(self, checkpoint: Path) -> AbstractContextManager[Path]:
        """Return a context with the folder of a model that other programs can read.

        Args:
            checkpoint: A folder that the learner's `save` wrote.

        Returns:
            A context that gives the checkpoint itself, or a folder that is gone at its end.
        """
        return nullcontext(checkpoint)

    def pilot(self, initial_n: int, n: int) -> Pilot:
        """Return a shorter training of the same models, from whose times those of a whole run follow.

        Args:
            initial_n: Size of the training sets of generation 0.
            n: Size of the training sets of later generations.

        Returns:
            The shorter training; by default the whole one.
        """
        return Pilot(self)

    def prepare(self) -> None:
        """Set up the process before the module of `builder` is imported; by default nothing is done."""

    def build(self, context: LearnerContext) -> Learner:
        """Build the learner; called once for each cell.

        Args:
            context: The cell's tasks, seed, cache folder and progress display.

        Returns:
            The learner that `builder` makes from these settings.

        Raises:
            MissingDependency: A package that the learner needs is not installed.
            InvalidInput: The learner cannot read a task's items.
            NotImplementedError: The class neither names a `builder` nor overrides this method.
        """
        if not self.builder:
            raise NotImplementedError(f"{type(self).__name__} names no `builder` and overrides no `build`")
        self.prepare()
        try:
            factory = resolve_name(self.builder)
        except ModuleNotFoundError as error:
            if self._is_own(error):
                raise
            raise MissingDependency(self.missing.format(kind=self.kind, package=error.name)) from error
        learner: Learner = factory(self, context)
        return learner

    def _is_own(self, error: ModuleNotFoundError) -> bool:
        """Return True if the missing module belongs to crossfeed or to the builder's own package: a fault, no extra."""
        package = (error.name or "crossfeed").partition(".")[0]
        return package in ("crossfeed", self.builder.partition(":")[0].partition(".")[0])


@dataclass(frozen=True)
class Pilot:
    """A learner that is trained for fewer steps, to see how long the whole training takes.

    Attributes:
        settings: The learner's description.
        base: The time to make the base, as a multiple of what it takes here.
        initial: The time of an update of generation 0, as a multiple of what it takes here.
        later: The time of a later update, as a multiple of what it takes here.
    """

    settings: LearnerSettings
    base: float = 1.0
    initial: float = 1.0
    later: float = 1.0


WITH_PART: Final[dict[str, JsonValue]] = {
    "if": {"required": ["non_iid"], "properties": {"non_iid": GIVEN}},
    "then": {"required": ["part"]},
}
"""Rule of a task for its JSON Schema: `TaskSettings.non_iid` divides into parts."""


class NonIid(Frozen):
    """A division by label in unequal proportions, as in studies of federated learning.

    Attributes:
        alpha: Concentration of the Dirichlet distribution of each label's shares over the parts: near 0 a label is in
            one part almost alone, and the greater, the more alike the parts are.
    """

    alpha: Annotated[Number, Field(gt=0.0, le=1e6)]


class TaskSettings(Frozen):
    """The origin of a data set; `source` is its name in the registry.

    Attributes:
        part: ``i/m``: the i-th of m disjoint parts of the training items, each the same whatever the task's name;
            validation and test stay whole (`crossfeed.tasks.partition`). Default: all.
        non_iid: Divide by label, in unequal proportions; default: at random, in equal parts.
        divides_itself: True for a source whose `build` reads `part` in a way of its own.
        licence: The licence of its data, abbreviated as the Hugging Face Hub does; empty where it is not known.
    """

    always_told = frozenset({"source"})
    divides_itself: ClassVar[bool] = False
    licence: ClassVar[str] = ""

    model_config = ConfigDict(json_schema_extra=WITH_PART)

    source: str
    part: PartOf | None = None
    non_iid: NonIid | None = None

    @model_validator(mode="after")
    def _is_of_a_part(self) -> Self:
        if self.non_iid is not None and self.part is None:
            raise ValueError("non_iid says how the training items are divided: give part: i/m, too, such as 1/4")
        if self.non_iid is not None and self.divides_itself:
            raise ValueError(f"non_iid: the parts of source: {self.source} are its own; leave non_iid out")
        return self

    @property
    def repository(self) -> str:
        """The id under which its data are published on the Hugging Face Hub; empty where they are not."""
        return ""

    def corpus(self, name: str) -> str:
        """Return the word that seeds items made for a task: its name, or, of a part, a word that all parts share.

        Args:
            name: The task's name.
        """
        return name if self.part is None else "parts"

    def build(self, name: str, data_root: Path | None) -> Task:
        """Load or make the whole data, of which `crossfeed.tasks.partition.build_task` takes the part.

        Args:
            name: The task's name in the experiment.
            data_root: A folder laid out ``<data set>/<split>.parquet`` to read instead of a hub, or None.

        Raises:
            DataUnavailable: The data cannot be reached; the message says how to point to a local copy.
        """
        raise NotImplementedError


Section = Literal["loss", "similarity", "quality", "metrics"]
"""Sections of a report that show metrics, in this order; ``metrics`` is for those that belong to no other."""

Place = Literal["terminal", "page", "curves", "progress"]
"""Places that show a metric: a run's tables in the terminal, its report, curves there, and the lines of progress."""


TWO_DECIMALS: Final = 0.005
"""Dead band of numbers that are shown with two decimals: half of the last one."""


@dataclass(frozen=True)
class Measure:
    """Declaration of one number that a metric gives: how it is called, read and shown.

    The defaults are those of a number of which only the name is known. Every number is in the records, in the files of
    a report and on pages of runs side by side, whatever `shown` says.

    Attributes:
        metric: Its name in the records.
        title: Its title in tables and figures.
        band: Dead band: changes of at most this, either way, are marked ``same``.
        words: Marks for a fall and for a rise.
        relative: True if changes are given in per cent of the initial value, not in the metric's own unit.
        bounded: True if values lie between -1 and 1, so that two decimals suffice (ignored if `relative`).
        section: The section of a report that it belongs to.
        shown: The places that show it.
        finite: True if a value that is not finite means that training diverged; the cell then fails.
        pairs: True if each value is of several entities: of a pair, with ``a+b`` in the place of the entity, or of all
            (`crossfeed.protocols.ALL_MODELS`).
        unit: Its unit as it is shown; empty if it has none; None if it is that of the learner's losses
            (`LearnerSettings.loss_unit`).
    """

    metric: str
    title: str
    band: float = 0.0
    words: tuple[str, str] = ("down", "up")
    relative: bool = False
    bounded: bool = False
    section: Section = "metrics"
    shown: frozenset[Place] = frozenset({"terminal", "page"})
    finite: bool = False
    pairs: bool = False
    unit: str | None = ""

    @property
    def heading(self) -> str:
        """Title with the unit: ``Loss (nats/token)``."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def axis(self) -> str:
        """Label of an axis: ``loss (nats/token)``."""
        name = self.metric.replace("_", " ")
        return f"{name} ({self.unit})" if self.unit else name


class MetricSettings(Frozen):
    """A metric, its settings, and how often it is measured.

    Attributes:
        measures: Declarations of the numbers that the metric gives; a number without one is shown under its name alone.
        projected: True if the metric needs embedded outputs to be kept, and laid out in two dimensions at the end.
        looks_back: True if the metric reads what earlier generations completed; these outputs must then be whole.
        rates: True if the metric reads rewards, by the tastes of the ecosystem.
        every: Measure at generations divisible by this; generation 0 and the last one are always measured.
    """

    measures: ClassVar[tuple[Measure, ...]] = ()
    projected: ClassVar[bool] = False
    looks_back: ClassVar[bool] = False
    rates: ClassVar[bool] = False

    every: Annotated[int, Field(ge=1)] = 1

    def is_due(self, generation: int, last: int) -> bool:
        """Return True if the metric is measured at a generation.

        Args:
            generation: The generation t.
            last: The last generation T of the run.
        """
        return generation in (0, last) or generation % self.every == 0

    def keeps_losses(self, generation: int) -> bool:
        """Return True if the losses of single test items are kept at a generation at which the metric is due.

        Args:
            generation: The generation t.
        """
        return False

    def build(self) -> Metric:
        """Build the metric."""
        raise NotImplementedError


def measures_of(metrics: Mapping[str, MetricSettings | type[MetricSettings]]) -> dict[str, Measure]:
    """Return the declarations of some metrics by the names in the records.

    Args:
        metrics: Settings, or their classes, by metric, as in a description.
    """
    return {measure.metric: measure for settings in metrics.values() for measure in settings.measures}


class FilterSettings(Frozen):
    """The settings of a filter, whose name in the registry says which one it is."""

    def build(self, owned: Mapping[str, Task]) -> Filter:
        """Make the filter.

        Args:
            owned: The task that each entity owns, by the entity's name; its training items give the prompts.

        Raises:
            InvalidInput: The filter cannot judge what is written for one of the tasks.
        """
        raise NotImplementedError

    def build_in(self, context: RewardContext) -> Filter:
        """Make the filter where it may need more than the tasks whose prompts are answered.

        Args:
            context: The tasks and entities.

        Raises:
            InvalidInput: See `build`.
        """
        return self.build(context.asked)


class RewardSettings(Frozen):
    """The settings of a reward, whose name in the registry says which one it is.

    Attributes:
        weight: Factor of the reward; a negative one prefers what has less of it.
    """

    weight: Annotated[Number, Field(ge=-1e9, le=1e9)] = 1.0

    def build(self, context: RewardContext) -> Reward:
        """Make the reward, without its weight.

        Args:
            context: The tasks and entities.

        Raises:
            InvalidInput: It cannot be computed for the items of one of the tasks.
        """
        raise NotImplementedError


def _laid_over(common: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(common)
    for name, value in changes.items():
        below = merged.get(name)
        merged[name] = _laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def identity(value: Any, without: Collection[str] = ()) -> Any:
    """A description as plain data that says what affects results, and nothing else: what content ids are made of.

    A field that equals its default is left out, so that a field that is added later, with a default that means what was
    done before, changes no id of what was described before. Fields without effect are left out (`Frozen.no_effect`);
    those that tell kinds apart, and those whose default was changed, are not (`Frozen.always_told`).

    Args:
        value: A description, or what it holds.
        without: Fields to leave out besides, by dotted path.

    Returns:
        Plain data, not to be changed: what is computed once is returned to all who ask.
    """
    if isinstance(value, Frozen):
        return _identity_of(value, without) if without else value._identity
    if isinstance(value, dict):
        return {key: identity(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [identity(item) for item in value]
    return value


def is_finite_json(value: Any) -> bool:
    """Return True if a value can be written as JSON and all its numbers are finite."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


_DEFAULT: Final = object()


def _identity_of(value: Frozen, without: Collection[str]) -> dict[str, Any]:
    own = {
        name: told
        for name, field in type(value).model_fields.items()
        if name not in value.no_effect
        and name not in without
        and (told := _told(value, name, field, without)) is not _DEFAULT
    }
    return own | {name: identity(extra) for name, extra in (value.model_extra or {}).items()}


def _told(value: Frozen, name: str, field: FieldInfo, without: Collection[str]) -> Any:
    """Return the content of a field, or `_DEFAULT` if it adds nothing to the default."""
    within = [path.removeprefix(f"{name}.") for path in without if path.startswith(f"{name}.")]
    told = identity(getattr(value, name), within)
    if field.is_required() or name in value.always_told:
        return told
    # Not the values but what they say is compared: a field without effect within a default says nothing either.
    return _DEFAULT if told == identity(field.get_default(call_default_factory=True), within) else told
