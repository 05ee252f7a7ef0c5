"""Who reads whom: what each way of saying it means, and what is refused."""

from __future__ import annotations

import networkx
import numpy as np
import pytest

from crossfeed import Ecosystem, Entity, Experiment
from crossfeed.errors import InvalidDescription

NAMES = tuple("abcdef")
SIX = tuple(Entity(name=name, private="x") for name in NAMES)


def matrix(reads, entities=SIX) -> np.ndarray:
    found = Ecosystem(entities=entities, alpha=0.5, reads=reads).network
    assert found is not None
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    assert (found >= 0).all()
    return found


def test_without_a_network_everybody_reads_by_the_shares():
    assert Ecosystem(entities=SIX, alpha=0.5).network is None


@pytest.mark.parametrize(
    ("reads", "edges"),
    [
        ("ring", {k: [(k - 1) % 6] for k in range(6)}),
        ("path", {0: [0], **{k: [k - 1] for k in range(1, 6)}}),
        ("star", {k: [0] for k in range(6)}),
        ("complete", {k: range(6) for k in range(6)}),
        ({"graph": "cliques", "count": 3}, {k: [k - k % 2, k - k % 2 + 1] for k in range(6)}),
        ({"graph": "cycle_graph"}, {k: [(k - 1) % 6, (k + 1) % 6] for k in range(6)}),
        ({"graph": "empty_graph"}, {k: [k] for k in range(6)}),
        ({"edges": [["a", "b"], ["a", "c"], ["b", "a"]]}, {0: [1, 2], 1: [0], **{k: [k] for k in range(2, 6)}}),
    ],
)
def test_one_reads_all_authors_that_ones_edges_lead_to_alike(reads, edges):
    expected = np.zeros((6, 6))
    for reader, authors in edges.items():
        expected[reader, list(authors)] = 1 / len(list(authors))
    np.testing.assert_allclose(matrix(reads), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["watts_strogatz_graph", "barabasi_albert_graph", "gnp_random_graph"])
def test_generators_of_networkx_are_called_with_the_number_of_entities(name):
    arguments = {
        "watts_strogatz_graph": {"k": 2, "p": 0.5},
        "barabasi_albert_graph": {"m": 2},
        "gnp_random_graph": {"p": 0.5},
    }[name]
    graph = getattr(networkx, name)(n=6, seed=7, **arguments)
    found = matrix({"graph": name, "seed": 7, **arguments})
    adjacency = networkx.to_numpy_array(graph)
    alone = adjacency.sum(axis=1) == 0
    adjacency[alone, alone] = 1
    np.testing.assert_allclose(found, adjacency / adjacency.sum(axis=1, keepdims=True))


def test_self_is_the_weight_of_ones_own_texts():
    found = matrix({"graph": "complete", "self": 0.4})
    np.testing.assert_allclose(np.diag(found), 0.4)
    np.testing.assert_allclose(found[0, 1:], 0.6 / 5)
    np.testing.assert_allclose(matrix({"graph": "star", "self": 0.4})[0, 0], 1)  # the hub reads nobody else


def test_communities_read_within_and_without():
    found = matrix({"communities": {"p": ["a", "b"], "q": ["c", "d", "e", "f"]}, "within": 0.9})
    np.testing.assert_allclose(found[0], [0.45, 0.45, *[0.025] * 4])
    np.testing.assert_allclose(found[5], [0.05, 0.05, *[0.225] * 4])
    alone = matrix({"communities": {"p": list(NAMES)}, "within": 0.9})
    np.testing.assert_allclose(alone, 1 / 6)
    hermits = matrix({"communities": {name: [name] for name in NAMES}, "within": 0.9, "self": 0.5})
    np.testing.assert_allclose(hermits, 0.5 * np.eye(6) + 0.5 * (1 - np.eye(6)) / 5)


def test_files_are_read_into_the_description(tmp_path):
    (tmp_path / "edges.csv").write_text("reader,author,weight\na,b,3\na,c,1\nb,a,\n")
    rows = ["a", "b", 3.0], ["a", "c", 1.0], ["b", "a", 1.0]
    eco = Ecosystem(entities=SIX, alpha=0.5, reads={"file": str(tmp_path / "edges.csv"), "self": 0.5})
    np.testing.assert_allclose(eco.network[0], [0.5, 0.375, 0.125, 0, 0, 0])
    assert Ecosystem.model_validate(eco.model_dump(mode="json")).network.tolist() == eco.network.tolist()
    assert eco.network.tolist() == matrix({"edges": list(map(list, rows)), "self": 0.5}).tolist()
    graph = networkx.DiGraph([("a", "b", {"weight": 3.0}), ("a", "c", {"weight": 1.0}), ("b", "a", {})])
    networkx.write_graphml(graph, tmp_path / "graph.graphml")
    np.testing.assert_allclose(
        matrix({"file": str(tmp_path / "graph.graphml")}), matrix({"edges": list(map(list, rows))})
    )


