"""Settings from the environment, by the names that Label Studio's backends use."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from label_studio_backend.server.app import _CONNECTIONS
from label_studio_backend.server.backend import _CHECKS
from label_studio_backend.settings import ServerSettings, SettingsError
from pam_labeling.environment import extra_of


def test_defaults_need_no_environment():
    settings = ServerSettings.from_environment({})
    assert settings == ServerSettings()
    assert (settings.host, settings.port, settings.label_studio_url) == ("127.0.0.1", 9090, None)


def test_each_kind_of_value_is_read():
    settings = ServerSettings.from_environment(
        {
            "LABEL_STUDIO_URL": "http://labels:8080/ls",
            "LABEL_STUDIO_API_KEY": "key",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": "/files",
            "BASIC_AUTH_USER": "me",
            "BASIC_AUTH_PASS": "secret",
            "LOG_LEVEL": "debug",
            "PORT": "9_191",
            "THREADS": "3",
            "PAM_THREADS": "2",
            "PAM_ALLOWED_HOSTS": "a.example.org, b.example.org,",
            "PAM_BATCH_SECONDS": "12.5",
            "PAM_MEDIA_CACHE_DIR": "/cache",
        }
    )
    assert settings.label_studio_url == "http://labels:8080/ls"
    assert (settings.api_key, settings.basic_auth_pass) == ("key", "secret")
    assert settings.local_files_root == Path("/files")
    assert (settings.log_level, settings.port, settings.predictions) == ("DEBUG", 9191, 3)
    assert settings.model_threads == 2
    assert settings.allowed_hosts == ("a.example.org", "b.example.org")
    assert settings.batch_seconds == 12.5
    assert settings.media_cache_dir == Path("/cache")


def test_the_first_of_two_names_wins_and_empty_is_not_set():
    names = {"LABEL_STUDIO_URL": "http://one", "LABEL_STUDIO_HOST": "http://two"}
    assert ServerSettings.from_environment(names).label_studio_url == "http://one"
    names["LABEL_STUDIO_URL"] = " "
    assert ServerSettings.from_environment(names).label_studio_url == "http://two"


@pytest.mark.parametrize(
    "url",
    [
        "http://x",
        "HTTPS://Labels.example.org/path/",
        "http://[::1]:8080/ls",
        "http://me:secret@labels:8080",
        "http://label_studio:8080?a=b",
    ],
)
def test_addresses_of_label_studio(url):
    assert ServerSettings(label_studio_url=url).label_studio_url == url


def test_a_password_keeps_its_blanks():
    names = {"BASIC_AUTH_USER": " me ", "BASIC_AUTH_PASS": " pass word\t"}
    settings = ServerSettings.from_environment(names)
    assert (settings.basic_auth_user, settings.basic_auth_pass) == ("me", " pass word\t")


def test_overrides_win_over_the_environment_unless_they_are_none():
    overrides = {"port": 3, "host": None, "log_level": "debug"}
    settings = ServerSettings.from_environment({"PORT": "1", "THREADS": "2"}, **overrides)
    assert (settings.port, settings.predictions, settings.host) == (3, 2, "127.0.0.1")
    assert settings.log_level == "DEBUG"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PORT": "many"}, 'PORT must be a whole number from 0 to 65,535, not "many"'),
        ({"PORT": "70000"}, 'PORT must be a whole number from 0 to 65,535, not "70000"'),
        ({"THREADS": "0"}, 'THREADS must be a whole number from 1 to 200, not "0"'),
        ({"THREADS": "100000"}, "THREADS must be a whole number from 1 to 200"),
        ({"PAM_THREADS": "100000"}, "PAM_THREADS must be a whole number from 1 to 1,024"),
        ({"PAM_BATCH_SECONDS": "soon"}, "PAM_BATCH_SECONDS must be a number of seconds from 0.001"),
        ({"PAM_BATCH_SECONDS": "nan"}, "PAM_BATCH_SECONDS must be a number of seconds from 0.001"),
        ({"PAM_BUSY_SECONDS": "-1"}, "PAM_BUSY_SECONDS must be a number of seconds from 0 to"),
        (
            {"PAM_IMAGE_CACHE_BYTES": "-1"},
            'PAM_IMAGE_CACHE_BYTES must be a whole number of bytes of at least 0, not "-1"',
        ),
        ({"LOG_LEVEL": "LOUD"}, 'LOG_LEVEL must be "DEBUG", "INFO", "WARNING" or "ERROR", not'),
        ({"LABEL_STUDIO_URL": "labels:8080"}, 'LABEL_STUDIO_URL must be a text such as "https://'),
        ({"LABEL_STUDIO_URL": "http://[x"}, 'LABEL_STUDIO_URL must be a text such as "https://'),
        ({"LABEL_STUDIO_URL": "http://"}, 'LABEL_STUDIO_URL must be a text such as "https://'),
        ({"LABEL_STUDIO_URL": "http://a b"}, 'LABEL_STUDIO_URL must be a text such as "https://'),
        ({"LABEL_STUDIO_URL": "ftp://a"}, 'LABEL_STUDIO_URL must be a text such as "https://'),
        ({"BASIC_AUTH_USER": "me"}, "BASIC_AUTH_USER and BASIC_AUTH_PASS go together"),
    ],
)
def test_what_cannot_be_used_is_told_by_its_variable(environment, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        ServerSettings.from_environment(environment)


def test_secrets_are_not_shown():
    settings = ServerSettings(
        label_studio_url="http://x", api_key="k3y", basic_auth_user="me", basic_auth_pass="s3cret"
    )
    assert "k3y" not in repr(settings)
    assert "s3cret" not in repr(settings)


def test_predictions_can_never_take_all_threads_of_the_server():
    for predictions in (1, 8, 200):
        settings = ServerSettings(predictions=predictions)
        # Clicks; batches and new configs, also those that wait.
        assert settings.server_threads > (3 + 2 + 1) * predictions + _CHECKS
        assert settings.server_threads < _CONNECTIONS


def test_a_name_of_an_earlier_version_is_read_and_the_log_says_what_to_write(caplog):
    settings = ServerSettings.from_environment({"PAM_PICTURE_CACHE_BYTES": "7"})
    assert settings.image_cache_bytes == 7
    [line] = caplog.messages
    assert "PAM_PICTURE_CACHE_BYTES is now called PAM_IMAGE_CACHE_BYTES" in line


def test_the_new_name_wins_over_the_former_one(caplog):
    names = {"PAM_PICTURE_CACHE_BYTES": "7", "PAM_IMAGE_CACHE_BYTES": "8"}
    assert ServerSettings.from_environment(names).image_cache_bytes == 8
    assert not caplog.messages


NAMES_OF_0_1 = """
    LABEL_STUDIO_URL LABEL_STUDIO_HOST LABEL_STUDIO_API_KEY LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT
    BASIC_AUTH_USER BASIC_AUTH_PASS LOG_LEVEL PORT THREADS PAM_HOST PAM_THREADS PAM_ALLOWED_HOSTS
    PAM_MEDIA_TIMEOUT PAM_MEDIA_MAX_BYTES PAM_MEDIA_CACHE_DIR PAM_MEDIA_CACHE_BYTES
    PAM_PICTURE_CACHE_BYTES PAM_RESULT_CACHE_BYTES PAM_CLICK_SECONDS PAM_BATCH_SECONDS
    PAM_BACKGROUND_SECONDS PAM_LOADING_SECONDS PAM_BUSY_SECONDS PAM_MAX_BODY_BYTES
