"""The examination of a model folder: it is loaded as a run loads it, and reads texts as a run has it read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from crossfeed.cache import default_cache
from crossfeed.errors import CrossfeedError
from crossfeed.learners.language.gguf import plain_folder
from crossfeed.learners.language.item_notes import notes_on_items
from crossfeed.learners.language.model import CausalModel
from crossfeed.learners.language.model_folder import check_tokenizer, notes_on_texts
from crossfeed.learners.language.pretrained import read_model, read_tokenizer
from crossfeed.learners.language.scoring import score
from crossfeed.learners.language.settings import BaseSettings, LanguageSettings
from crossfeed.learners.language.tokens import ItemTokenizer, text_column
from crossfeed.learners.neural.device import open_device
from crossfeed.protocols import Examination

__all__ = ["examine"]

_TRIED: Final = 8
"""Items whose loss is computed."""
_SPELLED: Final = 2


def examine(folder: Path, items: pa.Table | None) -> Examination:
    """Load a model and its tokenizer, and have them read items.

    Args:
        folder: The model's folder, or a GGUF file, which is read into the cache.
        items: Items with ``prompt`` and ``completion``, or None.

    Returns:
        What is known of it, with all problems that could be found.
    """
    found = Examination()
    with _catching(found):
        folder = plain_folder(folder, default_cache()) if folder.is_file() else folder
        tokenizer = read_tokenizer(str(folder), None)
        _on_tokenizer(found, tokenizer)
        coder = None
        with _catching(found):
            coder = ItemTokenizer(tokenizer)
        module = read_model(str(folder), None, open_device("auto", "auto", 1), 1)
        _on_model(found, module)
        embeddings = module.get_input_embeddings().num_embeddings
        if len(tokenizer) > embeddings:
            beyond = [f"{word} ({number})" for word, number in tokenizer.get_vocab().items() if number >= embeddings]
            found.notes.append(
                f"the model has no embeddings for {', '.join(sorted(beyond)[:3])}: texts may not hold these"
            )
        if items is None or coder is None:
            return found
        pairs = zip(text_column(items, "prompt"), text_column(items, "completion"), strict=True)
        texts = [prompt + completion for prompt, completion in pairs]
        check_tokenizer(str(folder), tokenizer, embeddings, texts)
        found.notes += notes_on_texts(tokenizer, texts)
        _on_items(found, coder, module, items)
    return found


@contextmanager
def _catching(found: Examination) -> Iterator[None]:
    """Keep what raises an error on purpose as a problem."""
    try:
        yield
    except CrossfeedError as error:
        found.problems.append(str(error))


def _on_tokenizer(found: Examination, tokenizer: Any) -> None:
    found.facts["tokenizer"] = f"{type(tokenizer).__name__}, {len(tokenizer):,} tokens"
    for name in ("bos", "eos", "pad"):
        token = getattr(tokenizer, f"{name}_token")
        found.facts[f"{name} token"] = (
            "none" if token is None else f"{token} ({getattr(tokenizer, f'{name}_token_id')})"
        )


def _on_model(found: Examination, module: Any) -> None:
    parameters = sum(each.numel() for each in module.parameters())
    found.facts["model"] = f"{type(module).__name__}, {parameters:,} parameters"
    found.facts["embeddings"] = f"{module.get_input_embeddings().num_embeddings:,} tokens"
    if (room := _room(module)) is not None:
        found.facts["reads at most"] = f"{room:,} tokens (training.max_length; max_prompt_tokens + max_new_tokens)"


def _room(module: Any) -> int | None:
    room: int | None = getattr(module.config, "max_position_embeddings", None)
    return room


def _on_items(found: Examination, coder: ItemTokenizer, module: Any, items: pa.Table) -> None:
    """Note how items are read with the default lengths, as far as the model takes them."""
    settings = LanguageSettings(base=BaseSettings(model="examined"))
    room = _room(module) or settings.context_length
    training = settings.training.model_copy(update={"max_length": min(settings.training.max_length, room)})
    settings = settings.model_copy(update={"training": training})
    task = SimpleNamespace(train=items, test=items.slice(0, 0))
    found.notes += notes_on_items(coder, task, settings)
    examples = coder.examples(items, training.max_length)
    found.samples += [coder.spelled(example) for example in examples[:_SPELLED]]
    lengths = np.array([len(example.ids) + example.cut for example in examples])
    found.facts["tokens of an item"] = f"{np.median(lengths):.0f} in the median, {lengths.max()} at most"
    scores = score(CausalModel(module, open_device("auto", "auto", 1)), examples[:_TRIED], _TRIED, coder.pad)
    loss, guess = scores.loss.sum() / max(scores.size.sum(), 1), float(np.log(len(coder.tokenizer)))
    found.facts["loss"] = f"{loss:.2f} nats a token on the first {min(_TRIED, len(examples))} items"
    if not loss < guess:
        found.notes.append(
            f"the loss is that of a guess among all tokens ({guess:.2f}) or worse: is the model trained?"
        )
