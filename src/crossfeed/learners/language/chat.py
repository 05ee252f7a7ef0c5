"""The frame that a tokenizer's chat template puts around a user's message."""

from __future__ import annotations

from typing import Any, Final

from crossfeed.errors import InvalidInput

__all__ = ["chat_frame"]

_MARK: Final = "user message"
"""Stands for the message; templates may take white space off its ends, not out of it."""


def chat_frame(tokenizer: Any) -> tuple[str, str]:
    """Return the texts before and after a user's message, up to where the assistant's answer begins.

    The message then stands in the text as it is written, whatever a template would have done to its ends: prompt and
    completion stay what the data say.

    Args:
        tokenizer: A tokenizer of transformers.

    Raises:
        InvalidInput: It has no chat template, or one that does not show the message once.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise InvalidInput(
            "prompting: chat needs a tokenizer with a chat template, and the base's has none; give prompting: plain"
        )
    try:
        text: str = tokenizer.apply_chat_template(
            [{"role": "user", "content": _MARK}], tokenize=False, add_generation_prompt=True
        )
    except Exception as error:  # of any type: templates are programs of their models' makers
        raise InvalidInput(
            f"prompting: chat: the base's chat template cannot be used ({' '.join(str(error).split())}); give "
            "prompting: plain"
        ) from error
    before, *rest = text.split(_MARK)
    if len(rest) != 1:
        raise InvalidInput(
            f"prompting: chat: the base's chat template shows the user's message {len(rest)} times; give "
            "prompting: plain"
        )
    return before, rest[0]
