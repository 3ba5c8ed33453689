"""The training loop learns, and goes on where it stopped."""

from __future__ import annotations

import time

import pytest
import torch
from safetensors.torch import load_file

from pam_model import PAM, Prompt, Question, Task
from pam_model.nano.sizes import nano_config
from pam_model.nano.tokenizer import VOCABULARY_SIZE
from pam_model.nano.train import __main__ as train_command
from pam_model.nano.train.__main__ import _export, _frozen, _put_back
from pam_model.nano.train.loop import Schedule
from pam_model.nano.train.objective import METRICS
from pam_model.nano.train.setup import fresh_network, trained_parameters
from pam_model.nano.train.state import FlatParameters, read_shards, write_shards
from pam_model.network import PAMNetwork
from tests.model.tiny import tiny_config
from tests.nano.training import batches, tiny_network, tiny_trainer

RATE = 1e-3


@pytest.fixture(scope="module")
def fixed_batch(tables):
    return batches(tables, seed=1)()


def loss_of(trainer):
    with torch.no_grad():
        return float(trainer.objective(trainer._make_batch())[0])


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
    trainer.parameters.zero_gradients()
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
    config = tiny_config()
    config.language.vocab_size = len(tokenizer)
    plain = fresh_network(config, tokenizer, seed=0).segmenter
    fast = tiny_network(tokenizer).segmenter
    with torch.no_grad():
        ours, theirs = fast.encode(fixed_batch.images), plain.encode(fixed_batch.images)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_resuming_is_exact(tokenizer, tables, tmp_path):
    straight = tiny_trainer(tokenizer, batches(tables, seed=5))
    for _ in range(4):
        straight.step(RATE)

    make = batches(tables, seed=5)
    first = tiny_trainer(tokenizer, make)
    for _ in range(2):
        first.step(RATE)
    first.trained_seconds = 12.5
    first.save(tmp_path, _frozen(first.objective.network), compact=False)

    second = tiny_trainer(tokenizer, make)
    with torch.no_grad():
        for parameter in second.objective.parameters():
            parameter.add_(1)  # whatever it starts from is forgotten
    _put_back(second.objective.network, second.load(tmp_path))
    assert (second.steps, second.trained_seconds) == (2, 12.5)
    for _ in range(2):
        second.step(RATE)
    for name in ("master", "average", "momentum", "variance", "steps"):
        ours, theirs = getattr(second.parameters, name), getattr(straight.parameters, name)
        assert torch.equal(ours, theirs), name
    for (name, ours), theirs in zip(
        second.objective.state_dict().items(), straight.objective.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs), name


def some_parameters(seed=0, sizes=((40, 30), (70,))):
    torch.manual_seed(seed)
    return FlatParameters([torch.nn.Parameter(torch.randn(size)) for size in sizes])


def stepped(parameters, steps=3):
    parameters.learning_rate.fill_(RATE)
    for step in range(steps):
        torch.manual_seed(step)
        for parameter in parameters.parameters:
            parameter.grad.copy_(torch.randn_like(parameter) * 0.01)
        parameters.step()
    return parameters


def test_a_compact_state_is_nearly_exact_in_half_the_room():
    before, after = stepped(some_parameters()), some_parameters(seed=1)
    compact = before.state(compact=True)
    after.load_state(compact)
    torch.testing.assert_close(after.master, before.master, rtol=2**-15, atol=0)
    torch.testing.assert_close(after.variance, before.variance, rtol=2**-8, atol=1e-12)
    torch.testing.assert_close(after.momentum, before.momentum, rtol=0.13, atol=1e-7)
    size = sum(value.nbytes for value in before.state(compact=False).values())
    assert sum(value.nbytes for value in compact.values()) < 0.45 * size


def test_a_state_of_another_model_is_refused():
    state = some_parameters(sizes=((3, 3),)).state(compact=False)
    with pytest.raises(ValueError, match="different sizes"):
        some_parameters().load_state(state)


