r"""Networks of readers: the weights W_kj with which reader k draws from what author j publishes.

Without a network everybody reads one pool by the authors' shares, W_kj = w_j. A network is given as a matrix, a graph
by name, a file or a list of edges, or communities. An edge leads from a reader to an author; one reads all authors that
one's edges lead to with equal weights, or by the edges' weights. Rows sum to one. ``self: w`` is the weight of one's
own texts, the rest is shared among the others; whoever reads nobody else reads its own texts.

Named graphs of K entities, in the order of the description:

| name | who reads whom |
|---|---|
| ring | the entity before; the first reads the last |
| path | the entity before; the first reads itself |
| star | the first entity, which reads itself |
| complete | everybody, itself included: the one pool at equal shares |
| cliques | `count` groups of neighbours, complete within |
| caveman | `count` groups, each complete but for an edge that leads to the next (`networkx.connected_caveman_graph`) |
| NAME | one's neighbours in a graph of networkx's generator NAME, such as ``watts_strogatz_graph`` (with k and p) |
"""

from __future__ import annotations

import csv
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crossfeed.display.formatting import reason, shown, word

__all__ = ["matrix_of", "read_network", "relative_row"]

Matrix = NDArray[np.float64]

_FORMS: Final = (
    "give a matrix whose rows sum to 1; {graph: NAME, ...}; {communities: {...}, within: 0.9}; "
    "{edges: [[reader, author], ...]}; or {file: edges.csv}"
)
_TOLERANCE: Final = 1e-9


