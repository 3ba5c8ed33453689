from __future__ import annotations

import errno
import json
import sys
import threading
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import are_progress_bars_disabled

from pam_model.checkpoints import hub
from pam_model.checkpoints.checkpoint import load_checkpoint, load_network
from pam_model.checkpoints.hub import download, resolve
from pam_model.errors import CheckpointError
from tests.model import tiny_checkpoint as tiny
from tests.model.fake_hub import FakeHub

PAM = "Perceive-Anything/PAM-3B"
SAM = "facebook/sam2.1-hiera-large"
SAM_FILE = "sam2.1_hiera_large.pt"
WEIGHTS = "PAM-3B/model-00001-of-00002.safetensors"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeHub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """The files of both repositories, at the smallest sizes."""
    folder = tmp_path_factory.mktemp("published")
    built = tiny.network()
    settings = tiny.published_settings(built, "perceiver")
    tiny.write(folder / "PAM-3B", tiny.pam_state(built), settings, shards=2)
    tiny.write_pt(folder / SAM_FILE, built)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("PAM-3B/*")}
    return {
        PAM: {**files, "README.md": b"card", "PAM-3B/training_args.bin": b"pickle"},
        SAM: {SAM_FILE: (folder / SAM_FILE).read_bytes(), "config.json": b"{}"},
    }


CHUNK = 64


