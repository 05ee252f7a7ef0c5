"""URLs for display: users, passwords, keys and signatures in them are hidden, everywhere in the same way."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

__all__ = ["credentials", "masked"]

_HIDDEN: Final = "***"
_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.-]*://"
# The text of a URL ends where one in a sentence does; a password may hold any of the other characters.
_URL: Final = re.compile(rf"({_SCHEME})([^\s\"'<>`]+?)(?=[:,;.)]*(?:[\s\"'<>`]|$))")
_NO_PASSWORD: Final = re.compile(r"\[.*|[^:]*(:\d*)?")


def masked(text: str) -> str:
    """Return text in which URLs have no credentials: neither a user and password, nor values of a query or fragment.

    What a query says differs from store to store (``X-Amz-Signature``, ``sig``, ``token``), so that all its values are
    hidden.

    Args:
        text: Any text, with any number of URLs in it.
    """
    return _URL.sub(lambda url: url[1] + _masked(url[2]), text)


def credentials(url: str) -> list[str]:
    """Return what `masked` hides of a URL, also as it reads without percent signs; longest first.

    Args:
        url: The URL.
    """
    found: set[str] = set()
    for match in _URL.finditer(url):
        user, place, parameters = _parts(match[2])
        found |= {user, *user.split(":", 1)} | {value for _, value in parameters} | set(credentials(place))
    return sorted({each for secret in found for each in (secret, unquote(secret)) if each}, key=len, reverse=True)


def _masked(rest: str) -> str:
    user, place, parameters = _parts(rest)
    query = "".join(f"{name}{_HIDDEN if value else ''}" for name, value in parameters)
    return (f"{_HIDDEN}@" if user else "") + masked(place) + query


def _parts(rest: str) -> tuple[str, str, list[tuple[str, str]]]:
    """Split what follows a scheme.

    Returns:
        User and password; host and path; and name (with what separates it from the one before) and value of parameters.
    """
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user = ""
    if "@" in authority:
        user, rest = rest[: authority.rindex("@")], rest[authority.rindex("@") + 1 :]
    elif "@" in rest and not _NO_PASSWORD.fullmatch(authority):
        user, _, rest = rest.rpartition("@")  # a password with a slash that was not written as %2F
    place, mark, query = rest.partition("?") if "?" in rest else rest.partition("#")
    return user, place, _parameters(mark + query)


def _parameters(query: str) -> list[tuple[str, str]]:
    parameters = []
    for separator, word in re.findall(r"([?&;#])([^&;#]*)", query):
        name, equals, value = word.partition("=")
        parameters.append((f"{separator}{name}{equals}", value) if equals else (separator, word))
    return parameters
