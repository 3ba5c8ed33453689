from __future__ import annotations

import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from filelock import FileLock

from label_studio_backend.config.options import Options
from label_studio_backend.media.task_media import Access
from label_studio_backend.server import projects as module
from label_studio_backend.server.projects import Project, ProjectFile, Projects

CHINESE = {"language": "zh"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "media" / "projects.json"


def test_options_are_found_by_the_next_process(path):
    ProjectFile(path).write("1.5", CHINESE)
    ProjectFile(path).write("2.7", '{"max_regions": 3, "mapping": {"a": "b"}, "labels": "open"}')
    read = ProjectFile(path).read()
    assert read["1.5"] == Options(language="zh")
    assert (read["2.7"].max_regions, dict(read["2.7"].mapping)) == (3, {"a": "b"})


def test_default_options_need_no_place_and_take_others_away(path):
    file = ProjectFile(path)
    file.write("1.5", {})
    assert not path.exists()
    file.write("1.5", CHINESE)
    file.write("1.5", {"language": "en"})
    assert file.read() == {}


def test_only_the_user_may_read_it_and_nothing_else_is_left_in_the_folder(path):
    file = ProjectFile(path)
    for number in range(5):
        file.write(str(number), CHINESE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    left = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    left.pop("projects.json.lock", None)  # some versions of filelock remove it
    assert left == {"projects.json": 0o600}


def test_projects_that_were_set_longest_ago_are_forgotten(path, monkeypatch):
    monkeypatch.setattr(module, "MOST_PROJECTS", 3)
    file = ProjectFile(path)
    for key in ("a", "b", "c", "a", "d"):
        file.write(key, CHINESE)
        file.write(key, {"max_regions": 2})
    assert list(file.read()) == ["c", "a", "d"]


def test_options_without_end_are_not_kept_and_do_not_harm_the_others(path, monkeypatch, caplog):
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    file = ProjectFile(path)
    file.write("a", CHINESE)
    file.write("b", {"labels": "open", "mapping": {"x" * 1000: "y"}})
    assert list(file.read()) == ["a"]
    assert "too long to be kept" in caplog.text


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"pam_labeling_projects": 3}', b"[" * 100_000, b" " * 5_000_000],
)
def test_a_damaged_file_counts_as_empty_with_a_warning_and_is_replaced(path, caplog, content):
    path.parent.mkdir()
    path.write_bytes(content)
    file = ProjectFile(path)
    assert file.read() == {}
    assert f"{path} cannot be read" in caplog.text
    file.write("1", CHINESE)
    assert file.read() == {"1": Options(language="zh")}


def test_one_project_that_cannot_be_read_does_not_spoil_the_others(path, caplog):
    path.parent.mkdir()
    projects = {"a": {"lnguage": "zh"}, "b": CHINESE, "c": 7}
    path.write_text(json.dumps({"pam_labeling_projects": projects}), encoding="utf-8")
    assert ProjectFile(path).read() == {"b": Options(language="zh")}
    assert "the options of project a: There is no extra parameter" in caplog.text


def test_a_folder_that_cannot_be_written_is_said_and_does_not_matter(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    projects = Projects(ProjectFile(tmp_path / "file" / "projects.json"))
    projects.remember("1", Project(Options(language="zh")), CHINESE)
    assert projects.get("1").options.language == "zh"
    assert "cannot be kept" in caplog.text


def test_many_threads_lose_nothing(path):
    file = ProjectFile(path)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: file.write(str(number), CHINESE), range(40)))
    assert len(file.read()) == 40


def test_two_servers_with_one_file_lose_nothing(path):
    program = (
        "import sys, pathlib\n"
        "from label_studio_backend.server.projects import ProjectFile\n"
        "file = ProjectFile(pathlib.Path(sys.argv[1]))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "for number in range(30):\n"
        "    file.write(f'{sys.argv[2]}{number}', {'language': 'zh'})\n"
    )
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    for server in servers:
        assert server.stdout.readline() == "ready\n"
    for server in servers:
        server.stdin.write("go\n")
        server.stdin.flush()
    for server in servers:
        server.communicate(timeout=60)
        assert server.returncode == 0
    assert len(ProjectFile(path).read()) == 60


def test_a_file_that_somebody_holds_for_long_is_told(path, monkeypatch, caplog):
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.1)
    path.parent.mkdir()
    with FileLock(f"{path}.lock"):
        ProjectFile(path).write("1", CHINESE)
    assert "cannot be kept" in caplog.text
    assert ProjectFile(path).read() == {}


def test_projects_have_their_options_after_a_restart_but_no_access(path):
    before = Projects(ProjectFile(path))
    access = Access("http://labels.test", "t0ken")
    before.remember("1", Project(Options(language="zh"), access), CHINESE)
    assert b"t0ken" not in path.read_bytes()
    assert b"labels.test" not in path.read_bytes()
    after = Projects(ProjectFile(path))
    assert after.get("1") == Project(Options(language="zh"))


def test_options_that_can_no_longer_be_used_are_forgotten(path):
    projects = Projects(ProjectFile(path))
    projects.remember("1", Project(Options(language="zh")), CHINESE)
    projects.remember("1", Project(problem="no"), {"x": 1})
    assert Projects(ProjectFile(path)).get("1") == Project()


def test_the_file_is_written_only_when_options_change(path):
    projects = Projects(ProjectFile(path))
    projects.remember("1", Project(Options(language="zh")), CHINESE)
    path.unlink()
    projects.remember("1", Project(Options(language="zh")), CHINESE)
    assert not path.exists()
