"""The training loop learns, and goes on where it stopped."""

from __future__ import annotations

import time

import pytest
import torch
from safetensors.torch import load_file

from pam_model import PAM, InputError, Prompt, Question, Task
from pam_model.nano.sizes import nano_config
from pam_model.nano.tokenizer import VOCABULARY_SIZE
from pam_model.nano.train import __main__ as train_command
from pam_model.nano.train.__main__ import _export
from pam_model.nano.train.loop import Schedule
from pam_model.nano.train.objective import METRICS
from pam_model.nano.train.setup import freeze_video_parts, fresh_network
from pam_model.nano.train.state import TrainedParameters
from pam_model.network import PAMNetwork
from tests.model.tiny import tiny_config
from tests.nano.training import batches, tiny_network, tiny_trainer

RATE = 1e-3


@pytest.fixture(scope="module")
def fixed_batch(tables):
    return batches(tables, seed=1)()


def loss_of(trainer):
    with torch.no_grad():
        return float(trainer.objective(trainer.make_batch())[0])


def test_steps_lower_the_loss_of_a_fixed_batch(tokenizer, fixed_batch):
    trainer = tiny_trainer(tokenizer, lambda: fixed_batch)
    losses = [loss_of(trainer)]
    for _ in range(3):
        trainer.step(RATE)
        losses.append(loss_of(trainer))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.97 * losses[0]
    assert trainer.steps == 3
    assert trainer.metrics.isfinite().all()


def test_every_trained_parameter_gets_a_gradient_and_none_of_video_does(tokenizer, fixed_batch):
    trainer = tiny_trainer(tokenizer, lambda: fixed_batch)
    trainer.objective(fixed_batch)[0].backward()
    silent = {
        name
        for name, parameter in trainer.objective.named_parameters()
        if parameter.requires_grad and not parameter.grad.any()
    }
    # A key's bias shifts all scores of a softmax alike: what it learns is rounding.
    assert {name for name in silent if not name.endswith("k_proj.bias")} == set()
    frozen = {n for n, p in trainer.objective.named_parameters() if not p.requires_grad}
    assert any("memory_attention" in name for name in frozen)
    assert any("memory_encoder" in name for name in frozen)
    assert not any("mask_decoder" in name or "language" in name for name in frozen)


def test_what_makes_training_faster_changes_no_answer(tokenizer, fixed_batch):
    plain = fresh_network(tiny_config(len(tokenizer)), tokenizer, seed=0).segmenter
    fast = tiny_network(tokenizer).segmenter
    with torch.no_grad():
        ours, theirs = fast.encode(fixed_batch.images), plain.encode(fixed_batch.images)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_resuming_is_exact(tokenizer, tables, tmp_path):
    straight = tiny_trainer(tokenizer, batches(tables, seed=5))
    for _ in range(2):
        straight.step(RATE)

    make = batches(tables, seed=5)
    first = tiny_trainer(tokenizer, make)
    first.step(RATE)
    first.trained_seconds = 12.5
    first.save(tmp_path)

    second = tiny_trainer(tokenizer, make)
    with torch.no_grad():
        for parameter in second.objective.parameters():
            parameter.add_(1)  # whatever it starts from is forgotten
    second.load(tmp_path)
    assert (second.steps, second.trained_seconds) == (1, 12.5)
    second.step(RATE)
    for part in ("master", "average"):
        ours, theirs = getattr(second.parameters, part), getattr(straight.parameters, part)
        assert_same_state(ours.state_dict(), theirs.state_dict())
    assert_same_state(second.objective.state_dict(), straight.objective.state_dict())


def assert_same_state(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def some_parameters(seed=0, sizes=((40, 30), (70,)), dtype=torch.float32):
    torch.manual_seed(seed)
    return TrainedParameters(torch.nn.Parameter(torch.randn(size, dtype=dtype)) for size in sizes)


def stepped(parameters, steps=3):
    for step in range(steps):
        torch.manual_seed(step)
        for parameter in parameters.used:
            parameter.grad = torch.randn_like(parameter) * 0.01
        parameters.step(RATE)
    return parameters


def test_a_state_of_another_model_is_refused():
    state = some_parameters(sizes=((3, 3), (70,))).state_dict()
    with pytest.raises(InputError, match="other sizes"):
        some_parameters().load_state_dict(state)


def test_only_matrices_decay():
    parameters = some_parameters()
    starts = [master.detach().clone() for master in parameters.master]
    for parameter in parameters.used:
        parameter.grad = torch.zeros_like(parameter)
    parameters.step(RATE)
    matrix, vector = parameters.master
    torch.testing.assert_close(matrix.detach(), starts[0] * (1 - RATE * 0.03))
    assert torch.equal(vector.detach(), starts[1])


def test_gradients_are_clipped_to_the_norm_1():
    small, large = some_parameters(), some_parameters()
    for parameters, scale in ((small, 1.0), (large, 1000.0)):
        torch.manual_seed(7)
        for parameter in parameters.used:
            parameter.grad = torch.randn_like(parameter) * scale
    norms = [float(parameters.step(RATE)) for parameters in (small, large)]
    assert norms[1] == pytest.approx(1000 * norms[0], rel=1e-4)
    first, second = (p.adamw.state[p.master[0]]["exp_avg"] for p in (small, large))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-8)


