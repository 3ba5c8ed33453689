"""Losses have the values that one can work out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pam_model.nano.texts import FIELDS
from pam_model.nano.train.batch import LOOKS
from pam_model.nano.train.losses import HelperHeads, dice_loss, iou, mask_losses, word_loss

SURE = 20.0


def square(row, column, side=4, size=16):
    mask = torch.zeros(size, size)
    mask[row : row + side, column : column + side] = 1
    return mask


def logits_of(*masks):
    """Sure logits `(1, len(masks), h, w)`."""
    return ((torch.stack(masks) * 2 - 1) * SURE)[None]


def losses(*masks, target=None, iou_scores=(1.0, 1.0, 1.0, 1.0), score=SURE, is_object=True):
    return mask_losses(
        logits_of(*masks),
        torch.tensor([iou_scores]),
        torch.tensor([score]),
        (square(2, 2) if target is None else target)[None] > 0,
        torch.tensor([is_object]),
    )


def test_iou_of_squares_that_share_a_half_is_a_third():
    assert iou(square(0, 0) > 0, square(0, 2) > 0) == pytest.approx(1 / 3)


def test_iou_of_nothing_with_nothing_is_1():
    assert iou(torch.zeros(4, 4) > 0, torch.zeros(4, 4) > 0) == 1


def test_dice_loss_is_0_for_the_right_mask_and_near_1_for_a_mask_beside_it():
    right, beside = square(0, 0), square(8, 8)
    assert dice_loss(logits_of(right)[0, 0], right) == pytest.approx(0, abs=1e-5)
    assert dice_loss(logits_of(beside)[0, 0], right) == pytest.approx(1 - 1 / 33, abs=1e-4)


def test_right_masks_and_scores_lose_nothing():
    right = square(2, 2)
    found = losses(right, right, right, right)
    assert found.reached == 1
    assert all(value == pytest.approx(0, abs=1e-5) for value in found[:-1])


def test_the_best_of_the_other_three_tokens_counts():
    right, wrong = square(2, 2), square(10, 10)
    assert losses(right, wrong, right, wrong).others == pytest.approx(0, abs=1e-5)
    assert losses(right, wrong, wrong, wrong).others > 1
    assert losses(wrong, right, right, right).mask > 1


def test_the_answers_mask_costs_8_times_bce_plus_dice():
    wrong = torch.zeros(16, 16)  # misses 16 of 256 cells, by a logit of -20
    expected = 8 * SURE * 16 / 256 + (1 - 1 / 17)
    assert losses(wrong, wrong, wrong, wrong).mask == pytest.approx(expected, rel=1e-4)


def test_an_edge_between_two_cells_is_seen_in_the_logits_of_both():
    truth = torch.zeros(1, 32, 32, dtype=torch.bool)
    truth[..., :13] = True  # cells of 4 pixels, and one pixel of the fourth
    scores = (torch.ones(1, 4), torch.ones(1))

    def lost(logit):
        logits = torch.full((1, 4, 8, 8), -SURE)
        logits[..., :3] = SURE
        logits[..., 3] = logit
        return mask_losses(logits, *scores, truth, torch.tensor([True]))

    # The resized logit is 0 between the centres of cells 2 and 3 (pixels 9.5 and 13.5): at 13
    # where it falls from 20 at 9.5 to -2.86 at 13.5.
    assert lost(-20 / 7).reached == 1
    assert lost(-SURE).reached == pytest.approx(12 / 13)
    assert lost(-20 / 7).mask < min(lost(-SURE).mask, lost(SURE).mask)


def test_the_iou_head_learns_the_true_iou():
    right = square(2, 2)
    half = square(2, 4)  # IoU 1/3
    scores = (1.0, 1 / 3, 0.0, 0.0)
    found = losses(right, half, square(10, 10), square(10, 10), iou_scores=scores)
    assert found.iou == pytest.approx(0, abs=1e-6)
    # Smooth L1 with beta 0.1: an error of 0.5 costs 0.45.
    off = losses(right, right, right, right, iou_scores=(0.5, 1.0, 1.0, 1.0))
    assert off.iou == pytest.approx(0.45 / 4)


def test_where_there_is_no_object_only_the_object_score_is_trained():
    found = losses(*[square(10, 10)] * 4, score=0.0, is_object=False)
    assert (found.mask, found.others, found.iou) == (0, 0, 0)
    assert found.object == pytest.approx(math.log(2))
    assert losses(*[square(2, 2)] * 4, score=-SURE, is_object=False).object < 1e-6
    assert losses(*[square(2, 2)] * 4, score=-SURE, is_object=True).object == pytest.approx(SURE)


def test_a_clueless_language_model_loses_the_log_of_the_vocabulary():
    ids = torch.tensor([[1, 2, 3, 0]])
    supervised = torch.tensor([[False, True, True, False]])
    assert word_loss(torch.zeros(1, 4, 50), ids, supervised) == pytest.approx(math.log(50))


def test_only_supervised_tokens_count_and_every_answer_the_same():
    logits = torch.zeros(3, 4, 10)
    ids = torch.tensor([[1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]])
    logits[0, :, 1] = SURE  # right everywhere
    logits[2, :, 5] = SURE  # wrong, and not asked
    supervised = torch.tensor(
        [[True, True, True, True], [False, False, False, True], [False] * 4],
    )
    assert word_loss(logits, ids, supervised) == pytest.approx(math.log(10) / 2, abs=1e-5)


def test_helper_heads_skip_what_is_no_object():
    torch.manual_seed(0)
    heads = HelperHeads(8)
    semantic, tokens = torch.randn(2, 4, 8), torch.randn(2, 2, 8)
    facts = {name: torch.zeros(2, dtype=torch.long) for name in FIELDS}
    both, _ = heads.region_loss(semantic, tokens, facts, torch.tensor([True, False]))
    alone, _ = heads.region_loss(
        semantic[:1],
        tokens[:1],
        {name: values[:1] for name, values in facts.items()},
        torch.tensor([True]),
    )
    torch.testing.assert_close(both, alone)


def test_helper_heads_skip_cells_that_show_nothing():
    torch.manual_seed(0)
    heads = HelperHeads(8)
    embedding = torch.randn(1, 8, 2, 2)
    nothing = {name: torch.full((1, 2, 2), -1) for name in LOOKS}
    things, ground = torch.zeros(1, 2, 2, dtype=torch.long), torch.zeros(1, dtype=torch.long)
    without = heads.dense_loss(embedding, nothing, things, ground)
    shown = torch.tensor([[[3, -1], [-1, -1]]])
    with_one = heads.dense_loss(embedding, {**nothing, "shape": shown}, things, ground)
    cell = heads.cell["shape"](embedding[0, :, 0, 0]).log_softmax(dim=0)[3]
    torch.testing.assert_close(with_one - without, -cell)
