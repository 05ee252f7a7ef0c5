"""Push, against a stand-in for the hub: what `export` writes arrives, nothing is sent unasked, no token is shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from crossfeed import Run
from crossfeed.sharing.exporting import export_run
from crossfeed.sharing.manifest import MANIFEST
from tests.faults.cli import check_refused, crossfeed_cli
from tests.sharing.hub_server import TOKEN, Hub, Repository, serving

PLACE = "hf://datasets/me/mine"
# The client uploads large files in a way that the library below it is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with serving() as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
        template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


def pushed(*arguments: str) -> str:
    answer = crossfeed_cli("push", *arguments, "--quiet")
    assert answer.code == 0, answer.err
    assert TOKEN not in answer.out + answer.err
    return answer.out


def test_what_export_writes_arrives(hub: Hub, made, tmp_path):
    out = pushed(str(made), PLACE, "--checkpoints", "last")
    export_run(made, tmp_path / "x", checkpoints="last")
    written = {path.relative_to(tmp_path / "x").as_posix(): path for path in (tmp_path / "x").rglob("*")}
    written = {name: path.read_bytes() for name, path in written.items() if path.is_file()}
    there = hub.repositories["me/mine"]
    assert {name: content for name, content in there.files.items() if name != ".gitattributes"} == written
    assert not there.private
    assert there.commits == [f"fake, run {Run.load(made).id} of crossfeed"]
    assert f"pushed   {hub.endpoint}/datasets/me/mine/commit/" in out
    assert hub.large, "tables go to the store of large files"
    assert TOKEN.encode() not in b"".join(there.files.values())


def test_a_second_push_replaces_the_first(hub: Hub, made, tmp_path):
    pushed(str(made), PLACE, "--checkpoints", "all")
    hub.repositories["me/mine"].files["NOTES.md"] = b"mine"
    pushed(str(made), PLACE, "--pool", "none")
    there = hub.repositories["me/mine"]
    assert len(there.commits) == 2
    assert not [name for name in there.files if name.startswith(("checkpoints/", "packs/pool/"))]
    assert there.files["NOTES.md"] == b"mine"
    listed = set(json.loads(there.files[MANIFEST])["files"])
    assert {*there.files} == listed | {MANIFEST, ".gitattributes", "NOTES.md"}


def test_an_unchanged_run_makes_no_commit(hub: Hub, made):
    pushed(str(made), PLACE)
    pushed(str(made), PLACE)
    assert len(hub.repositories["me/mine"].commits) == 1


def test_a_private_one(hub: Hub, made):
    pushed(str(made), PLACE, "--private")
    assert hub.repositories["me/mine"].private
    pushed(str(made), PLACE)
    assert hub.repositories["me/mine"].private


def test_a_name_alone_is_the_users_own(hub: Hub, made):
    pushed(str(made), "hf://datasets/mine")
    pushed(str(made), PLACE)
    assert list(hub.repositories) == ["me/mine"]


def writes(hub: Hub) -> list[str]:
    """Requests that change something."""
    return [each for each in hub.asked if each.startswith(("POST", "PUT"))]


def test_something_else_is_not_written_over(hub: Hub, made):
    hub.repositories["me/mine"] = Repository(files={"train.csv": b"a,b\n", ".gitattributes": b""})
    check_refused(crossfeed_cli("push", str(made), PLACE, "--quiet"), ("holds something else", "train.csv"))
    hub.repositories["me/mine"].files = {MANIFEST: b'{"format": 1}'}
    check_refused(crossfeed_cli("push", str(made), PLACE, "--quiet"), ("holds something else", MANIFEST))
    assert writes(hub) == []


def test_a_public_one_is_not_taken_for_private(hub: Hub, made):
    hub.repositories["me/mine"] = Repository()
    answer = crossfeed_cli("push", str(made), PLACE, "--private", "--quiet")
    check_refused(answer, ("is there already and public",))
    assert writes(hub) == []


@pytest.mark.parametrize("token", ["hf_a-wrong-token", None])
def test_without_a_valid_token_nothing_is_sent(hub: Hub, made, monkeypatch, token):
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    answer = crossfeed_cli("push", str(made), PLACE, "--quiet")
    check_refused(answer, ("token", "hf auth login"))
    assert answer.err.count("\n") == 1
    assert token is None or token not in answer.err
    assert writes(hub) == []


def test_a_token_that_may_only_read(hub: Hub, made):
    hub.refuse = {"/api/repos/create"}
    check_refused(crossfeed_cli("push", str(made), PLACE, "--quiet"), ("does not accept this token (403)",))
    hub.refuse = {"/commit/main"}
    check_refused(crossfeed_cli("push", str(made), PLACE, "--quiet"), ("does not accept this token (403)",))


def test_no_network(hub: Hub, made, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    answer = crossfeed_cli("push", str(made), PLACE, "--quiet")
    check_refused(answer, ("could not be pushed", "refused"))
    assert answer.err.count("\n") == 1


def test_a_hub_that_does_not_answer(hub: Hub, made, monkeypatch):
    monkeypatch.setattr("crossfeed.sharing.hub._PATIENCE", 0.05)
    monkeypatch.setattr("huggingface_hub.HfApi.whoami", lambda _: __import__("time").sleep(0.5))
    check_refused(crossfeed_cli("push", str(made), PLACE, "--quiet"), ("could not be pushed", "no answer within"))


def test_offline_is_heeded(hub: Hub, made, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    check_refused(crossfeed_cli("push", str(made), PLACE, "--quiet"), ("HF_HUB_OFFLINE is set",))
    assert hub.asked == []


def test_the_package_is_named_where_it_is_missing(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    check_refused(crossfeed_cli("push", str(made), PLACE, "--quiet"), ("pip install 'crossfeed[hub]'",))


@pytest.mark.parametrize(
    "place", ["folder", "hf://me/mine", "hf://datasets/", "hf://datasets/a/b/c", "s3://b/x", "hf://datasets/../x"]
)
def test_other_places_are_refused(hub: Hub, made, place):
    check_refused(crossfeed_cli("push", str(made), place, "--quiet"), ("hf://datasets/OWNER/NAME",))
    assert hub.asked == []


def test_no_other_command_asks_the_hub(hub: Hub, made, tmp_path):
    export_run(made, tmp_path / "x.zip")
    assert crossfeed_cli("import", str(tmp_path / "x.zip"), "--out", str(tmp_path / "x")).code == 0
    assert crossfeed_cli("show", str(tmp_path / "x")).code == 0
    assert hub.asked == []


def test_a_run_that_is_none_is_refused_before_the_hub_is_asked(hub: Hub, tmp_path: Path):
    check_refused(crossfeed_cli("push", str(tmp_path), PLACE, "--quiet"), ("not a crossfeed run",))
    assert hub.asked == []