def test_small_changes_add_up_though_the_model_computes_in_bfloat16():
    parameters = some_parameters(dtype=torch.bfloat16)
    start = parameters.master[0].detach().clone()
    stepped(parameters, steps=4)
    assert parameters.used[0].dtype == torch.bfloat16
    assert torch.equal(parameters.used[0], parameters.master[0].bfloat16())
    assert ((parameters.master[0] - start).abs() > 1e-5).float().mean() > 0.9


def test_a_step_with_a_gradient_that_is_not_finite_changes_nothing():
    parameters, same = stepped(some_parameters()), stepped(some_parameters())
    parameters.used[0].grad[0] = torch.nan
    assert not parameters.step(RATE).isfinite()
    for part in ("master", "average"):
        ours, theirs = getattr(parameters, part), getattr(same, part)
        assert_same_state(ours.state_dict(), theirs.state_dict())
    assert torch.equal(
        parameters.adamw.state[parameters.master[0]]["exp_avg"],
        same.adamw.state[same.master[0]]["exp_avg"],
    )


def test_the_average_lies_between_where_training_was_and_is():
    parameters = some_parameters()
    start = parameters.master[0].detach().clone()
    stepped(parameters, steps=5)
    parameters.use_average()
    moved = (parameters.master[0] - start).norm()
    kept = (parameters.used[0] - start).norm()
    assert 0 < kept < moved


def test_the_learning_rate_warms_up_and_falls_in_a_cosine():
    schedule = Schedule(seconds=1000, peak=1.0, floor=0.01)
    assert schedule.rate(0) == pytest.approx(0.01)
    assert schedule.rate(15) == pytest.approx(0.51, abs=0.01)
    assert schedule.rate(30) == pytest.approx(1, abs=0.01)
    assert schedule.rate(500) == pytest.approx(0.505)
    assert schedule.rate(1000) == pytest.approx(0.01)
    assert schedule.rate(2000) == pytest.approx(0.01)


def test_a_run_stops_by_the_clock_by_steps_and_by_the_schedule(tokenizer, fixed_batch):
    trainer = tiny_trainer(tokenizer, lambda: fixed_batch)
    lines = []
    trainer.run(Schedule(1000), until=time.monotonic() + 600, most_steps=1, report=lines.append)
    assert trainer.steps == 1
    assert all(name in lines[-1] for name in METRICS)
    trainer.run(Schedule(1000), until=time.monotonic() - 1, report=lines.append)
    assert trainer.steps == 1
    trainer.trained_seconds = 50.0
    trainer.run(Schedule(50), until=time.monotonic() + 600, report=lines.append)
    assert trainer.steps == 1


def test_what_training_writes_is_a_checkpoint_that_answers(tokenizer, tmp_path):
    network = tiny_network(tokenizer)
    _export(network, tokenizer, tmp_path / "tiny")
    pam = PAM.from_pretrained(tmp_path / "tiny", device="cpu")
    image = torch.zeros(40, 50, 3, dtype=torch.uint8).numpy()
    segments = pam.segment(pam.encode(image), [Prompt.from_box((5, 5, 20, 20))])
    texts = pam.describe(pam.prefill(segments), [Question(Task.LABEL)])
    assert len(texts) == 1
    weights = dict(network.named_parameters())
    for name, parameter in pam.network.named_parameters():
        torch.testing.assert_close(parameter, weights[name].half().float(), atol=1e-3, rtol=1e-3)


@pytest.fixture
def tiny_command(monkeypatch, tables):
    """The command trains a tiny network instead of nano, on the CPU."""
    monkeypatch.setattr(train_command, "nano_config", lambda: tiny_config(VOCABULARY_SIZE))
    monkeypatch.setattr(train_command, "AnswerTables", lambda tokenizer, device: tables)
    usual = ["--device", "cpu", "--compile", "none", "--images", "8", "--minutes", "1000"]
    return lambda folder, *options: train_command.main(["--output", str(folder), *usual, *options])


def test_the_command_trains_saves_and_resumes(tiny_command, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    tiny_command(first, "--steps", "1", "--schedule-minutes", "10", "--save-state")
    assert "step 1 " in capsys.readouterr().out
    assert (first / "state.pt").is_file()
    tiny_command(
        second, "--steps", "1", "--schedule-minutes", "10", "--resume", str(first), "--exact"
    )
    printed = capsys.readouterr().out
    assert "resumed after 1 steps" in printed
    assert "step 2 " in printed
    assert not (second / "state.pt").exists()
    before = load_file(first / "nano" / "model.safetensors")
    after = load_file(second / "nano" / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("layers" in name for name in changed)
    assert not any("memory" in name for name in changed)  # parts for video stay as they were
    assert PAM.from_pretrained(second / "nano", device="cpu").network.config.image_size == 128


def test_the_command_says_that_it_cannot_resume_from_a_state_of_version_0_1(
    tiny_command, tmp_path, capsys
):
    (tmp_path / "state-0.safetensors").write_bytes(b"")
    with pytest.raises(SystemExit):
        tiny_command(tmp_path / "out", "--steps", "1", "--resume", str(tmp_path))
    assert "cannot be read: start from the checkpoint" in capsys.readouterr().err


def test_nano_fits_16_million_bytes_in_float16(tokenizer):
    with torch.device("meta"):
        network = PAMNetwork(nano_config(), tokenizer)
    numbers = sum(parameter.numel() for parameter in network.parameters())
    assert 15_000_000 < 2 * numbers < 15_900_000
    freeze_video_parts(network)
    frozen = sum(p.numel() for p in network.parameters() if not p.requires_grad)
    assert 1_000_000 < frozen < 2_000_000  # the parts for video are there
