"""Train nano: `python -m pam_model.nano.train --minutes 22 --output FOLDER`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from pam_model.checkpoints.checkpoint import load_checkpoint, load_network, save_checkpoint
from pam_model.nano.sizes import nano_config
from pam_model.nano.tokenizer import load_tokenizer, save_tokenizer
from pam_model.nano.train.answers import AnswerTables
from pam_model.nano.train.batch import Drawing, make_batch
from pam_model.nano.train.loop import STATE_FILE, Schedule, Trainer
from pam_model.nano.train.objective import Objective
from pam_model.nano.train.setup import (
    compile_parts,
    freeze_video_parts,
    fresh_network,
    interpolate_positions_linearly,
    scene_seed,
    skip_position_codes,
)
from pam_model.network import PAMNetwork

_STARTED = time.monotonic()
_SECONDS_TO_FINISH = 12.0  # writing files


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.resume is not None and not (options.resume / STATE_FILE).is_file():
        parser.error(
            f"--resume: {options.resume} has no {STATE_FILE} (state-*.safetensors of version 0.1 "
            "cannot be read: start from the checkpoint beside them, with --weights)"
        )
    device = torch.device(options.device)
    _say(f"torch {torch.__version__} on {device}")
    save_tokenizer(options.output / "tokenizer")
    tokenizer = load_tokenizer(options.output / "tokenizer")
    network = fresh_network(nano_config(), tokenizer, options.seed)
    if options.weights is not None:
        start = load_network(load_checkpoint(options.weights), dtype=torch.float32)
        network.load_state_dict(start.state_dict())
    trainer = _trainer(network, options, device)
    if options.resume is not None:
        trainer.load(options.resume)
        _say(f"resumed after {trainer.steps} steps, {trainer.trained_seconds:.0f} s")
    torch.manual_seed(scene_seed(options.seed, trainer.steps))
    trainer.prepare()
    _say(f"ready; {_memory(device)}")
    _train(trainer, options)
    if options.save_state:
        trainer.save(options.output)
    trainer.parameters.use_average()
    _export(network, tokenizer, options.output / "nano")
    _say(f"written to {options.output}; {_memory(device)}")


def _trainer(network: PAMNetwork, options: argparse.Namespace, device: torch.device) -> Trainer:
    """Put a fresh network on its device, in the dtype to compute with, and build its trainer."""
    freeze_video_parts(network)
    network.to(device)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # shapes never change
        network.cast(torch.bfloat16)
    skip_position_codes(network)
    interpolate_positions_linearly(network)
    make = partial(
        make_batch,
        options.images,
        AnswerTables(network.language.tokenizer, device),
        device,
        drawing=_compile(network, options.compile),
        side=network.config.image_size,
    )
    return Trainer(Objective(network).to(device), make)


def _train(trainer: Trainer, options: argparse.Namespace) -> None:
    until = _STARTED + 60 * options.minutes - _SECONDS_TO_FINISH
    left = trainer.trained_seconds + until - time.monotonic()
    seconds = left if options.schedule_minutes is None else 60 * options.schedule_minutes
    schedule = Schedule(seconds, peak=options.rate)
    _say(f"{trainer.trained_seconds:.0f} s of the schedule's {seconds:.0f} s are over")
    trainer.run(schedule, until=until, most_steps=options.steps, report=_say)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pam_model.nano.train", description=__doc__)
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder for the checkpoint and the state")
    add("--minutes", type=float, default=22, help="duration of this call, all included")
    add(
        "--schedule-minutes",
        type=float,
        help="duration of the training over all calls (default: until this call ends)",
    )
    add("--images", type=int, default=64, help="images in each step")
    add("--rate", type=float, default=1.5e-3, help="peak learning rate")
    add("--steps", type=int, help="stop after this many steps of this call")
    add("--seed", type=int, default=0)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--compile", choices=("none", "drawing", "all"), default="all", help="what to compile")
    add("--resume", type=Path, help="folder with the state.pt of an earlier call")
    add(
        "--weights",
        type=Path,
        help="a checkpoint of nano's sizes to start from, instead of random weights",
    )
    add("--save-state", action="store_true", help="write state.pt, for --resume")
    add("--exact", action="store_true", help="has no effect: the state is always exact now")
    return parser


def _compile(network: PAMNetwork, what: str) -> Drawing:
    if what == "all":
        compile_parts(network)
    plain = Drawing()
    return plain if what == "none" else Drawing(*(torch.compile(p, dynamic=False) for p in plain))


def _export(network: PAMNetwork, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    pam_state = {
        prefix + name: tensor
        for prefix, part in network.published_parts
        for name, tensor in part.state_dict().items()
    }
    save_checkpoint(
        folder,
        network.config,
        pam_state,
        network.segmenter.sam2.state_dict(),
        tokenizer,
        torch.float16,
    )


def _memory(device: torch.device) -> str:
    if device.type != "cuda":
        return "on the CPU"
    return f"{torch.cuda.max_memory_reserved() / 2**30:.1f} GiB of GPU memory"


def _say(text: str) -> None:
    print(f"[{time.monotonic() - _STARTED:6.1f}] {text}", flush=True)


if __name__ == "__main__":
    main()
