"""Croissant metadata of an exported run (MLCommons, version 1.0): files with hashes, and the columns of its tables.

Whatever reads Croissant finds the tables under the names of the card's configurations. Columns of nested values other
than lists have no type there and are left out; they are in the files all the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from crossfeed.display.formatting import plain
from crossfeed.sharing.card import Config
from crossfeed.sharing.facts import UNKNOWN, Facts

__all__ = ["CROISSANT", "croissant"]

CROISSANT: Final = "croissant.json"

_CR: Final = "http://mlcommons.org/croissant/"
_CONTEXT: Final[Mapping[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            *("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet"),
            *("format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
            *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField"),
            "transform",
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": _CR,
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": f"{_CR}RAI/",
    "sc": "https://schema.org/",
}
_FORMATS: Final = {
    ".parquet": "application/x-parquet",
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".html": "text/html",
    ".csv": "text/csv",
}


def croissant(facts: Facts, folder: Path, configs: list[Config], files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the metadata as JSON-LD text.

    Args:
        facts: What is to be said of the run.
        folder: The exported folder, whose tables' schemas are read.
        configs: The tables.
        files: ``bytes`` and ``sha256`` of each file, by path.
    """
    about = "Synthetic data of generative models that train on each other's outputs: a run of crossfeed. "
    document: dict[str, Any] = {
        "@context": dict(_CONTEXT),
        "@type": "sc:Dataset",
        "conformsTo": f"{_CR}1.0",
        "name": facts.experiment.name,
        "description": about + plain(facts.experiment.description),
        "identifier": facts.id,
        "citeAs": f"{facts.experiment.name}, run {facts.id} of crossfeed",
        "version": "1.0.0",
        "license": [each for each in facts.licences if each != UNKNOWN] or [UNKNOWN],
        "keywords": ["synthetic", "model collapse", "recursive training"],
        "creator": [{"@type": "Organization", "name": f"{each.name} ({each.kind} model)"} for each in facts.authors],
        "isBasedOn": [f"https://huggingface.co/datasets/{each}" for each in facts.repositories],
        "distribution": [*_objects(files), *(_file_set(each) for each in configs)],
        "recordSet": [_record_set(folder, each) for each in configs],
    }
    if facts.begun:
        document["datePublished"] = facts.begun
    if not document["isBasedOn"]:
        del document["isBasedOn"]
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _objects(files: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "@type": "cr:FileObject",
            "@id": path,
            "name": path,
            "contentUrl": path,
            "contentSize": f"{about['bytes']} B",
            "encodingFormat": _FORMATS.get(Path(path).suffix, "application/octet-stream"),
            "sha256": about["sha256"],
        }
        for path, about in files.items()
        if path.endswith(".parquet")
    ]


def _file_set(config: Config) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{config.name}-files",
        "name": f"{config.name}-files",
        "encodingFormat": _FORMATS[".parquet"],
        "includes": config.paths,
    }


def _record_set(folder: Path, config: Config) -> dict[str, Any]:
    schema = pq.read_schema(folder / config.paths[0])
    fields = [_field(config.name, column) for column in schema if _type(column.type) is not None]
    return {
        "@type": "cr:RecordSet",
        "@id": config.name,
        "name": config.name,
        "description": config.about or config.name,
        "field": fields,
    }


def _field(config: str, column: pa.Field) -> dict[str, Any]:
    described = {
        "@type": "cr:Field",
        "@id": f"{config}/{column.name}",
        "name": column.name,
        "description": column.name,
        "dataType": _type(column.type),
        "source": {"fileSet": {"@id": f"{config}-files"}, "extract": {"column": column.name}},
    }
    return described | ({"repeated": True} if _is_list(column.type) else {})


def _type(kind: pa.DataType) -> str | None:
    if _is_list(kind):
        return None if _is_list(kind.value_type) else _type(kind.value_type)
    for is_one, name in (
        (pa.types.is_boolean, "sc:Boolean"),
        (pa.types.is_integer, "sc:Integer"),
        (pa.types.is_floating, "sc:Float"),
        (lambda each: pa.types.is_string(each) or pa.types.is_large_string(each), "sc:Text"),
    ):
        if is_one(kind):
            return name
    return None


def _is_list(kind: pa.DataType) -> bool:
    return any(is_one(kind) for is_one in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))