def read_network(value: Any) -> Any:
    """Read a network as it is written, and read its file, so that a stored description needs none.

    Args:
        value: The value of ``reads``.

    Returns:
        None, a matrix as nested tuples, or a mapping with one of ``graph``, ``communities`` and ``edges``.

    Raises:
        ValueError: It is none of the forms.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return {"graph": value}
    if isinstance(value, list | tuple):
        return _matrix(value)
    if not isinstance(value, Mapping):
        raise ValueError(_FORMS)
    forms = [form for form in ("graph", "communities", "edges", "file") if form in value]
    if len(forms) != 1:
        keys = ", ".join(map(word, value)) or "nothing"
        raise ValueError(f"{_FORMS}; received the keys {keys} (an entity's own reads are {{author: weight}})")
    (form,) = forms
    if "self" in value:
        _number(value["self"], "self", most=1.0)
    if form != "graph":  # a graph's other keys are its generator's, looked up when there are entities
        known = {"communities": {"communities", "within", "self"}}.get(form, {form, "self"})
        unknown = sorted(set(map(str, value)) - known)
        if unknown:
            raise ValueError(f"{form}: unknown key {word(unknown[0])} (known: {', '.join(sorted(known))})")
    if form == "file":
        return {"edges": _edges_in(value["file"]), **({"self": value["self"]} if "self" in value else {})}
    if form == "edges":
        return {**value, "edges": _edges(value["edges"], "edges")}
    return dict(value)


def _matrix(rows: Sequence[Any]) -> tuple[tuple[float, ...], ...]:
    matrix = []
    for place, row in enumerate(rows):
        if not isinstance(row, list | tuple) or len(row) != len(rows):
            raise ValueError(f"a matrix has as many rows as columns; row {place} is {shown(row)}, of {len(rows)} rows")
        weights = tuple(_number(each, f"row {place}") for each in row)
        if abs(sum(weights) - 1) > _TOLERANCE:
            raise ValueError(f"the rows of a matrix sum to 1; row {place} sums to {sum(weights):.6g}")
        matrix.append(weights)
    return tuple(matrix)


def _number(value: Any, where: str, most: float = float("inf")) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most or value == float("inf"):
        limit = "at least 0" if most == float("inf") else f"between 0 and {most:g}"
        raise ValueError(f"{where}: a weight is a number {limit}; received {shown(value)}")
    return float(value)


def _edges(value: Any, where: str) -> tuple[tuple[Any, ...], ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where}: give a list of [reader, author] or [reader, author, weight]")
    edges = []
    for edge in value:
        if (
            not isinstance(edge, list | tuple)
            or len(edge) not in (2, 3)
            or not all(isinstance(e, str) for e in edge[:2])
        ):
            raise ValueError(
                f"{where}: an edge is [reader, author] or [reader, author, weight]; received {shown(edge)}"
            )
        weight = _number(edge[2], where) if len(edge) == 3 else 1.0
        edges.append((edge[0], edge[1], weight))
    return tuple(edges)


def _edges_in(path: Any) -> tuple[tuple[Any, ...], ...]:
    """Read the edges of a CSV file (columns reader, author and perhaps weight) or of a GraphML file."""
    if not isinstance(path, str):
        raise ValueError(f"file: give the path of a .csv or .graphml file; received {shown(path)}")
    try:
        if path.endswith(".graphml"):
            return _graphml(path)
        if path.endswith(".csv"):
            return _csv(path)
    except OSError as error:
        raise ValueError(f"file: {shown(path)} cannot be read ({reason(error)})") from error
    raise ValueError(f"file: give a .csv or .graphml file; received {shown(path)}")


def _csv(path: str) -> tuple[tuple[Any, ...], ...]:
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        columns = table.fieldnames or []
        if not {"reader", "author"} <= set(columns) or set(columns) - {"reader", "author", "weight"}:
            raise ValueError(
                f"file: {shown(path)} has the columns {', '.join(map(word, columns)) or 'none'}; give reader, author "
                "and, if they differ, weight"
            )
        edges = []
        for line, row in enumerate(table, start=2):
            try:
                weight = float(row.get("weight") or 1.0)
            except ValueError:
                weight = float("nan")
            if not row["reader"] or not row["author"] or not 0 <= weight < float("inf"):
                raise ValueError(
                    f"file: {shown(path)}, line {line}: give a reader, an author and a weight of at least 0"
                )
            edges.append((row["reader"], row["author"], weight))
    return tuple(edges)


def _graphml(path: str) -> tuple[tuple[Any, ...], ...]:
    from xml.etree.ElementTree import ParseError

    import networkx

    try:
        graph = networkx.read_graphml(path)
    except (networkx.NetworkXError, ParseError, KeyError, ValueError) as error:
        raise ValueError(f"file: {shown(path)} is no GraphML ({reason(error)})") from error
    named = {node: str(data.get("label", data.get("name", node))) for node, data in graph.nodes(data=True)}
    pairs = [(one, other, data) for one, other, data in graph.edges(data=True)]
    if not graph.is_directed():
        pairs += [(other, one, data) for one, other, data in pairs if one != other]
    return tuple(
        (named[one], named[other], _number(data.get("weight", 1.0), f"file: {shown(path)}"))
        for one, other, data in pairs
    )


def matrix_of(network: Any, names: Sequence[str]) -> Matrix:
    """Return the reading weights of a network.

    Args:
        network: A network as `read_network` returns it; not None.
        names: The entities' names.

    Returns:
        ``(K, K)`` weights W of authors (columns) for readers (rows); rows sum to one.

    Raises:
        ValueError: It does not fit the entities, or is impossible.
    """
    if isinstance(network, tuple):
        if len(network) != len(names):
            raise ValueError(f"reads: a matrix of {len(network)} rows, and there are {len(names)} entities")
        return np.array(network, dtype=np.float64)
    own = network.get("self")
    if "communities" in network:
        return _communities(network, names, own)
    if "edges" in network:
        place = {name: k for k, name in enumerate(names)}
        edges = [(_place(place, r), _place(place, a), w) for r, a, w in network["edges"]]
        return _normalised(edges, len(names), own)
    return _normalised(_graph(network, len(names)), len(names), own)


def _place(place: Mapping[str, int], name: str) -> int:
    if name not in place:
        raise ValueError(f"reads: {shown(name)} is no entity; there are {', '.join(map(word, list(place)[:12]))}")
    return place[name]


def relative_row(weights: Mapping[str, float], names: Sequence[str], reader: int) -> Matrix:
    """Return one entity's own reading weights, given relative to each other.

    Args:
        weights: Weights by author.
        names: The entities' names.
        reader: The index of the reader, for the message.

    Returns:
        ``(K,)`` weights that sum to one.

    Raises:
        ValueError: An author is no entity, or no weight is above 0.
    """
    place, row = {name: k for k, name in enumerate(names)}, np.zeros(len(names))
    for author, weight in weights.items():
        row[_place(place, author)] = weight
    if not row.sum() > 0:
        raise ValueError(
            f"entity {names[reader]!r}: reads gives nobody a weight above 0; leave it out to read by shares"
        )
    summed: Matrix = row / row.sum()
    return summed


def _normalised(edges: Iterable[tuple[int, int, float]], entities: int, own: float | None) -> Matrix:
    """Return the matrix of weighted edges (reader, author, weight), with `own` as the weight of one's own texts."""
    matrix = np.zeros((entities, entities))
    for reader, author, weight in edges:
        matrix[reader, author] += weight
    if own is not None:
        np.fill_diagonal(matrix, 0.0)
    total = matrix.sum(axis=1, keepdims=True)
    alone = total[:, 0] == 0
    rows: Matrix = np.divide(matrix, total, out=np.zeros_like(matrix), where=total > 0)
    if own is not None:
        rows = (1 - own) * rows + own * np.eye(entities)
    rows[alone] = np.eye(entities)[alone]
    return rows


