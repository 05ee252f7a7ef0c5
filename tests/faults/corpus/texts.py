"""Whole files that are no description, and words that the refusal must hold; then some that look odd and are fine."""

from __future__ import annotations

from typing import Final

from tests.faults.corpus.fields import BASE

__all__ = ["FINE_TEXTS", "TEXTS"]


def _laughs(levels: int, wide: int, open_: str, close: str) -> str:
    """Each line refers to the one before it as often as is wide."""
    lines = [f"a0: &a0 {open_}{', '.join(['x'] * wide)}{close}" if open_ == "[" else "a0: &a0 {x: 1, y: 2}"]
    for level in range(1, levels):
        inner = ", ".join([f"*a{level - 1}"] * wide)
        lines.append(f"a{level}: &a{level} " + (f"[{inner}]" if open_ == "[" else f"{{<<: [{inner}]}}"))
    return "\n".join(lines) + "\n"


_WIDE_MERGE: Final = (
    "a: &a {" + ", ".join(f"k{i}: 1" for i in range(3000)) + "}\nb: {<<: [" + ", ".join(["*a"] * 3000) + "]}\n"
)

TEXTS: Final[dict[str, tuple[str | bytes, tuple[str, ...]]]] = {
    # Not a mapping, or not text.
    "empty": ("", ("mapping", "None")),
    "white space": ("  \n\n\t\n", ("YAML",)),
    "comments alone": ("# nothing\n# here\n", ("mapping",)),
    "null": ("~", ("mapping",)),
    "a word": ("hello", ("mapping", "hello")),
    "a number": ("5", ("mapping", "5")),
    "a list": ("- a\n- b\n", ("mapping",)),
    "two documents": (BASE + "---\n" + BASE, ("YAML", "line")),
    "an open bracket": ("a: [", ("YAML", "line 1")),
    "a tab": ("a:\n\tb: 1\n", ("YAML", "line 2")),
    "an unknown alias": ("a: *b\n", ("YAML", "undefined alias")),
    "an unknown directive": ("%YAML 9.9\n---\na: 1\n", ("YAML",)),
    "utf-16": (BASE.encode("utf-16"), ("x.yaml", "utf-8")),
    "utf-32": (BASE.encode("utf-32"), ("x.yaml", "utf-8")),
    "latin-1": ("name: caf\xe9\n".encode("latin-1"), ("x.yaml", "utf-8")),
    "nul bytes": (b"\0" * 1000, ("YAML",)),
    "random bytes": (bytes(range(256)) * 40, ("x.yaml", "utf-8")),
    "a zip": (b"PK\x03\x04" + bytes(200), ("YAML",)),
    "parquet": (b"PAR1" + b"\x15\x04\x15\x0c" * 20 + b"PAR1", ("YAML",)),
    "a png": (b"\x89PNG\r\n\x1a\n" + bytes(64), ("x.yaml", "utf-8")),
    "json lines": ('{"a": 1}\n{"a": 2}\n', ("YAML", "line 2")),
    "an escape code": (BASE + "extra: \x1b[2J\n", ("YAML",)),
    "a bidi override as a key": (BASE + "\u202enoitareneg: 1\n", ("unknown key",)),
    "control characters in a key": (BASE + '"\\e[31m\\a": 1\n', ("unknown key", "\\x1b[31m")),
    "a very long key": (BASE + f"? {'k' * 100_000}\n: 1\n", ("unknown key", "kkk...kkk")),
    "half a character in a key": (BASE + '"\\ud800": 1\n', ("surrogate",)),
    "more than a million characters": (BASE + "#" * 1_000_000, ("1,000,000 characters",)),
    "a very long word": (BASE + f"n2: {'9' * 900_000}\n", ("line", "no int")),
    "a very long line of numbers": ("a: [" + "1," * 400_000 + "]", ("100,000 values",)),
    # Tags.
    **{
        f"tag {tag}": (f"{BASE}extra: {tag} {value}\n", ("line", "tag", tag.strip("!<>").partition("/")[0]))
        for tag, value in (
            ("!!python/object:os.system", "[ls]"),
            ("!!python/object/apply:os.system", "['touch owned']"),
            ("!!python/object/new:type", "[x, [], {}]"),
            ("!!python/name:os.system", "''"),
            ("!!python/module:os", "''"),
            ("!!python/tuple", "[1, 2]"),
            ("!!binary", "aGVsbG8="),
            ("!!timestamp", "2026-01-01"),
            ("!!set", "{a, b}"),
            ("!!omap", "[a: 1]"),
            ("!!pairs", "[a: 1]"),
            ("!custom", "5"),
            ("!<tag:x.y,2026:z>", "5"),
        )
    },
    "a wrong int": (f"{BASE}extra: !!int abc\n", ("line", "'abc' is no int")),
    "an empty int": (f"{BASE}extra: !!int ''\n", ("line", "no int")),
    "a wrong float": (f"{BASE}extra: !!float abc\n", ("line", "'abc' is no float")),
    "an empty float": (f"{BASE}extra: !!float ''\n", ("line", "no float")),
    "a wrong bool": (f"{BASE}extra: !!bool maybe\n", ("line", "'maybe' is no bool")),
    "a mapping called a list": (f"{BASE}extra: !!seq {{a: 1}}\n", ("YAML", "line")),
    "a list called a mapping": (f"{BASE}extra: !!map [a]\n", ("YAML", "line")),
    # Keys.
    "a key twice": (BASE + "n: 11\n", ("'n' is given twice", "line")),
    "a nested key twice": (BASE + "extra: {a: 1, a: 2}\n", ("'a' is given twice",)),
    "a key twice, escaped": (BASE + '"\\x6e": 11\n', ("'n' is given twice",)),
    "a number as a key": (BASE + "5: 1\n", ("5 is not a word",)),
    "nothing as a key": (BASE + "~: 1\n", ("None is not a word",)),
    "a truth value as a key": (BASE + "yes: 1\n", ("True is not a word",)),
    "a list as a key": (BASE + "? [a, b]\n: 1\n", ("is not a word",)),
    "a mapping as a key": (BASE + "? {a: b}\n: 1\n", ("is not a word",)),
    "a bomb as a key": (_laughs(12, 9, "[", "]") + "? *a11\n: 1\n", ("is not a word",)),
    "itself as a key": ("? &a [*a]\n: 1\n", ("YAML", "line")),
    # Aliases, anchors, merges.
    "a billion laughs": (_laughs(10, 9, "[", "]"), ("100,000 values", "aliases")),
    "a billion laughs in the grid": (
        BASE + "grid:\n" + "".join(f"  {line}\n" for line in _laughs(10, 9, "[", "]").splitlines()),
        ("100,000 values", "grid"),
    ),
    "quadratic laughs": ("a: &a '" + "x" * 900 + "'\nb: [" + "*a," * 99_999 + "]", ("100,000 values",)),
    # Too many values, or, since PyYAML 6.0.4 merges a key only once, a mapping of one key that means nothing.
    "a billion merges": (_laughs(12, 9, "{", "}"), ()),
    "a wide merge": (_WIDE_MERGE, ("100,000 values", "line")),
    "a list in itself": ("a: &a [*a]\n", ("refer to each other",)),
    "a mapping in itself": ("&a {b: *a}\n", ("refer to each other",)),
    "two that hold each other": ("a: &a {b: &b {a: *a}}\n", ("refer to each other",)),
    "a merge of itself": ("a: &a {<<: *a}\n", ("itself",)),
    "a merge of a word": (BASE + "extra: {<<: word}\n", ("YAML", "line")),
    "a merge of a list of words": (BASE + "extra: {<<: [a, b]}\n", ("YAML", "line")),
    "an alias of an entity": (
        BASE.replace("{name: cold, private: cold}", "*w").replace("[{name: warm", "[&w {name: warm"),
        ("entity names must differ", "warm"),
    ),
    # Depth.
    "nested lists": ("a: " + "[" * 60 + "]" * 60, ("50 deep",)),
    "deeply nested lists": ("[" * 20_000, ("50 deep",)),
    "deeply nested mappings": ("{a: " * 20_000, ("50 deep",)),
    "deeply nested blocks": ("\n".join(" " * i + "a:" for i in range(500)), ("50 deep",)),
    "deeply nested keys": ("? " * 20_000, ("50 deep",)),
    "deeply nested entries": ("- " * 20_000, ("50 deep",)),
    # Too much, well formed.
    "fifty thousand entities": (
        "ecosystem: {entities: [" + "{name: a, private: b}," * 24_000 + "]}\n",
        ("100,000 values",),
    ),
    "ten thousand entities of one name": (
        BASE.replace("[{name: warm, private: warm},", "[" + "{name: warm, private: warm}," * 10_000),
        ("entity names must differ", "warm"),
    ),
    "nine thousand fields on the grid": (
        BASE + "grid: {" + ", ".join(f"learner.f{i}: [1]" for i in range(9000)) + "}\n",
        ("grid", "50 fields"),
    ),
    "nine thousand unknown keys": (
        BASE + "\n".join(f"key{i}: 1" for i in range(9000)),
        ("key0: unknown key", "8980 more"),
    ),
}

FINE_TEXTS: Final[dict[str, str | bytes]] = {
    "as it is": BASE,
    "with a byte order mark": "\ufeff" + BASE,
    "with Windows' line ends": BASE.replace("\n", "\r\n"),
    "as JSON": b'{"ecosystem": {"entities": [{"name": "a", "private": "p"}], "alpha": 1e-1}, "public": "math", "n": 5,'
    b' "learner": {"kind": "fake"}, "tasks": {"p": "facts"}, "generations": 0}',
    "with halves of characters, as JSON has them": BASE.replace("Two models of single words.", '"\\ud83d\\ude00"'),
    "with a merge": BASE.replace("cold, private: cold}", "cold, <<: *e}").replace("{name: warm,", "&e {name: warm,"),
    "with an end": BASE + "...\n",
}
