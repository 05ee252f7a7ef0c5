"""Weights & Biases by its own client: a run there for each cell, the generation as the step.

What is sent is what is named here: numbers, the cell's description, and names. The client's own collecting (console
output, source code, git, the machine's load, installed packages) is switched off. ``WANDB_MODE=offline`` keeps all on
this machine, for ``wandb sync`` later.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.display.formatting import shown
from crossfeed.errors import InvalidInput, MissingDependency

__all__ = ["WeightsAndBiases"]

_PATIENCE: Final = 30.0
"""Seconds that its server has to answer; a run that is not tracked is better than one that waits."""


class WeightsAndBiases:
    """Runs of Weights & Biases, one for each cell, in one group.

    Args:
        folder: Where the client makes its folder ``wandb``; what was logged is remembered there, in ``logged.json``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, dict[str, Any]] = {}
        self._open: dict[str, Any] = {}

    def begin(self, experiment: Experiment) -> None:
        """Start the client, and read what was logged before.

        Args:
            experiment: The experiment.

        Raises:
            MissingDependency: The client is not installed.
            InvalidInput: One of its environment variables cannot be used, it would upload and has no key, or its memory
                is damaged.
        """
        self._wandb = _client()
        self._experiment = experiment
        self._state.parent.mkdir(parents=True, exist_ok=True)
        if self._state.exists():
            try:
                self._known = json.loads(self._state.read_text(encoding="utf-8"))
            except ValueError as error:
                raise InvalidInput(f"{self._state}: damaged; without it all is logged again, as new runs") from error

    def logged(self, cell: Cell) -> int:
        """Return the generation in ``logged.json``.

        Args:
            cell: The cell.
        """
        return int(self._known.get(cell.name, {}).get("generation", -1))

    def log(self, cell: Cell, generation: int, numbers: Mapping[str, float]) -> None:
        """Log one step; a cell's run is opened with its first one, and finished with its last.

        Args:
            cell: The cell.
            generation: The generation t.
            numbers: Numbers by name.
        """
        if cell.name not in self._open:
            self._open[cell.name] = self._begin(cell)
        self._open[cell.name].log(dict(numbers), step=generation)
        self._known[cell.name]["generation"] = generation
        self._remember()
        if generation == cell.experiment.generations:
            self._open.pop(cell.name).finish()

    def end(self) -> None:
        """Finish what is open."""
        while self._open:
            self._open.popitem()[1].finish()

    @property
    def _state(self) -> Path:
        return self._folder / "wandb" / "logged.json"

    def _begin(self, cell: Cell) -> Any:
        known = self._known.setdefault(cell.name, {"id": uuid.uuid4().hex[:12], "generation": -1})
        self._remember()
        return self._wandb.init(
            project=None if "WANDB_PROJECT" in os.environ else "crossfeed",
            group=f"{self._experiment.name}-{self._experiment.id}",
            name=cell.name,
            id=known["id"],
            resume="allow",
            reinit="create_new",
            dir=str(self._folder),
            config={"seed": cell.seed, **cell.point, "experiment": cell.experiment.model_dump(mode="json")},
            settings=self._wandb.Settings(
                init_timeout=_PATIENCE,
                finish_timeout=_PATIENCE,
                finish_timeout_raises=True,
                silent=True,
                console="off",
                save_code=False,
                disable_git=True,
                disable_job_creation=True,
                x_disable_stats=True,
                x_disable_meta=True,
                x_disable_machine_info=True,
                x_save_requirements=False,
            ),
        )

    def _remember(self) -> None:
        work = self._state.with_suffix(".part")
        work.write_text(json.dumps(self._known, indent=1), encoding="utf-8")
        os.replace(work, self._state)


def _client() -> Any:
    """Return the client's module, with settings that it can work with."""
    try:
        import wandb
    except ModuleNotFoundError as error:
        if error.name != "wandb":
            raise  # the client is there, and something of it is not
        raise MissingDependency("Weights & Biases is not installed: pip install 'crossfeed[track]'") from error
    try:
        settings = wandb.setup().settings
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc']))}={shown(each['input'])}: {each['msg']}" for each in error.errors()]
        given = ", ".join(sorted(name for name in os.environ if name.startswith("WANDB_"))) or "no variable"
        raise InvalidInput(f"Weights & Biases cannot use {'; '.join(wrong)}; the environment gives {given}") from error
    if settings.mode == "online" and not wandb.login(prompt=False):
        raise InvalidInput("no key is known; `wandb login` asks for one, and WANDB_MODE=offline needs none")
    return wandb
