"""Links that lead out of docs/ lead to a page of the site: examples as listings, CHANGELOG and CONTRIBUTING as pages.

On a code host the same links open the files themselves.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
_PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
_LISTED = ("examples", "benchmarks")
_LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml"}
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")
_NAMED = re.compile(rf"(?<![`\[])`((?:{'|'.join(_LISTED)})/[\w/.-]+\.py)`(?!`)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of files elsewhere in the repository."""
    for source, page in _PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for path in _listed():
        files.append(File.generated(config, _page_of(path), content=_listing(path)))
    for notebook in (ROOT / "examples").rglob("*.ipynb"):  # to be downloaded
        path = notebook.relative_to(ROOT).as_posix()
        files.append(File.generated(config, f"source/{path}", content=notebook.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links out of docs/, and examples that are named, into links to the site's own pages."""
    where = page.file.src_uri
    origin = {made: source for source, made in _PAGES.items()}.get(where, f"docs/{where}")
    above = posixpath.dirname(origin)

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(above, found[1]))
        return f"]({_relative(_site_page(target), where)}{found[2] or ''})"

    def named(found: re.Match[str]) -> str:
        path = found[1]
        return f"[`{path}`]({_relative(_page_of(path), where)})" if (ROOT / path).is_file() else found[0]

    parts = re.split(r"(^ *```.*?^ *```|^    .*?$)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if at % 2 else _NAMED.sub(named, _LINK.sub(link, part)) for at, part in enumerate(parts))


def _listed() -> list[str]:
    """The example and benchmark programs, as paths in the repository."""
    found = (path for folder in _LISTED for path in (ROOT / folder).rglob("*") if path.suffix in _LANGUAGES)
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def _page_of(path: str) -> str:
    """The page that shows a file, or a folder's files."""
    return f"source/{path}.md"


def _site_page(target: str) -> str:
    """Where in docs/ what a link names is."""
    if target in _PAGES:
        return _PAGES[target]
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    path = ROOT / target
    if path.suffix == ".ipynb":
        return f"source/{target}"
    if path.is_dir() and target.startswith(_LISTED):
        first = next(each for each in _listed() if each.startswith(f"{target}/"))
        return _page_of(first)
    return _page_of(target)


def _relative(page: str, where: str) -> str:
    return posixpath.relpath(page, posixpath.dirname(where) or ".")


def _listing(path: str) -> str:
    """A page that shows one file, and the others of its folder if the folder is a project of its own."""
    lines = ["---", "search: {exclude: true}", "hide: [toc]", "---", f"# `{path}`", ""]
    beside = [each for each in _listed() if each.split("/")[:2] == path.split("/")[:2] and path.count("/") > 1]
    if len(beside) > 1:
        here = " · ".join(
            f"[`{each.split('/', 2)[2]}`]({_relative(_page_of(each), _page_of(path))})" for each in beside
        )
        lines += [f"The whole example: {here}", ""]
    text = (ROOT / path).read_text(encoding="utf-8").rstrip("\n")
    return "\n".join([*lines, f"````{_LANGUAGES[Path(path).suffix]}", text, "````", ""])