def _communities(network: Mapping[str, Any], names: Sequence[str], own: float | None) -> Matrix:
    groups, within = network["communities"], network.get("within")
    if (
        not isinstance(groups, Mapping)
        or not groups
        or not all(isinstance(each, list | tuple) for each in groups.values())
    ):
        raise ValueError("reads.communities: give the entities of each community, {name: [entity, ...], ...}")
    if within is None:
        raise ValueError("reads.within: missing; give the weight of one's own community, such as 0.9")
    within = _number(within, "reads.within", most=1.0)
    place = {name: k for k, name in enumerate(names)}
    community = np.full(len(names), -1)
    for number, members in enumerate(groups.values()):
        for name in members:
            k = _place(place, name)
            if community[k] >= 0:
                raise ValueError(f"reads.communities: {name} is in two communities; an entity is in one")
            community[k] = number
    missing = [name for name, number in zip(names, community, strict=True) if number < 0]
    if missing:
        raise ValueError(f"reads.communities: {', '.join(missing[:6])} is in none; every entity is in one")
    same = community[:, None] == community[None, :]
    if own is not None:
        same = same & ~np.eye(len(names), dtype=np.bool_)
    other = community[:, None] != community[None, :]
    inside, outside = _rows(same), _rows(other)
    # Where there is nobody inside or nobody outside, the others have all the weight.
    share = np.where(other.any(axis=1), np.where(same.any(axis=1), within, 0.0), 1.0)[:, None]
    matrix: Matrix = share * inside + (1 - share) * outside
    return matrix if own is None else _normalised_with(matrix, own)


def _rows(mask: NDArray[np.bool_]) -> Matrix:
    count = mask.sum(axis=1, keepdims=True)
    rows: Matrix = np.divide(mask, count, out=np.zeros(mask.shape), where=count > 0)
    return rows


def _normalised_with(matrix: Matrix, own: float) -> Matrix:
    places = np.argwhere(matrix > 0)
    return _normalised([(int(k), int(j), float(matrix[k, j])) for k, j in places], len(matrix), own)


