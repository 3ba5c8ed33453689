"""A PAM that knows the answers, to test the measuring by; and it lies where it is told to."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from pam_model.cropped_mask import CroppedMask
from pam_model.nano import texts
from pam_model.nano.measure import NAMES
from pam_model.segments import Segments


class Oracle:
    """Answers as `PAM` would if it knew the images by heart.

    Args:
        images: all that it will be asked about.
        lie: given a question and facts, what to answer instead of the truth, or None.
    """

    name = "oracle"
    device = torch.device("cpu")

    def __init__(self, images, lie=lambda question, facts: None):
        self.images = list(images)
        self.objects = [thing for image in self.images for thing in image.objects]
        self.lie = lie
        self.shrink = False
        self.gullible = False

    def encode_batch(self, images):
        return [next(k for k in self.images if k.image is image) for image in images]

    def segment(self, known, prompts):
        masks, rows, scores = [], [], []
        for prompt in prompts:
            found = [k for k, o in enumerate(self.objects) if prompt is o.box or prompt is o.click]
            rows.append(found[0] if found else -1)
            scores.append(5.0 if found or self.gullible else -5.0)
            mask = self.objects[found[0]].drawn.mask if found else np.zeros((1, 1), np.bool_)
            masks.append(self._shrunk(mask) if self.shrink and prompt.box is not None else mask)
        count = len(prompts)
        nothing = torch.zeros(count, 1)
        return Segments(
            sizes=((1, 1),) * count,
            iou_scores=np.ones(count, np.float32),
            object_scores=np.array(scores, np.float32),
            mask_logits=nothing,
            mask_tokens=torch.tensor(rows, dtype=torch.long)[:, None],
            image_embed=nothing,
            object_pointers=nothing,
            given=tuple(CroppedMask.from_mask(mask) for mask in masks),
        )

    @staticmethod
    def _shrunk(mask):
        """Half of a mask's pixels: an IoU of a half."""
        half = mask.copy()
        rows, columns = np.nonzero(mask)
        half[rows[::2], columns[::2]] = False
        return half

    def prefill(self, segments):
        return self._contexts(segments.mask_tokens[:, 0].tolist())

    def _contexts(self, rows):
        return SimpleNamespace(
            rows=rows, select=lambda chosen: self._contexts([rows[index] for index in chosen])
        )

    def describe(self, contexts, questions, options):
        return [
            [
                self.lie(question, self.objects[row].drawn.facts)
                or texts.answer(self.objects[row].drawn.facts, question)
                for question in questions
            ]
            for row in contexts.rows
        ]

    def classify(self, contexts, labels, *, language):
        assert list(labels) == [getattr(word, language) for word in NAMES]
        return np.eye(len(labels))[[self.objects[row].drawn.facts.shape for row in contexts.rows]]