def test_steps_are_those_of_adamw():
    torch.manual_seed(3)
    matrix, vector = torch.randn(20, 10), torch.randn(10)
    ours = FlatParameters([torch.nn.Parameter(matrix.clone()), torch.nn.Parameter(vector.clone())])
    theirs = [torch.nn.Parameter(matrix.clone()), torch.nn.Parameter(vector.clone())]
    reference = torch.optim.AdamW(
        [{"params": theirs[:1], "weight_decay": 0.03}, {"params": theirs[1:], "weight_decay": 0.0}],
        lr=RATE,
        betas=(0.9, 0.98),
    )
    ours.learning_rate.fill_(RATE)
    for step in range(5):
        torch.manual_seed(step)
        for mine, other in zip(ours.parameters, theirs, strict=True):
            other.grad = torch.randn_like(other)
            mine.grad.copy_(other.grad)
        norm = torch.nn.utils.clip_grad_norm_(theirs, 1.0)
        torch.testing.assert_close(ours.step(), norm)
        reference.step()
    for mine, other in zip(ours.parameters, theirs, strict=True):
        torch.testing.assert_close(mine.detach(), other.detach())


def test_a_step_with_a_gradient_that_is_not_finite_changes_nothing():
    parameters = stepped(some_parameters())
    before = {name: value.clone() for name, value in parameters.state(compact=False).items()}
    parameters.parameters[0].grad[0] = torch.nan
    parameters.step()
    for name, value in parameters.state(compact=False).items():
        if name != "average":
            assert torch.equal(value, before[name]), name


def test_the_average_lies_between_where_training_was_and_is():
    parameters = some_parameters()
    start = parameters.master.clone()
    stepped(parameters, steps=5)
    parameters.use_average()
    moved = (parameters.master - start).norm()
    kept = (parameters.parameters[0].flatten() - start[:1200]).norm()
    assert 0 < kept < moved


def test_shards_give_back_what_was_written(tmp_path):
    tensors = {"a": torch.arange(3_000_000.0), "b": torch.ones(5), "c": torch.zeros(4_000_000)}
    write_shards(tensors, tmp_path, {"progress": "{}"})
    paths = sorted(tmp_path.glob("state-*.safetensors"))
    assert len(paths) > 1
    assert all(path.stat().st_size < 16_000_000 for path in paths)
    found, metadata = read_shards(tmp_path)
    assert metadata == {"progress": "{}"}
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_resuming_from_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="resume"):
        read_shards(tmp_path)


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
def tiny_command(monkeypatch):
    """The command trains a tiny network instead of nano, on the CPU."""
    config = tiny_config()
    config.language.vocab_size = VOCABULARY_SIZE
    monkeypatch.setattr(train_command, "nano_config", lambda: config)
    usual = ["--device", "cpu", "--compile", "none", "--images", "8", "--minutes", "1000"]
    return lambda folder, *options: train_command.main(["--output", str(folder), *usual, *options])


def test_the_command_trains_saves_and_resumes(tiny_command, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    tiny_command(first, "--steps", "2", "--schedule-minutes", "10", "--save-state")
    assert "step 2 " in capsys.readouterr().out
    assert list(first.glob("state-*.safetensors"))
    tiny_command(second, "--steps", "1", "--schedule-minutes", "10", "--resume", str(first))
    printed = capsys.readouterr().out
    assert "resumed after 2 steps" in printed
    assert "step 3 " in printed
    assert not list(second.glob("state-*.safetensors"))
    before = load_file(first / "nano" / "model.safetensors")
    after = load_file(second / "nano" / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("layers" in name for name in changed)
    assert not any("memory" in name for name in changed)  # parts for video stay as they were
    assert PAM.from_pretrained(second / "nano", device="cpu").network.config.image_size == 128


def test_nano_fits_16_million_bytes_in_float16(tokenizer):
    with torch.device("meta"):
        network = PAMNetwork(nano_config(), tokenizer)
    numbers = sum(parameter.numel() for parameter in network.parameters())
    assert 15_000_000 < 2 * numbers < 15_900_000
    frozen = numbers - sum(p.numel() for p in trained_parameters(network))
    assert 1_000_000 < frozen < 2_000_000  # the parts for video are there
