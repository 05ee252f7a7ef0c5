"""Cards: the ``README.md`` of an exported run and those of its checkpoints, with the hub's front matter.

The front matter of a run's card names the tables as configurations, so that the hub shows them and
``datasets.load_dataset(folder, "pool")`` reads them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from crossfeed.description.strict_yaml import dump_yaml
from crossfeed.reporting.files import markdown, markdown_text
from crossfeed.sharing.copying import Copied, Place
from crossfeed.sharing.facts import FROM_NOTHING, Facts
from crossfeed.sharing.manifest import MANIFEST

__all__ = ["CARD", "Config", "checkpoint_card", "configs_of", "run_card"]

CARD: Final = "README.md"

_TITLES: Final = {
    "records": "every number with its coordinates: cell, seed, alpha, beta, generation, model, task, metric, value",
    "pool": "what the models published, with author, prompt and key of each item",
    "outputs": "what the models answered to test prompts",
    "losses": "losses of single test items",
    "evaluation": "benchmark numbers of lm-evaluation-harness",
    "projection": "outputs in two dimensions",
    "forecast": "every number as it was forecast",
}
_SIZES: Final = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_DTYPES: Final = {name: name for name in ("string", "bool", "int32", "int64", "uint64", "binary")} | {
    "float": "float32",
    "double": "float64",
}
"""Names of types in pyarrow, and on the hub."""
_TAGS: Final = ["synthetic", "synthetic-data", "model-collapse", "recursive-training", "crossfeed"]


class Config(NamedTuple):
    """A table of an exported run under the name that libraries ask for.

    Attributes:
        name: The name.
        about: Its content in a few words.
        paths: Its files, relative to the folder.
        rows: Its number of rows.
        features: Its columns in the hub's words, where some hold images: those are then decoded and shown.
    """

    name: str
    about: str
    paths: list[str]
    rows: int
    features: list[dict[str, str]]


def configs_of(folder: Path, copied: Copied) -> list[Config]:
    """Return the tables of an exported run; what differs in columns is a table of its own.

    Args:
        folder: Its folder.
        copied: What was copied to it.
    """
    files: dict[str, list[str]] = {"records": ["records.parquet"]}
    for step, groups in copied.tables.items():
        if step in _TITLES and step not in ("records", "evaluation"):  # their numbers are in files of their own
            files |= {step if k == 0 else f"{step}-{k + 1}": sorted(paths) for k, paths in enumerate(groups)}
    files |= {path.stem: [path.name] for path in sorted(folder.glob("*.parquet"))}
    order = {name: place for place, name in enumerate(_TITLES)}
    names = sorted(files, key=lambda name: (order.get(name.partition("-")[0], len(order)), name))
    return [
        Config(
            name=name,
            about=_TITLES.get(name.partition("-")[0], ""),
            paths=files[name],
            rows=sum(pq.read_metadata(folder / path).num_rows for path in files[name]),
            features=_features(folder / files[name][0]),
        )
        for name in names
    ]


def run_card(facts: Facts, copied: Copied, configs: list[Config]) -> str:
    """Return the text of a run's card.

    Args:
        facts: What is to be said.
        copied: What was copied.
        configs: The tables.
    """
    experiment = facts.experiment
    front: dict[str, Any] = {
        "pretty_name": experiment.name,
        "license": facts.licences,
        "tags": _TAGS,
        "annotations_creators": ["machine-generated"],
        "language_creators": ["machine-generated"],
        "source_datasets": facts.repositories or ["original"],
        "size_categories": [_size(sum(each.rows for each in configs if each.name != "records"))],
        "configs": [
            {"config_name": each.name, "data_files": [{"split": "train", "path": each.paths}]}
            | ({"default": True} if each.name == "records" else {})
            for each in configs
        ],
    }
    described = [{"config_name": each.name, "features": each.features} for each in configs if each.features]
    if described:
        front["dataset_info"] = described
    begun = f", begun {markdown_text(facts.begun)}" if facts.begun else ""
    parts = [
        f"# {markdown_text(experiment.name)}",
        markdown_text(experiment.description),
        "**This is synthetic data.** Generative models that train on each other's outputs wrote it; nobody has read "
        "it, and nothing in it need be true. Models repeat what they were trained on.",
        f"A run of crossfeed, id `{facts.id}`{begun}. `experiment.yaml` describes it whole; `report/index.html` shows "
        "what came of it.",
        "## Tables",
        markdown(
            ["configuration", "rows", "holds"], [[each.name, f"{each.rows:,}", each.about] for each in configs]
        ).rstrip(),
        _usage(configs),
        "`scope` is a cell of the grid, or `shared/...` for a generation 0 with which several cells begin (`run.json` "
        "says which). A row of the pool is one item: `author` is the entity whose model wrote it, `prompt_row` the row "
        "of the prompt among that author's prompts, `key` the address of its random choices.",
        "## Authors",
        markdown(
            ["author", "learner", "base model", "private data", "its items answer prompts of"],
            [list(each) for each in facts.authors],
        ).rstrip(),
        "## Data",
        markdown(
            ["data set", "source", "on the hub", "licence", "hash of the items"],
            [[each.name, each.source, each.repository, each.licence, each.content] for each in facts.data],
        ).rstrip(),
        "The licences are those of the data that models were trained on, as far as crossfeed knows them; `unknown` is "
        "what it does not know. Their terms, and those of the models, may reach what was generated: read them.",
    ]
    if facts.models:
        parts += ["## Models from outside", markdown(["model", "hash"], [list(each) for each in facts.models]).rstrip()]
    if copied.checkpoints:
        places = [[each.entity, str(each.generation), each.path] for each in copied.checkpoints]
        parts += ["## Checkpoints", markdown(["model", "generation", "folder"], places).rstrip()]
    parts += [
        "## Provenance",
        f"Sizes and SHA-256 of all files are in `{MANIFEST}`; `environment.json` and `sittings/` name the versions "
        f"({markdown_text(', '.join(f'{name} {version}' for name, version in facts.packages.items()))}).",
    ]
    if copied.removed:
        fields = markdown_text(", ".join(copied.removed))
        parts.append(f"Paths of the machine where it was made were taken out of the description: {fields}.")
    return _document(front, parts)


def checkpoint_card(facts: Facts, place: Place, files: list[str]) -> str:
    """Return the text of a checkpoint's card.

    Args:
        facts: What is to be said of the run.
        place: The checkpoint.
        files: Names of its files.
    """
    base = facts.base_on_hub(place.entity)
    author = next(each for each in facts.authors if each.name == place.entity)
    for_transformers = "config.json" in files and any(name.endswith(".safetensors") for name in files)
    is_adapter = "adapter_config.json" in files
    front: dict[str, Any] = {
        "license": facts.licences,
        "tags": [*_TAGS, "trained-on-synthetic-data"],
        "datasets": facts.repositories,
        "base_model": base,
        "library_name": "peft" if is_adapter else "transformers" if for_transformers else None,
        "pipeline_tag": "text-generation" if for_transformers or is_adapter else None,
    }
    rounds = f"{place.generation} {'generation' if place.generation == 1 else 'generations'}"
    when = "trained on real data alone" if place.generation == 0 else f"{rounds} after the first, which read real data"
    parts = [
        f"# {markdown_text(place.entity)}, generation {place.generation}",
        f"The model of the entity `{place.entity}` in `{place.scope}` of the run `{facts.experiment.name}` "
        f"(`{facts.id}`): {when}. It was made to study recursive training, and for no other use.",
        markdown(
            ["", ""],
            [
                ["learner", author.kind],
                ["base model", author.base],
                ["private data", author.private],
                ["licences of the data", ", ".join(facts.licences)],
            ],
        ).rstrip(),
        "" if author.base == FROM_NOTHING else "The licence of the base model holds as well.",
    ]
    if for_transformers and not is_adapter:
        call = "from transformers import AutoModelForCausalLM\n\nmodel = AutoModelForCausalLM.from_pretrained(FOLDER)"
        parts.append(f"```python\n{call}\n```")
    return _document({key: value for key, value in front.items() if value}, parts)


def _features(path: Path) -> list[dict[str, str]]:
    """Return the columns of a table with images; empty for one without, of which libraries see all that they need."""
    schema = pq.read_schema(path)
    images = {column.name for column in schema if pa.types.is_binary(column.type) and _are_images(path, column.name)}
    if not images:
        return []
    features = [_feature(column, column.name in images) for column in schema]
    return [each for each in features if each is not None] if None not in features else []


def _feature(column: pa.Field, is_image: bool) -> dict[str, str] | None:
    if is_image:
        return {"name": column.name, "dtype": "image"}
    is_list = pa.types.is_list(column.type)
    word = _DTYPES.get(str(column.type.value_type if is_list else column.type))
    return None if word is None else {"name": column.name, "list" if is_list else "dtype": word}


def _are_images(path: Path, column: str) -> bool:
    values = next(pq.ParquetFile(path).iter_batches(batch_size=64, columns=[column]), None)
    present = [] if values is None else [each for each in values.column(0).to_pylist() if each is not None]
    return bool(present) and all(each.startswith(_PNG) for each in present)


def _usage(configs: list[Config]) -> str:
    shown = next((each.name for each in configs if each.name == "pool"), "records")
    return (
        "```python\n"
        "from datasets import load_dataset\n"
        "\n"
        f'items = load_dataset(FOLDER_OR_REPOSITORY, "{shown}", split="train")\n'
        "```"
    )


def _size(rows: int) -> str:
    limits = [1000 * 10**power for power in range(len(_SIZES))]
    below = next((place for place, limit in enumerate(limits) if rows < limit), len(limits))
    if below == 0:
        return f"n<{_SIZES[0]}"
    return f"n>{_SIZES[-1]}" if below == len(limits) else f"{_SIZES[below - 1]}<n<{_SIZES[below]}"


def _document(front: dict[str, Any], parts: list[str]) -> str:
    return f"---\n{dump_yaml(front)}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"