def in_small_chunks(monkeypatch):
    """Without waiting between trials; what arrived of a chunk before a break is lost."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", CHUNK)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)


def test_downloads_both_parts_into_a_folder_that_loads(server, published, tmp_path):
    server.repositories = published
    folder = download("PAM-3B", cache_dir=tmp_path, endpoint=server.address, progress=False)
    source = resolve("PAM-3B", cache_dir=tmp_path, endpoint=server.address)
    assert folder == source.folder
    assert source.name == folder.name == "PAM-3B"
    for name, content in published[PAM].items():
        if name.startswith("PAM-3B/") and not name.endswith(".bin"):
            assert (folder / Path(name).name).read_bytes() == content
    assert source.sam2.read_bytes() == published[SAM][SAM_FILE]
    settings = json.loads((folder / "config.json").read_text())
    settings["sam2"] = tiny.config().sam2.to_dict()
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(settings))
    network = load_network(load_checkpoint(folder, source.sam2))
    expected = tiny.network().state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


def test_leaves_what_a_model_does_not_need_on_the_hub(server, published, tmp_path):
    server.repositories = published
    download("PAM-3B", cache_dir=tmp_path, endpoint=server.address, progress=False)
    assert server.gets("training_args.bin") == []
    assert server.gets("README.md") == []
    assert list(tmp_path.rglob("*.partial")) == []


def test_a_cached_checkpoint_needs_no_connection(server, published, tmp_path):
    server.repositories = published
    folder = download("PAM-3B", cache_dir=tmp_path, endpoint=server.address, progress=False)
    count = len(server.requests)
    assert resolve("PAM-3B", cache_dir=tmp_path, endpoint=server.address).folder == folder
    assert len(server.requests) == count


def test_resolve_downloads_what_is_not_there(server, published, tmp_path):
    server.repositories = published
    source = resolve("PAM-3B", cache_dir=tmp_path, endpoint=server.address)
    assert (source.folder / "model-00002-of-00002.safetensors").is_file()
    assert source.sam2.is_file()


@pytest.mark.parametrize(
    ("repository", "file"), [(PAM, WEIGHTS), (SAM, SAM_FILE)], ids=["weights", "sam2"]
)
def test_an_interrupted_download_goes_on_where_it_stopped(
    server, published, tmp_path, monkeypatch, repository, file
):
    server.repositories = published
    content = published[repository][file]
    cut = 100 * CHUNK
    # The first time, and all five times that huggingface_hub tries again at once.
    server.break_after[file] = [cut + 1, *[0] * 6]
    in_small_chunks(monkeypatch)
    options = {"cache_dir": tmp_path, "endpoint": server.address, "progress": False}
    with pytest.raises(CheckpointError, match="broke off .* run it again"):
        download("PAM-3B", **options)
    (partial,) = tmp_path.rglob("*.partial")
    assert partial.read_bytes() == content[:cut]
    server.break_after.clear()
    server.requests.clear()
    download("PAM-3B", **options)
    assert [request.range for request in server.gets(file)] == [f"bytes={cut}-"]
    source = resolve("PAM-3B", cache_dir=tmp_path, endpoint=server.address)
    path = source.sam2 if repository == SAM else source.folder / Path(file).name
    assert path.read_bytes() == content


def test_a_broken_connection_is_taken_up_again_at_once(server, published, tmp_path, monkeypatch):
    server.repositories = published
    server.break_after[WEIGHTS] = [CHUNK]
    in_small_chunks(monkeypatch)
    download("PAM-3B", cache_dir=tmp_path, endpoint=server.address, progress=False)
    assert [request.range for request in server.gets(WEIGHTS)] == [None, f"bytes={CHUNK}-"]


def test_a_file_that_arrives_damaged_is_refused_and_removed(server, published, tmp_path):
    server.repositories = published
    server.damage.add(WEIGHTS)
    options = {"cache_dir": tmp_path, "endpoint": server.address, "progress": False}
    with pytest.raises(CheckpointError, match=f"{WEIGHTS} arrived damaged and was removed"):
        download("PAM-3B", **options)
    server.damage.clear()
    folder = download("PAM-3B", **options)
    assert (folder / Path(WEIGHTS).name).read_bytes() == published[PAM][WEIGHTS]


def test_the_token_stays_with_the_hub(server, published, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    server.repositories = published
    server.elsewhere.add(WEIGHTS)
    folder = download("PAM-3B", cache_dir=tmp_path, endpoint=server.address, progress=False)
    assert (folder / Path(WEIGHTS).name).read_bytes() == published[PAM][WEIGHTS]
    assert [request.token for request in server.gets(WEIGHTS)] == [None]
    assert {request.token for request in server.gets(SAM_FILE)} == {"Bearer hf_secret"}


def test_two_downloads_at_once_fetch_a_file_once(server, published, tmp_path):
    server.repositories = published
    folders = []
    threads = [
        threading.Thread(
            target=lambda: folders.append(
                download("PAM-3B", cache_dir=tmp_path, endpoint=server.address)
            )
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders[0] == folders[1]
    assert len(server.gets(WEIGHTS)) == 1
    assert (folders[0] / Path(WEIGHTS).name).read_bytes() == published[PAM][WEIGHTS]


def test_a_cache_that_lacks_sam_is_completed(server, published, tmp_path):
    server.repositories = published
    options = {"cache_dir": tmp_path, "endpoint": server.address}
    sam2 = resolve("PAM-3B", **options).sam2
    sam2.resolve().unlink()
    sam2.unlink()
    assert resolve("PAM-3B", **options).sam2.read_bytes() == published[SAM][SAM_FILE]


def test_a_partial_file_that_is_too_long_starts_anew(server, published, tmp_path, monkeypatch):
    server.repositories = published
    server.break_after[WEIGHTS] = [10, *[0] * 6]
    in_small_chunks(monkeypatch)
    options = {"cache_dir": tmp_path, "endpoint": server.address, "progress": False}
    with pytest.raises(CheckpointError):
        download("PAM-3B", **options)
    server.break_after.clear()
    (partial,) = tmp_path.rglob("*.partial")
    partial.write_bytes(b"x" * (len(published[PAM][WEIGHTS]) + 1))
    folder = download("PAM-3B", **options)
    assert (folder / Path(WEIGHTS).name).read_bytes() == published[PAM][WEIGHTS]


def test_a_hub_id_in_our_own_layout_needs_no_sam(server, tmp_path):
    built = tiny.network()
    settings = tiny.published_settings(built, "sam2", "perceiver")
    written = tiny.write(tmp_path / "written", tiny.with_tower(built), settings)
    server.repositories["some-one/their.pam"] = {
        path.name: path.read_bytes() for path in written.iterdir()
    }
    source = resolve("some-one/their.pam", cache_dir=tmp_path / "cache", endpoint=server.address)
    assert (source.sam2, source.name) == (None, "their.pam")
    load_network(load_checkpoint(source.folder))


def test_a_terminal_sees_the_progress_unless_it_is_switched_off(
    server, published, tmp_path, capsys, monkeypatch
):
    server.repositories = published
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    download("PAM-3B", cache_dir=tmp_path / "a", endpoint=server.address, progress=False)
    assert capsys.readouterr() == ("", "")
    assert not are_progress_bars_disabled()
    download("PAM-3B", cache_dir=tmp_path / "b", endpoint=server.address)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "00001-of-00002.safetensors: 100%" in shown.err


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "GatedRepo", "its owner asks for consent.*hf auth login"),
        (404, "RepoNotFound", "has no such repository, or it is private"),
        (404, "RevisionNotFound", "has no such revision"),
        (403, "", "refused the download"),
    ],
)
def test_a_refusal_of_the_hub_says_what_to_do(server, tmp_path, status, code, message):
    server.refuse[PAM] = (status, code)
    with pytest.raises(CheckpointError, match=f"PAM-3B: .*{message}"):
        download("PAM-3B", cache_dir=tmp_path, endpoint=server.address, progress=False)


@pytest.mark.parametrize("find", [download, resolve])
def test_without_a_connection_the_way_on_is_named(tmp_path, find):
    with pytest.raises(CheckpointError, match=r"cannot be reached.*pam-labeling download PAM-1.5B"):
        find("PAM-1.5B", cache_dir=tmp_path, endpoint="http://127.0.0.1:1")


def test_a_disk_without_room_is_noticed_before_the_download(
    server, published, tmp_path, monkeypatch
):
    server.repositories = published

    class Usage:
        free = 1000

    monkeypatch.setattr("pam_model.checkpoints.hub.shutil.disk_usage", lambda path: Usage)
    with pytest.raises(CheckpointError, match=r"GB are needed and 0.0 GB are free; make room"):
        download("PAM-3B", cache_dir=tmp_path, endpoint=server.address, progress=False)
    assert server.gets(WEIGHTS) == []


def test_a_disk_that_fills_up_is_named(server, published, tmp_path, monkeypatch):
    server.repositories = published

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pam_model.checkpoints.hub.http_get", full)
    with pytest.raises(CheckpointError, match="the disk is full; make room"):
        download("PAM-3B", cache_dir=tmp_path, endpoint=server.address, progress=False)


def test_a_folder_is_taken_as_it_is(tmp_path):
    (tmp_path / "mine" / "mine").mkdir(parents=True)
    (tmp_path / "mine" / "mine" / "config.json").write_text("{}")
    expected = (tmp_path / "mine" / "mine", None, "mine")
    assert resolve(tmp_path / "mine") == resolve(str(tmp_path / "mine")) == expected
    assert download(tmp_path / "mine") == tmp_path / "mine" / "mine"


def test_nano_is_inside_the_package(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(hub, "NANO", tmp_path)
    assert resolve("nano") == (tmp_path, None, "nano")
    assert download("nano") == tmp_path
    monkeypatch.setattr(hub, "NANO", tmp_path / "gone")
    with pytest.raises(CheckpointError, match="lacks the embedded checkpoint"):
        resolve("nano")


@pytest.mark.parametrize("name", ["PAM-7B", "a/b/c", "../elsewhere", "", "-/.", Path("a/b")])
def test_other_names_are_refused_with_those_there_are(name):
    with pytest.raises(
        CheckpointError, match=r"hub id \(owner/name\) or one of nano, PAM-1.5B, PAM-3B"
    ):
        resolve(name)
