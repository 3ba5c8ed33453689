"""Calls of the command line."""

from __future__ import annotations

from typer.testing import CliRunner

from pam_labeling.command_line.cli import app


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def annotate(*arguments):
    return run("annotate", *arguments)
