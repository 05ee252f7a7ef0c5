"""The verb `push`: an exported run as a data set on the Hugging Face Hub, by the hub's own client.

What is sent is what `crossfeed export` writes to a folder. Before anything is written or sent, the hub is asked who the
token belongs to and what is in the repository: only an empty one, or an earlier push of the same run, is written to.
The token is the client's own: it is neither printed nor kept here.
"""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, Final, NamedTuple

from crossfeed.display.formatting import message_line
from crossfeed.display.progress import Silent
from crossfeed.errors import CrossfeedError, DataUnavailable, InvalidInput, MissingDependency, StoreError
from crossfeed.protocols import Progress
from crossfeed.reporting.data.opening import RunLike, open_run
from crossfeed.sharing.copying import Keep
from crossfeed.sharing.exporting import Exported, export_folder
from crossfeed.sharing.manifest import MANIFEST, Manifest, parse_manifest

__all__ = ["Pushed", "push_run"]

_PLACE: Final = re.compile(r"hf://datasets/([A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?)/?", re.ASCII)
_PATIENCE: Final = 10.0
"""Seconds that the hub has for its first answer: without a network, looking up its name can take minutes."""
_OWN: Final = frozenset({".gitattributes", "README.md"})
"""Files that the hub itself puts into a new repository."""
_KIND: Final = "dataset"
_AUTHORISED: Final = (401, 403)
_MOST_CAUSES: Final = 5


class Pushed(NamedTuple):
    """The account of a push.

    Attributes:
        url: The commit on the hub.
        exported: What was exported for it; its folder is gone.
    """

    url: str
    exported: Exported


class _There(NamedTuple):
    """The content of a repository.

    Attributes:
        repository: Its id, ``owner/name``.
        exists: True if it is there.
        files: The files of an earlier push.
    """

    repository: str
    exists: bool
    files: frozenset[str]


def push_run(
    run: RunLike,
    place: str,
    *,
    private: bool = False,
    pool: Keep = "all",
    checkpoints: Keep = "none",
    progress: Progress | None = None,
) -> Pushed:
    """Write a run to a repository of data sets on the Hugging Face Hub, as one commit (extra ``hub``).

    Args:
        run: The run or its location.
        place: ``hf://datasets/OWNER/NAME``, or without an owner for the token's; made if it is not there.
        private: True for a repository that only its owner sees.
        pool: See `crossfeed.sharing.exporting.export_run`.
        checkpoints: See `crossfeed.sharing.exporting.export_run`.
        progress: Receives the progress; default: none is reported.

    Returns:
        What was pushed.

    Raises:
        InvalidInput: The place is none on the hub, there is no valid token, or the repository holds something else.
        MissingDependency: The client is not installed.
        DataUnavailable: The hub cannot be reached, or it refuses.
        StoreError: There is no run, or a part of it is damaged.
    """
    name = _repository(place)
    api = _client()
    opened = open_run(run)
    with _quiet(), TemporaryDirectory(prefix="crossfeed-") as temporary:
        with _errors(place):
            there = _look(api, name, opened.id, private=private, temporary=Path(temporary))
        folder = Path(temporary) / "export"
        folder.mkdir()
        exported = export_folder(opened, folder, pool=pool, checkpoints=checkpoints, progress=progress)
        with _errors(place), (progress or Silent()).stage("push", total=1, detail=there.repository) as advance:
            if not there.exists:
                api.create_repo(there.repository, repo_type=_KIND, private=private or None, exist_ok=True)
            stale = there.files - exported.manifest.files.keys()
            commit = api.upload_folder(
                folder_path=folder,
                repo_id=there.repository,
                repo_type=_KIND,
                commit_message=f"{opened.experiment.name}, run {opened.id} of crossfeed",
                delete_patterns=sorted(map(glob.escape, stale)),
            )
            advance(1)
    return Pushed(str(commit.commit_url), exported)