"""


def test_every_name_of_version_0_1_is_still_read():
    read = {name for names in ServerSettings.variables().values() for name in names}
    former = {extra_of(ServerSettings, name)["former"] for name in ServerSettings.model_fields}
    assert set(NAMES_OF_0_1.split()) <= read | former


def test_nothing_from_outside_makes_a_line_of_the_log_or_a_control_character():
    forged = "q\n2026-11-27 23:00:00,000 INFO waitress: FORGED \x1b[31m\r\x85\u2028é物\udc80"
    program = (
        "import logging, json, sys\n"
        "from label_studio_backend.settings import ServerSettings\n"
        "ServerSettings().configure_logging()\n"
        "text = json.loads(sys.argv[1])\n"
        "logging.warning('said: %s', text)\n"
        "try:\n    raise ValueError(text)\n"
        "except ValueError:\n    logging.exception('failed')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(forged)],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    log = done.stderr.decode()
    first, second, *traceback = log.split("\n")[:-1]
    assert first.endswith(
        r"said: q\n2026-11-27 23:00:00,000 INFO waitress: FORGED \x1b[31m\r\x85\u2028é物\udc80"
    )
    assert second.endswith("failed")
    assert "ValueError: q" in log
    assert all(line.startswith("  ") and line.isprintable() for line in traceback)
