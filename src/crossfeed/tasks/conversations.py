"""Conversations as items: lists of messages as OpenAI's and ShareGPT's files hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from crossfeed.display.formatting import shown
from crossfeed.errors import InvalidInput
from crossfeed.settings import Frozen

__all__ = ["Messages", "exchanges"]

_ROLES: Final = {
    "system": "System",
    "developer": "System",
    "user": "User",
    "human": "User",
    "prompter": "User",
    "assistant": "Assistant",
    "gpt": "Assistant",
    "chatgpt": "Assistant",
    "bot": "Assistant",
    "model": "Assistant",
    "tool": "Tool",
    "function": "Tool",
}
_ROLE_KEYS: Final = ("role", "from", "speaker")
_TEXT_KEYS: Final = ("content", "value", "text")
_MODEL: Final = "Assistant"


class Messages(Frozen):
    """A column of conversations: lists of messages with a role and a text.

    An item's prompt is the conversation up to a turn of the assistant, a line ``User: ...`` for each message, and ends
    in ``Assistant:``; its completion is that turn.

    Attributes:
        column: The column, or a part of a nested one, such as ``messages`` or ``conversations``.
        turn: Which turn of the assistant is the completion: the ``last``, the ``first``, or ``all``, an item each.
    """

    column: Annotated[str, Field(min_length=1)]
    turn: Literal["last", "first", "all"] = "last"


def exchanges(where: str, value: Any, turn: Literal["last", "first", "all"]) -> Iterator[tuple[str, str]]:
    """Give prompts and completions of one conversation; none where no turn of the assistant answers anybody.

    Args:
        where: The row, for messages.
        value: A list of messages.
        turn: Which turns of the assistant to give.

    Raises:
        InvalidInput: It is no list of messages.
    """
    messages = [_message(where, each) for each in _list(where, value)]
    answers = [place for place, (role, text) in enumerate(messages) if place and role == _MODEL and text]
    chosen = answers if turn == "all" else answers[-1:] if turn == "last" else answers[:1]
    for place in chosen:
        before = "".join(f"{role}: {text}\n" for role, text in messages[:place])
        yield f"{before}{_MODEL}:", f" {messages[place][1]}"


def _list(where: str, value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise InvalidInput(
            f"{where}: a conversation is a list of messages, [{{role: user, content: ...}}, ...]; received "
            f"{shown(value)}"
        )
    return value


def _message(where: str, value: Any) -> tuple[str, str]:
    if isinstance(value, Mapping):
        role = next((value[key] for key in _ROLE_KEYS if key in value), None)
        text = _text(next((value[key] for key in _TEXT_KEYS if key in value), None))
        known = _ROLES.get(str(role).lower())
        if known is not None and text is not None:
            return known, text.strip()
        if role is not None and known is None:
            raise InvalidInput(f"{where}: a message has the role {shown(role)}; known are {', '.join(_ROLES)}")
    raise InvalidInput(
        f"{where}: a message has a role ({', '.join(_ROLE_KEYS)}) and a text ({', '.join(_TEXT_KEYS)}); received "
        f"{shown(value)}"
    )


def _text(value: Any) -> str | None:
    """A message's text: one, or parts of the type ``text``; a message that only calls a tool has none."""
    if value is None:
        return ""
    if isinstance(value, list):
        known = [each for each in value if isinstance(each, Mapping) and each.get("type") == "text"]
        return "".join(str(part.get("text")) for part in known) if len(known) == len(value) else None
    return value if isinstance(value, str) else None