def _repository(place: str) -> str:
    match = _PLACE.fullmatch(place)
    if match is None or ".." in place:
        raise InvalidInput(
            f"{place}: is no place on the hub; give hf://datasets/OWNER/NAME, and for a folder or a zip file use "
            "crossfeed export"
        )
    return match[1]


def _client() -> Any:
    try:
        from huggingface_hub import HfApi, constants
    except ModuleNotFoundError as error:
        if error.name != "huggingface_hub":
            raise  # the client is there, and something that it needs is not
        raise MissingDependency("pushing needs huggingface_hub: pip install 'crossfeed[hub]'") from error
    if constants.HF_HUB_OFFLINE:
        raise DataUnavailable("HF_HUB_OFFLINE is set, so nothing is sent; unset it, or use crossfeed export")
    from huggingface_hub import get_token

    if get_token() is None:
        raise InvalidInput("no token for the hub is known; `hf auth login` stores one, or give it as HF_TOKEN")
    return HfApi(library_name="crossfeed")


def _look(api: Any, name: str, run: str, *, private: bool, temporary: Path) -> _There:
    """Ask the hub whose the token is, and what is in the repository.

    Raises:
        InvalidInput: It holds something else than an earlier push of the run.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    user = _in_time(api.whoami)["name"]
    repository = name if "/" in name else f"{user}/{name}"
    try:
        about = api.dataset_info(repository)
    except RepositoryNotFoundError:
        return _There(repository, exists=False, files=frozenset())
    if private and not about.private:
        raise InvalidInput(
            f"{repository} is there already and public; make it private on its page, or give another name"
        )
    files = frozenset(each.rfilename for each in about.siblings or ())
    if MANIFEST in files:
        local = api.hf_hub_download(repository, MANIFEST, repo_type=_KIND, local_dir=temporary / "before")
        try:
            before = parse_manifest(repository, Path(local).read_bytes())
        except StoreError:
            before = Manifest("", "", "", [], {})
        if before.id == run:
            return _There(repository, exists=True, files=files & before.files.keys())
    if files - _OWN:
        other = ", ".join(sorted(files - _OWN)[:3])
        raise InvalidInput(f"{repository} holds something else than this run ({other}, ...); give another name")
    return _There(repository, exists=True, files=frozenset())


def _in_time(ask: Callable[[], Any]) -> Any:
    answers: list[Any] = []
    failures: list[BaseException] = []

    def answer() -> None:
        try:
            answers.append(ask())
        except Exception as error:
            failures.append(error)

    thread = Thread(target=answer, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    if not answers:
        raise next(iter(failures), TimeoutError(f"no answer within {_PATIENCE:.0f} seconds"))
    return answers[0]


@contextmanager
def _errors(place: str) -> Iterator[None]:
    """Raise whatever the client raises as one line without the token."""
    from huggingface_hub import get_token

    try:
        yield
    except CrossfeedError:
        raise
    except Exception as error:  # the client raises errors of many libraries below it
        causes: list[BaseException] = [error]
        while causes[-1].__cause__ is not None and len(causes) < _MOST_CAUSES:
            causes.append(causes[-1].__cause__)
        statuses = [getattr(getattr(each, "response", None), "status_code", None) for each in causes]
        refused = next((status for status in statuses if status in _AUTHORISED), None)
        if refused is not None:
            raise InvalidInput(
                f"{place}: the hub does not accept this token ({refused}); give one that may write there, by "
                "`hf auth login` or as HF_TOKEN"
            ) from error
        said = ": ".join(dict.fromkeys(message_line(each).rstrip(".") for each in causes))
        said = said.replace(get_token() or "\0", "***")
        raise DataUnavailable(f"{place}: could not be pushed ({said}); the run is unharmed, try again later") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and log lines of the client's own: they would run through those that are shown."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown = not are_progress_bars_disabled()
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    if shown:
        disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if shown:
            enable_progress_bars()
