#!/usr/bin/env python3
"""Install the pinned torch into the running environment, without CUDA if there is no GPU.

A CUDA build of torch needs gigabytes of CUDA packages, which neither the demo nor the tests use. If
pip would install one on a machine without an NVIDIA GPU, uv fetches the CPU build instead, because
it knows PyTorch's own index.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def pinned_torch(constraints: str) -> str:
    """The line of the constraints that pins torch, such as `torch==2.13.0`."""
    match = re.search(r"^torch==\S+", constraints, flags=re.MULTILINE)
    if match is None:
        raise SystemExit(f"{CONSTRAINTS}: no line pins torch")
    return match.group()


def is_installed(requirement: str) -> bool:
    """Whether the installed torch, CPU build or not, has the pinned version."""
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return False
    return version.partition("+")[0] == requirement.removeprefix("torch==")


def has_nvidia_gpu() -> bool:
    """Whether the NVIDIA driver lists a GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    listing = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
    return listing.returncode == 0 and "GPU" in listing.stdout


def pip_takes_cpu_build(requirement: str) -> bool:
    """Whether pip installs a CPU build; on Linux, only if its index has one of this version.

    This reads only the list of versions. pip prefers `2.13.0+cpu` to `2.13.0`.
    """
    if sys.platform != "linux":
        return True
    # The output is not shown if the command works: pip warns that it is experimental.
    listing = subprocess.run(
        [*PIP, "index", "versions", "torch"], capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        raise SystemExit(f"pip cannot list the builds of torch:\n{listing.stderr}")
    return f"{requirement.removeprefix('torch==')}+cpu" in re.split(r"[\s,()]+", listing.stdout)


def main() -> None:
    """Install torch, unless the pinned version is installed."""
    requirement = pinned_torch(CONSTRAINTS.read_text(encoding="utf-8"))
    if is_installed(requirement):
        return
    constrained = ("--constraint", str(CONSTRAINTS), requirement)
    if has_nvidia_gpu() or pip_takes_cpu_build(requirement):
        subprocess.run([*PIP, "install", "--quiet", *constrained], check=True)
        return
    subprocess.run([*PIP, "install", "--quiet", "uv"], check=True)
    subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "install", "--quiet"),
            *("--python", sys.executable, "--torch-backend", "cpu", *constrained),
        ],
        check=True,
    )


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"torch could not be installed: {error}") from error