def test_an_entitys_own_weights_win_and_the_others_keep_theirs():
    own = (Entity(name="a", private="x", reads={"b": 3, "c": 1}), *SIX[1:])
    np.testing.assert_allclose(matrix(None, own)[0], [0, 0.75, 0.25, 0, 0, 0])
    np.testing.assert_allclose(matrix(None, own)[1], 1 / 6)
    np.testing.assert_allclose(matrix("ring", own)[2], np.eye(6)[1])


@pytest.mark.parametrize(
    ("reads", "words"),
    [
        ([[0.5, 0.5], [1, 1]], ["row 1", "sums to 2"]),
        ([[0.5, 0.5], [1]], ["rows", "row 1"]),
        ([[1.0]], ["matrix of 1 rows", "6 entities"]),
        ([[-1, 2], [0, 1]], ["at least 0", "-1"]),
        ("hexagon", ["'hexagon'", "ring", "watts_strogatz_graph"]),
        ("__class__", ["no graph"]),
        ({"graph": "ring", "k": 2}, ["reads.k", "unknown key"]),
        ({"graph": "ring", "self": 2}, ["self", "between 0 and 1"]),
        ({"graph": "cliques", "count": 4}, ["count", "divides the 6", "4"]),
        ({"graph": "watts_strogatz_graph", "neighbours": 2}, ["neighbours", "k, p"]),
        ({"graph": "watts_strogatz_graph", "k": 40, "p": 0.1}, ["reads.k", "40", "6 entities"]),
        ({"graph": "watts_strogatz_graph"}, ["impossible"]),
        ({"graph": "petersen_graph"}, ["10 nodes", "6 entities"]),
        ({"communities": {"p": ["a"]}, "within": 0.9}, ["b, c", "is in none"]),
        ({"communities": {"p": list(NAMES), "q": ["a"]}, "within": 0.9}, ["a is in two"]),
        ({"communities": {"p": list(NAMES)}}, ["within", "missing"]),
        ({"edges": [["a", "nobody"]]}, ["'nobody'", "a, b"]),
        ({"edges": [["a"]]}, ["[reader, author]"]),
        ({"file": "nowhere.csv"}, ["nowhere.csv", "cannot be read"]),
        ({"file": "edges.txt"}, [".csv or .graphml"]),
        ({"graph": "ring", "edges": []}, ["graph", "edges"]),
        (3, ["give a matrix"]),
    ],
)
def test_impossible_networks_are_refused_by_name(reads, words):
    with pytest.raises(ValueError, match=r".") as error:
        matrix(reads)
    for word in words:
        assert word in str(error.value), str(error.value)


@pytest.mark.parametrize("text", ["reader;author\na;b\n", "reader,author\na,\n", "reader,author,weight\na,b,much\n"])
def test_files_that_hold_no_edges_are_refused_with_the_line(tmp_path, text):
    (tmp_path / "edges.csv").write_text(text)
    with pytest.raises(ValueError, match=r"edges\.csv"):
        matrix({"file": str(tmp_path / "edges.csv")})


def test_shares_and_a_network_contradict_each_other(fake):
    with pytest.raises(InvalidDescription, match="reads gives every weight"):
        fake("ecosystem.reads=ring", "ecosystem.entities.0.share=2")


def test_a_cells_id_is_of_the_matrix_not_of_its_spelling(fake):
    ring, matrix_of_it, star = (
        fake(f"ecosystem.reads={reads}", "ecosystem.alpha=0.5").id for reads in ("ring", "[[0, 1], [1, 0]]", "star")
    )
    assert ring == matrix_of_it != star
    assert fake("ecosystem.alpha=0.5").id != ring


def test_a_network_can_be_varied_on_a_grid_and_written(fake):
    experiment = fake("grid={ecosystem.reads: [null, ring, {graph: complete, self: 0.7}]}", "ecosystem.alpha=0.5")
    assert [
        None if c.experiment.ecosystem.network is None else c.experiment.ecosystem.network[0, 0]
        for c in experiment.cells()
    ] == [None, 0, 0.7]
    again = Experiment.from_yaml(experiment.to_yaml())
    assert again == experiment
    assert again.id == experiment.id
