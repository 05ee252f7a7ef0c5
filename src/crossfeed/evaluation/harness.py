"""EleutherAI's lm-evaluation-harness; no other file imports it.

Tasks are the harness's own, with its prompts, shots and metrics; a data root changes only the location of their data.
Numbers are those of ``lm_eval --model hf`` with its default seeds.
"""

from __future__ import annotations

import difflib
import glob
import io
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import cache, cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from crossfeed.display.formatting import first_line
from crossfeed.errors import CrossfeedError, DataUnavailable, InvalidInput, MissingDependency
from crossfeed.evaluation.checkpoints import Evaluated, Score

__all__ = ["Harness"]

_SEED: Final = 1234  # what the harness seeds its choice of shots, and torch, with
_BOOTSTRAP: Final = 100_000  # the harness's own number of resamples for standard errors
_DEVICE: Final = "auto"  # no device's name: the harness then takes CUDA's current one if there is one, else the CPU
_BUILDERS: Final = {"parquet": "parquet", "jsonl": "json"}
_LOGGERS: Final = ("lm_eval", "datasets", "huggingface_hub", "transformers")
_SPLITS: Final = ("train", "validation", "test")


class Harness:
    """Tasks of the harness as an evaluator of checkpoints.

    Args:
        tasks: Names of tasks, such as ``sciq``, ``gsm8k``, ``arc_challenge``.
        data_root: A folder laid out ``<task>/<split>.parquet`` to read instead of the hub; columns as on the hub.
        shots: Worked examples in each prompt; None: as each task states.
        limit: Number of items of each task, the first ones; None: all of them.
        new_tokens: Most tokens of a generated answer; None: as each task states, else 256.
        batch_size: Items in a batch; it changes no number beyond rounding.

    Attributes:
        options: The options that affect the numbers, as text.

    Raises:
        MissingDependency: The harness is not installed.
        InvalidInput: No task is given.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        data_root: Path | None = None,
        shots: int | None = None,
        limit: int | None = None,
        new_tokens: int | None = None,
        batch_size: int = 8,
    ) -> None:
        self.tasks = tuple(dict.fromkeys(tasks))
        if not self.tasks:
            raise InvalidInput("tasks: none was given; give some of lm_eval's, such as sciq, gsm8k, arc_challenge")
        self._data_root, self._batch_size = data_root, batch_size
        self._shots, self._limit, self._new_tokens = shots, limit, new_tokens
        given = {"lm_eval": _version(), "limit": limit, "shots": shots, "new_tokens": new_tokens}
        self.options = " ".join(f"{name}={value}" for name, value in given.items() if value is not None)

    def evaluate(self, folder: Path, tasks: Sequence[str], name: str) -> Evaluated:
        """Evaluate the model in a folder on some of the tasks, one after the other.

        Args:
            folder: A transformers folder: weights, configuration and tokenizer.
            tasks: Names of tasks.
            name: The model's name in the harness's own document.

        Returns:
            The numbers, one score for each metric of each task; and what the harness writes to its ``--output_path``.

        Raises:
            InvalidInput: A task is unknown, or its prompts and answers are longer than the model's context.
            DataUnavailable: A task's data cannot be read.
            CrossfeedError: The harness cannot finish; the message holds the harness's own.
        """
        from lm_eval.api.registry import get_model

        begun = time.time()
        scores: list[Score] = []
        try:
            with _quiet():
                model = get_model("hf")(pretrained=str(folder), device=_DEVICE, batch_size=self._batch_size)
            for task in tasks:
                _check_room(task, self._tasks[task], model)
            results: dict[str, Any] = {}
            for task in tasks:
                output, warnings = self._answer(task, model)
                scores += _scores(task, output, warnings)
                for key, value in output.items():
                    results.setdefault(key, {}).update(value)
            with _quiet():
                return Evaluated(scores, self._document(results, model, name, begun))
        except (CrossfeedError, OSError):  # OSError: the folder cannot be read, which the store reports
            raise
        except Exception as error:  # the harness and the libraries below it raise errors of many kinds
            raise CrossfeedError(f"lm_eval on {', '.join(tasks)}: {first_line(error)}") from error

    @cached_property
    def _tasks(self) -> dict[str, Any]:
        """The harness's tasks with their data; loading them takes seconds."""
        loaded = _load(self.tasks, self._data_root)
        for task in loaded.values():
            _set_up(task, self._shots, self._new_tokens)
        return loaded

    def _answer(self, name: str, model: Any) -> tuple[dict[str, Any], list[str]]:
        """Return what the harness says of one task, and its warnings."""
        import lm_eval
        from lm_eval.utils import set_torch_seed

        task = self._tasks[name]
        with _quiet() as warnings:
            set_torch_seed(_SEED)
            task.set_fewshot_seed(seed=_SEED)
            output = lm_eval.evaluate(model, {"tasks": {name: task}}, limit=self._limit, log_samples=False)
        return {key: value for key, value in output.items() if isinstance(value, dict)}, warnings

    def _document(self, results: dict[str, Any], model: Any, name: str, begun: float) -> dict[str, Any]:
        """Return the harness's results file, written by its own code: `simple_evaluate` and its command add the rest.

        The options of the model are those that were given; the folder is named by the run, not by this machine.
        """
        from lm_eval.loggers import EvaluationTracker
        from lm_eval.loggers.utils import add_tokenizer_info, get_git_commit_hash

        arguments = {"pretrained": name}
        about = model.get_model_info() if hasattr(model, "get_model_info") else {}
        config = {
            "model": "hf",
            "model_args": arguments,
            **about,
            "batch_size": self._batch_size,
            "batch_sizes": list(getattr(model, "batch_sizes", {}).values()),
            "device": None,
            "use_cache": None,
            "limit": self._limit,
            "bootstrap_iters": _BOOTSTRAP,
            "gen_kwargs": None if self._new_tokens is None else {"max_gen_toks": self._new_tokens},
            "random_seed": 0,
            "numpy_seed": _SEED,
            "torch_seed": _SEED,
            "fewshot_seed": _SEED,
        }
        results |= {"config": config, "git_hash": get_git_commit_hash(), "date": begun} | _machine()
        add_tokenizer_info(results, model)
        with TemporaryDirectory() as folder:
            tracker = EvaluationTracker(output_path=folder)
            tracker.general_config_tracker.log_experiment_args(
                model_source="hf",
                model_args=arguments,
                system_instruction=None,
                chat_template=None,
                fewshot_as_multiturn=False,
            )
            tracker.general_config_tracker.start_time -= time.time() - begun
            tracker.save_results_aggregated(results=results, samples={})
            (written,) = Path(folder).rglob("results_*.json")
            document: dict[str, Any] = json.loads(written.read_text(encoding="utf-8"))
        return document