def _graph(network: Mapping[str, Any], entities: int) -> list[tuple[int, int, float]]:
    name, arguments = network["graph"], {k: v for k, v in network.items() if k not in ("graph", "self")}
    everyone = range(entities)
    simple: dict[str, Callable[[], Iterable[tuple[int, int]]]] = {
        "ring": lambda: ((k, (k - 1) % entities) for k in everyone),
        "path": lambda: ((k, max(k - 1, 0)) for k in everyone),
        "star": lambda: ((k, 0) for k in everyone),
        "complete": lambda: ((k, j) for k in everyone for j in everyone),
    }
    if not isinstance(name, str):
        raise ValueError(f"reads.graph: give a name; received {shown(name)}")
    if name in simple:
        if arguments:
            raise ValueError(f"reads.{word(next(iter(arguments)))}: unknown key (a {name} has no arguments but self)")
        return [(reader, author, 1.0) for reader, author in simple[name]()]
    if name in ("cliques", "caveman"):
        return _grouped(name, arguments, entities)
    return _of_networkx(name, arguments, entities)


def _grouped(name: str, arguments: Mapping[str, Any], entities: int) -> list[tuple[int, int, float]]:
    count, unknown = arguments.get("count"), sorted(set(arguments) - {"count"})
    if unknown:
        raise ValueError(f"reads.{word(unknown[0])}: unknown key (known: count, self)")
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= entities or entities % count:
        raise ValueError(
            f"reads.count: give a number of groups that divides the {entities} entities; received {shown(count)}"
        )
    size = entities // count
    if name == "cliques":
        return [(k, j, 1.0) for k in range(entities) for j in range(k - k % size, k - k % size + size)]
    if size < 2 or count < 2:
        raise ValueError(f"reads.count: a caveman graph has at least 2 groups of 2; received {count} groups of {size}")
    import networkx

    return _both_ways(networkx.connected_caveman_graph(count, size))


def _of_networkx(name: str, arguments: Mapping[str, Any], entities: int) -> list[tuple[int, int, float]]:
    import networkx

    generator = getattr(networkx.generators, name, None)
    named = (
        "ring, path, star, complete, cliques, caveman, or a graph generator of networkx such as watts_strogatz_graph"
    )
    if not callable(generator) or not str(getattr(generator, "__module__", "")).startswith("networkx.generators."):
        raise ValueError(f"reads.graph: {shown(name)} is no graph that is known; give {named}")
    parameters = inspect.signature(generator).parameters
    known = [each for each in parameters if each not in ("create_using", "backend", "backend_kwargs")]
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise ValueError(f"reads.{word(unknown[0])}: unknown key ({name} has {', '.join(known)}; and self)")
    for argument, value in arguments.items():  # so that no description asks for a graph that fills the memory
        if argument != "seed" and isinstance(value, int) and value > entities:
            raise ValueError(f"reads.{argument}: {shown(value)} is more than the {entities} entities")
    # A generator's number of nodes is the number of entities, and what it draws is the same in every process.
    given = ({"n": entities} if "n" in known else {}) | ({"seed": 0} if "seed" in known else {}) | dict(arguments)
    try:
        graph = generator(**given)
    except (networkx.NetworkXException, TypeError, ValueError, KeyError) as error:
        raise ValueError(f"reads.graph: {name} with {shown(dict(given))} is impossible ({reason(error)})") from error
    if not isinstance(graph, networkx.Graph) or graph.number_of_nodes() != entities:
        size = f"{graph.number_of_nodes()} nodes" if isinstance(graph, networkx.Graph) else "no graph"
        raise ValueError(f"reads.graph: {name} gives {size}, and there are {entities} entities")
    return _both_ways(graph)


def _both_ways(graph: Any) -> list[tuple[int, int, float]]:
    place = {node: k for k, node in enumerate(graph.nodes)}
    edges = [(place[one], place[other], 1.0) for one, other in set(graph.edges())]
    return edges if graph.is_directed() else edges + [(other, one, w) for one, other, w in edges if one != other]
