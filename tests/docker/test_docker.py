"""The files of docker/, linted and checked against the house; no image is built here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from ruamel.yaml import YAML
from werkzeug.serving import make_server

from label_studio_backend.server.app import create_app
from label_studio_backend.settings import ServerSettings
from pam_labeling.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILE = DOCKER / "Dockerfile"
COMPOSE = DOCKER / "compose.yml"
GPU = DOCKER / "compose.gpu.yml"
PROGRAMS = Path(sys.executable).parent
SETTINGS = {
    name
    for settings in (ServerSettings, Settings)
    for names in settings.variables().values()
    for name in names
}


def run(program, *arguments, **options):
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def read(path):
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def service(name):
    return read(COMPOSE)["services"][name]


def instructions():
    """(instruction, rest) of the Dockerfile, continued lines joined, in order."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


def of(kind):
    return [rest for instruction, rest in instructions() if instruction == kind]


def environment_of_image():
    pairs = [pair.partition("=") for rest in of("ENV") for pair in rest.split()]
    return {name: value for name, _, value in pairs}


def copied():
    """The paths that the Dockerfile copies from the repository."""
    return [source for rest in of("COPY") if "--from" not in rest for source in rest.split()[:-1]]


def example():
    lines = (DOCKER / ".env.example").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def test_hadolint_finds_nothing_in_the_dockerfile():
    done = run(PROGRAMS / "hadolint", "--no-color", DOCKERFILE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [COMPOSE, GPU], ids=lambda path: path.name)
def test_compose_files_have_the_form_of_the_compose_specification(path):
    checker = [PROGRAMS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = run(*checker, path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_base_images_are_pinned_by_tag():
    [argument] = [rest for rest in of("ARG") if rest.startswith("PYTHON=")]
    assert re.fullmatch(r"PYTHON=3\.\d+\.\d+-slim-\w+", argument)
    assert [rest.split()[0] for rest in of("FROM")] == ["python:${PYTHON}", "python:${PYTHON}"]
    assert service("label-studio")["image"] == "heartexlabs/label-studio:1.23.2"


def test_everything_that_is_copied_exists_and_is_let_in():
    lines = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(copied())
    for source in copied():
        assert (ROOT / source).exists(), source


def test_no_secret_is_let_in():
    rules = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert rules[-1] == "**/.env*"
    assert (DOCKER / ".gitignore").read_text(encoding="utf-8").split() == [".env"]


def test_no_secret_is_in_the_image_or_in_the_example():
    secret = re.compile(r"KEY|PASS|TOKEN|SECRET")
    named = [*environment_of_image(), *(rest.partition("=")[0] for rest in of("ARG"))]
    assert not [name for name in named if secret.search(name)]
    assert {value for name, value in example().items() if secret.search(name)} == {""}


def test_the_image_does_not_run_as_root():
    user = of("USER")
    assert user == ["10001:10001"]
    last = [instruction for instruction, _ in instructions()]
    assert last.index("USER") > max(at for at, name in enumerate(last) if name == "RUN")


def test_the_image_serves_by_default():
    assert of("ENTRYPOINT") == ['["pam-labeling"]']
    assert of("CMD") == ['["serve"]']


def test_folders_that_are_written_to_are_volumes_of_the_backend():
    environment = environment_of_image()
    backend = service("pam")
    mounted = {mount.partition(":")[2] for mount in backend["volumes"]}
    assert mounted == {environment["HF_HOME"], environment["PAM_MEDIA_CACHE_DIR"]}
    assert of("VOLUME") == ['["/models", "/media"]']
    assert set(read(COMPOSE)["volumes"]) == {"label-studio", "models", "media"}
    assert environment["HOME"] == "/tmp"
    assert [mount.partition(":")[0] for mount in backend["tmpfs"]] == ["/tmp"]


def test_the_backend_may_do_little():
    backend = service("pam")
    assert backend["read_only"] is True
    assert backend["init"] is True
    assert "ports" not in backend
    for name in ("pam", "label-studio"):
        assert service(name)["security_opt"] == ["no-new-privileges:true"]
        assert service(name)["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", ["pam", "label-studio"])
def test_no_container_takes_the_whole_host(name):
    limited = service(name)
    assert re.fullmatch(r"\$\{\w+_MEMORY:-\d+g\}", limited["mem_limit"])
    assert limited["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    most = ServerSettings(predictions=200).server_threads
    assert limited["pids_limit"] > (most + 500 if name == "pam" else 100)


def test_every_setting_can_be_given_in_the_env_file():
    fixed = {"PORT", "LABEL_STUDIO_HOST", *environment_of_image()}
    assert SETTINGS - fixed == set(service("pam")["environment"]) - {"HF_TOKEN"}


def test_every_setting_of_the_backend_exists():
    ours = [name for name in environment_of_image() if name.startswith("PAM_")]
    assert set(ours) | set(service("pam")["environment"]) <= SETTINGS | {"HF_TOKEN"}


def test_the_image_s_settings_can_be_read():
    settings = ServerSettings.from_environment(environment_of_image())
    assert settings.host == "0.0.0.0"
    assert settings.media_cache_dir == Path("/media")
    assert of("EXPOSE") == [str(settings.port)]


def test_every_variable_of_compose_is_in_the_example():
    asked = re.findall(r"\$\{(\w+)", COMPOSE.read_text(encoding="utf-8"))
    assert set(asked) == set(example())


def test_defaults_of_compose_are_those_of_the_example():
    given = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE.read_text(encoding="utf-8")))
    assert given == {name: value for name, value in example().items() if name in given}


def test_label_studio_may_call_the_backend_but_no_other_private_address():
    compose = read(COMPOSE)
    [pool] = compose["networks"]["default"]["ipam"]["config"]
    network = ip_network(re.fullmatch(r"\$\{PAM_SUBNET:-(.*)\}", pool["subnet"])[1])
    rules = service("label-studio")["environment"]["LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS"]
    banned = [ip_network(rule) for rule in rules.split(",")]

    def is_banned(address):
        return any(ip_address(address) in one for one in banned)

    assert not any(one.overlaps(network) for one in banned if one.version == 4)
    for address in ("127.0.0.1", "169.254.169.254", "10.1.2.3", "192.168.1.1", "::1", "fe80::1"):
        assert is_banned(address)
    assert not is_banned("93.184.215.14")


def test_the_gpu_file_changes_the_backend_only():
    gpu = read(GPU)
    assert list(gpu) == ["services"]
    assert list(gpu["services"]) == ["pam"]
    assert gpu["services"]["pam"]["build"]["args"] == {"TORCH": "cuda"}
    [device] = gpu["services"]["pam"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


@contextmanager
def served(state):
    """The port of the real application, whose backend says to be in `state`."""
    backend = MagicMock()
    backend.health.return_value = {"status": "UP", "state": state}
    settings = ServerSettings(basic_auth_user="someone", basic_auth_pass="secret")
    server = make_server("127.0.0.1", 0, create_app(backend, settings), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask_health(port):
    environment = {**os.environ, "PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
    return run(sys.executable, DOCKER / "health.py", env=environment)


@pytest.mark.parametrize(("state", "code"), [("ready", 0), ("loading", 1), ("failed", 1)])
def test_health_is_whether_the_model_is_ready_without_a_password(state, code):
    with served(state) as port:
        done = ask_health(port)
    assert done.returncode == code, done.stderr
    assert state in done.stdout


def test_health_is_bad_where_nothing_answers():
    with served("ready") as port:
        pass
    done = ask_health(port)
    assert done.returncode == 1
    assert "no answer" in done.stdout
    assert not done.stderr
