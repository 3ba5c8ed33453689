"""What Label Studio adds to the `pam-labeling` command line; nothing heavy is imported for --help.

The entry point "pam_labeling.commands" names `app`; its commands join `pam-labeling`'s own.
"""

from __future__ import annotations

from typing import Annotated

import typer

from pam_labeling.cli import exit_codes
from pam_labeling.exit_codes import CommandError

app = typer.Typer()

_SEEN = "Others on this machine can read it in the list of processes: better set"


def _option(default_of: str, help_text: str, metavar: str = "TEXT") -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        metavar=metavar, help=f"{help_text} ({default_of})"
    )
    return option


@app.command()
def serve(
    host: Annotated[
        str | None,
        _option("PAM_HOST, or 127.0.0.1", "Address to listen on; 0.0.0.0 for all.", "ADDRESS"),
    ] = None,
    port: Annotated[int | None, _option("PORT, or 9090", "Port to listen on.", "NUMBER")] = None,
    model: Annotated[
        str | None,
        _option("PAM_MODEL, or nano", "nano, PAM-1.5B, PAM-3B, a folder or a hub id.", "NAME"),
    ] = None,
    device: Annotated[
        str | None, _option("PAM_DEVICE, or the fastest", "Where to compute.", "cpu|cuda|mps")
    ] = None,
    label_studio_url: Annotated[
        str | None,
        _option("LABEL_STUDIO_URL", "The Label Studio that asks, as seen from here.", "URL"),
    ] = None,
    api_key: Annotated[
        str | None,
        _option(
            "LABEL_STUDIO_API_KEY",
            f"Token to fetch its pictures with. {_SEEN} the variable.",
            "TOKEN",
        ),
    ] = None,
    basic_auth_user: Annotated[
        str | None, _option("BASIC_AUTH_USER", "Name that Label Studio must give.", "NAME")
    ] = None,
    basic_auth_pass: Annotated[
        str | None,
        _option(
            "BASIC_AUTH_PASS",
            f"Password that Label Studio must give. {_SEEN} the variable.",
            "PASSWORD",
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        _option(
            "PAM_ALLOWED_HOSTS", "A further host that pictures may come from; repeatable.", "HOST"
        ),
    ] = None,
    threads: Annotated[
        int | None, _option("THREADS, or 16", "How many predictions may be under way.", "NUMBER")
    ] = None,
    log_level: Annotated[
        str | None, _option("LOG_LEVEL, or INFO", "How much to tell.", "DEBUG|INFO|WARNING|ERROR")
    ] = None,
) -> None:
    """Serve Label Studio as its machine-learning backend: every click, and pre-annotation.

    All settings are environment variables too; see label_studio_backend/settings.py for all.
    """
    with exit_codes():
        try:
            from label_studio_backend import serving  # noqa: PLC0415 - loads flask and torch
        except ModuleNotFoundError as error:
            raise CommandError(
                f"{error.name} is not installed: pip install 'pam-labeling[label-studio]'"
            ) from error
        serving.serve(
            {"model": model, "device": device},
            {
                "host": host,
                "port": port,
                "label_studio_url": label_studio_url,
                "api_key": api_key,
                "basic_auth_user": basic_auth_user,
                "basic_auth_pass": basic_auth_pass,
                "allowed_hosts": tuple(allowed_host) if allowed_host else None,
                "predictions": threads,
                "log_level": log_level and log_level.upper(),
            },
        )