def _scores(name: str, output: Mapping[str, Any], warnings: Sequence[str]) -> Iterator[Score]:
    """Yield one task's numbers; the harness names them ``metric,filter``, and most tasks have no filter."""
    results, items = output["results"][name], int(output["n-samples"][name]["effective"])
    for key, value in results.items():
        metric, comma, filtered = key.partition(",")
        if comma and not metric.endswith("_stderr"):
            error = results.get(f"{metric}_stderr,{filtered}")
            yield Score(
                task=name,
                metric=metric if filtered == "none" else f"{metric} ({filtered})",
                value=float(value),
                stderr=float(error) if isinstance(error, int | float) else math.nan,
                items=items,
                shots=int(output["n-shot"][name]),
                warning=warnings[0] if warnings else "",
            )


@cache
def _machine() -> dict[str, Any]:
    """Return what the harness notes of versions and the machine; collecting it takes seconds."""
    from lm_eval.loggers.utils import add_env_info

    about: dict[str, Any] = {}
    add_env_info(about)
    return about


def _version() -> str:
    if find_spec("lm_eval") is None or find_spec("accelerate") is None:  # it installs without what `hf` models need
        raise MissingDependency("evaluating needs lm-evaluation-harness: pip install 'crossfeed[eval]'")
    return version("lm_eval")


def _load(names: Sequence[str], data_root: Path | None) -> dict[str, Any]:
    """Load the harness's tasks with their data."""
    with TemporaryDirectory() as cache, _quiet():
        # Members of a group are the harness's tasks with some fields replaced; a task alone would be a new one.
        members = [{"task": name} | (_local(name, data_root, cache) if data_root else {}) for name in names]
        for name in names:
            _check_known(name, _manager().all_subtasks)
        try:
            loaded: dict[str, Any] = _manager().load([{"group": "crossfeed", "task": members}])["tasks"]
        except Exception as error:  # the harness and the libraries below it raise errors of many kinds
            raise DataUnavailable(
                f"lm_eval cannot read the data of {', '.join(names)} ({first_line(error)}); without a network give "
                f"--data-root FOLDER with FOLDER/{names[0]}/test.parquet, with the columns that it has on the hub"
            ) from error
    return loaded


@cache
def _manager() -> Any:
    """Return the harness's index of its tasks, read from thousands of files."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _check_known(name: str, known: Sequence[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        meant = f"; did you mean {', '.join(near)}?" if near else ""
        raise InvalidInput(f"tasks: {name!r} is no task of lm_eval{meant} (`lm-eval ls subtasks` lists them)")


def _local(name: str, data_root: Path, cache: str) -> dict[str, Any]:
    """Return the fields of a task that locate its data."""
    folder = (data_root / name).resolve()
    for ending, builder in _BUILDERS.items():
        files = {split: path for split in _SPLITS if (path := folder / f"{split}.{ending}").is_file()}
        if files:
            places = {split: glob.escape(str(path)) for split, path in files.items()}
            # The library would leave a converted copy of every local file in its cache.
            options = {"data_files": places, "cache_dir": cache, "keep_in_memory": True}
            return {"dataset_path": builder, "dataset_name": None, "dataset_kwargs": options}
    raise DataUnavailable(
        f"{name}: {folder} has no test.parquet (or .jsonl); put it there, or give another --data-root"
    )


def _set_up(task: Any, shots: int | None, new_tokens: int | None) -> None:
    """Set shots and answer lengths by the harness's own rules; a task that fixes zero shots keeps them."""
    fixed = task.get_config("num_fewshot")
    if fixed is None:
        task.set_config(key="num_fewshot", value=shots or 0)
    elif shots is not None and fixed != 0:
        task.set_config(key="num_fewshot", value=shots)
    if new_tokens is not None and task.get_config("output_type") == "generate_until":
        task.set_config(key="generation_kwargs", value={"max_gen_toks": new_tokens}, update=True)


def _check_room(name: str, task: Any, model: Any) -> None:
    if task.get_config("output_type") == "generate_until":
        answer = task.get_config("generation_kwargs").get("max_gen_toks", model.max_gen_toks)
        if answer >= model.max_length:
            raise InvalidInput(
                f"{name}: answers may have {answer} tokens, but the model reads {model.max_length} in all, prompt and "
                f"answer; give fewer, such as --new-tokens {model.max_length // 2}"
            )


class _Warnings(logging.Handler):
    """Warnings, kept instead of shown."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def _quiet() -> Iterator[list[str]]:
    """Suppress bars and log lines; yield the harness's warnings."""
    kept, loggers = _Warnings(), [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [kept], False
    try:
        with redirect_stderr(io.StringIO()):
            yield kept.messages
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
