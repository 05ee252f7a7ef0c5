r"""Low-rank adapters (LoRA; Hu et al., 2022) in a base that all entities share.

Each target matrix is :math:`W = W_0 + s B A` with :math:`s = \alpha / r`. From the gradient :math:`G` of :math:`W`
follow those of the adapter, :math:`s B^\top G` of A and :math:`s G A^\top` of B. Handwritten models are given the
merged matrices and return :math:`G`; modules of transformers hold the layers of peft, and never form :math:`G`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from crossfeed.errors import DataUnavailable, InvalidInput, MissingDependency
from crossfeed.keys import generator
from crossfeed.learners.language.adapter_settings import AdapterSettings

__all__ = ["CONFIG", "Adapters", "add_product", "check_installed", "read_weights"]

_NAME: Final = "default"
_PREFIX: Final = "base_model.model."
_WEIGHTS: Final = "adapter_model.safetensors"
CONFIG: Final = "adapter_config.json"
_LISTED: Final = 8


def check_installed() -> None:
    """Check that peft is installed.

    Raises:
        MissingDependency: It is not.
    """
    if find_spec("peft") is None:
        raise MissingDependency("learner.adapter needs the package 'peft': pip install 'crossfeed[adapters]'")


class Adapters:
    """Room for one adapter in a module, into which every entity's is loaded.

    Args:
        module: A causal model of transformers; layers of peft take the place of its target layers, and all its own
            parameters are frozen.
        settings: The adapter's description.

    Raises:
        InvalidInput: A target is no linear layer of the module.
        MissingDependency: Peft is not installed.

    Attributes:
        dropout: Probability with which a coordinate of an adapter's input is left out in training.
    """

    def __init__(self, module: Any, settings: AdapterSettings) -> None:
        check_installed()
        from peft import LoraConfig, inject_adapter_in_model
        from peft.tuners.lora import LoraLayer

        self._scaling, self.dropout = settings.scaling, settings.dropout
        linear = _linear_layers(module)
        targets = _matched(linear, settings.targets)
        self._config = LoraConfig(
            task_type="CAUSAL_LM",
            r=settings.rank,
            lora_alpha=settings.alpha,  # type: ignore[arg-type, unused-ignore]
            lora_dropout=settings.dropout,
            target_modules=targets,
            fan_in_fan_out=all(not isinstance(linear[name], nn.Linear) for name in targets),  # Conv1D of GPT-2
        )
        with torch.random.fork_rng(devices=[]):
            inject_adapter_in_model(self._config, module).eval()  # new layers are in training mode, with dropout
        layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, LoraLayer)}
        self._pairs: dict[str, tuple[nn.Parameter, nn.Parameter]] = {
            name: (layer.lora_A[_NAME].weight, layer.lora_B[_NAME].weight) for name, layer in layers.items()
        }

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters by name: ``<layer>.lora_A.weight`` and ``<layer>.lora_B.weight``."""
        return {
            f"{name}.lora_{letter}.weight": parameter
            for name, pair in self._pairs.items()
            for letter, parameter in zip("AB", pair, strict=True)
        }

    def initial(self, seed: int) -> dict[str, Tensor]:
        """Return an adapter that changes nothing: B is zero, A uniform with variance 1 / (3 inputs), as peft draws it.

        Args:
            seed: Seeds A; a layer's numbers depend on it and on the layer's name alone.
        """
        numbers = {}
        for name, parameter in self.parameters().items():
            value = torch.zeros(parameter.shape)
            if name.endswith(".lora_A.weight"):
                bound = 1.0 / math.sqrt(parameter.shape[1])
                drawn = generator(seed, "adapter", name).uniform(-bound, bound, tuple(parameter.shape))
                value = torch.from_numpy(drawn).float()
            numbers[name] = value
        return numbers

    @torch.no_grad()
    def merged(self, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a base's parameters with the loaded adapter added to them; those without one are the same tensors.

        Args:
            base: The base's own parameters, by the names that they had before there were adapters.
        """
        added = {
            f"{name}.weight": torch.addmm(base[f"{name}.weight"], b, a, alpha=self._scaling)
            for name, (a, b) in self._pairs.items()
        }
        return {**base, **added}

    @torch.no_grad()
    def add_gradients(self, gradients: Mapping[str, Tensor]) -> None:
        """Add to A's and B's gradients what the gradients of merged matrices give.

        Args:
            gradients: Gradients of merged parameters, by name; those of parameters without an adapter are not used.
        """
        for name, (a, b) in self._pairs.items():
            gradient = gradients[f"{name}.weight"]
            for parameter, added in ((a, b.t() @ gradient), (b, gradient @ a.t())):
                added.mul_(self._scaling)
                parameter.grad = added if parameter.grad is None else parameter.grad.add_(added)

    def save(self, weights: Mapping[str, Tensor], base: str, revision: str | None, folder: Path) -> None:
        """Write an adapter as peft does: ``adapter_model.safetensors`` and ``adapter_config.json``.

        Args:
            weights: The adapter's numbers by name.
            base: The base's folder or hub id.
            revision: A branch, tag or commit of the hub id.
            folder: An existing folder.
        """
        save_file(
            {f"{_PREFIX}{name}": tensor.contiguous() for name, tensor in weights.items()},
            folder / _WEIGHTS,
            metadata={"format": "pt"},
        )
        fields = self._config.to_dict() | {
            "base_model_name_or_path": base,
            "revision": revision,
            "inference_mode": True,
        }
        (folder / CONFIG).write_text(json.dumps(fields, indent=2, sort_keys=True, default=sorted))

    def load(self, folder: Path) -> dict[str, Tensor]:
        """Read the numbers of an adapter that `save` wrote.

        Args:
            folder: The folder written by `save`.

        Raises:
            DataUnavailable: It cannot be read, or is an adapter of another base or description.
        """
        weights = read_weights(folder)
        expected = {name: parameter.shape for name, parameter in self.parameters().items()}
        if {name: tensor.shape for name, tensor in weights.items()} != expected:
            raise DataUnavailable(
                f"{folder / _WEIGHTS} holds an adapter of another base, rank or targets than learner.adapter describes"
            )
        return {name: weights[name] for name in expected}


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read an adapter's numbers, by the names of `Adapters.parameters`.

    Args:
        folder: A folder with an adapter of peft.

    Raises:
        DataUnavailable: It cannot be read.
    """
    try:
        return {name.removeprefix(_PREFIX): tensor for name, tensor in load_file(folder / _WEIGHTS).items()}
    except (OSError, SafetensorError) as error:
        raise DataUnavailable(f"{folder / _WEIGHTS} cannot be read as an adapter: {error}") from error


@torch.no_grad()
def add_product(layer: Any, a: Tensor, b: Tensor, scaling: float) -> None:
    """Add an adapter to the matrix of a linear layer, in place.

    Args:
        layer: A linear layer, or a ``Conv1D`` of transformers, whose matrix is transposed.
        a: ``(rank, inputs)``.
        b: ``(outputs, rank)``.
        scaling: The factor of their product.
    """
    product = (b @ a).mul_(scaling)
    layer.weight += product if isinstance(layer, nn.Linear) else product.t()


def _linear_layers(module: Any) -> dict[str, nn.Module]:
    """Return the linear layers by name, without the head: its matrix is often that of the embeddings."""
    from transformers.pytorch_utils import Conv1D

    head = module.get_output_embeddings()
    named = module.named_modules()
    return {name: layer for name, layer in named if isinstance(layer, nn.Linear | Conv1D) and layer is not head}


def _matched(linear: Mapping[str, nn.Module], targets: tuple[str, ...] | None) -> list[str]:
    """Return the names of the linear layers that are adapted."""
    if targets is None:
        return list(linear)
    for target in targets:
        if not any(_is_named(name, target) for name in linear):
            ends = sorted({name.rpartition(".")[2] for name in linear})
            listed = ", ".join(ends[:_LISTED]) + (", ..." if len(ends) > _LISTED else "")
            raise InvalidInput(
                f"learner.adapter.targets: {target!r} is no linear layer of the base (its head aside); its layers are "
                f"{listed}"
            )
    return [name for name in linear if any(_is_named(name, target) for target in targets)]


def _is_named(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
