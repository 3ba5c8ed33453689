"""The questions that PAM was trained on, and functions to read its answers.

The wording is that of the published model (arXiv 2506.05302), which answers other words less well.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Literal, NamedTuple, get_args

from typing_extensions import Self

from pam_model.errors import InputError

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

LabelScore = Literal["log_likelihood", "fit"]
"""How a label is scored as the answer to a question, from the logits of its tokens and of the end.

"log_likelihood" is the mean of their log-likelihoods. "fit" is the sum, over the same tokens, of
the token's logit less the largest logit at its place: 0 where greedy decoding gives exactly this
label, and -3 where the model's own next words are e^3 = 20 times as likely.
"""


class Task(str, Enum):
    """A kind of question about a region."""

    LABEL = "label"
    DEFINITION = "definition"
    BRIEF = "brief"
    DETAILED = "detailed"


class _Question(NamedTuple):
    task: Task
    language: Language


class Question(_Question):
    """A task in a language.

    Raises:
        InputError: there is no such task or language.
    """

    __slots__ = ()

    def __new__(cls, task: Task | str, language: Language = "en") -> Self:
        """Check both; a task may also be its name, such as "brief"."""
        if language not in LANGUAGES:
            raise InputError(f"a question is asked in {' or '.join(LANGUAGES)}, not {language!r}")
        try:
            return super().__new__(cls, Task(task), language)
        except ValueError as error:
            known = ", ".join(known.value for known in Task)
            raise InputError(f"a question's task is one of {known}, not {task!r}") from error

    @property
    def text(self) -> str:
        """The question in the words that the model was trained on."""
        return _WORDS[self.language][self.task]


_WORDS: dict[Language, dict[Task, str]] = {
    "en": {
        Task.LABEL: "Classify this subject and provide its label.",
        Task.DEFINITION: "Classify this subject and provide the label and its definition.",
        Task.BRIEF: "Provide a concise caption for this subject.",
        Task.DETAILED: "Provide a comprehensive and detailed description for this subject.",
    },
    "zh": {
        Task.LABEL: "对该目标对象进行分类并提供标签",
        Task.DEFINITION: "对该目标对象进行分类并提供标签和名词功能解释",
        Task.BRIEF: "对该目标对象提供一个概括的描述",
        Task.DETAILED: "对该目标对象提供一个全面且详细的描述",
    },
}

_START = "<|im_start|>"
END = "<|im_end|>"
BEFORE_REGION = f"{_START}system\nYou are a helpful assistant.{END}\n{_START}user\n"
"""Everything the language model reads before the region's visual rows."""


def after_region(question: str) -> str:
    """Everything the language model reads after the region's visual rows."""
    return f"\n{question}{END}\n{_START}assistant\n"


_MARKUP = re.compile(r"[*_`#\"“”]+")
_LABEL_KEY = re.compile(
    r"^\s*(?:label|name|category|class|标签|名称|类别)\s*[:：]\s*", re.IGNORECASE
)
_DEFINITION_KEY = re.compile(
    r"\s*(?:^|[\n,;.，；。])\s*(?:definition|description|定义|解释|功能解释|名词功能解释)\s*[:：]\s*",
    re.IGNORECASE,
)
_IS = re.compile(
    r"^(?:an?|the)\s+(?P<label>[\w' -]{1,60}?)\s+(?:is|refers to|means)\s+", re.IGNORECASE
)
_ZH_IS = re.compile(r"^(?P<label>[^\s，。:：]{1,20}?)(?:是指|指的是|是)(?=.)")
_SEPARATOR = re.compile(r"\s*(?:[:：\n]|\s[-–—]\s|——)\s*")
_MAX_LABEL_WORDS = 6


class Definition(NamedTuple):
    """The two parts of an answer to "the label and its definition"."""

    label: str
    definition: str


def split_definition(answer: str) -> Definition:
    """Split an answer to `Task.DEFINITION` into the label and its definition.

    The published model has no fixed format, so this reads "Label: x. Definition: y", "x: y",
    "x - y", "x" and "y" on two lines, "An x is y", and the same in Chinese. An answer of only a few
    words is a label without a definition. In any other answer without a recognisable label, the
    label is "" and the whole answer is the definition.
    """
    text = _MARKUP.sub("", answer).strip()
    without_key = _LABEL_KEY.sub("", text)
    keyed = _DEFINITION_KEY.split(without_key, maxsplit=1)
    if len(keyed) == 2:
        return Definition(_tidy_label(keyed[0]), keyed[1].strip())
    parts = _SEPARATOR.split(without_key, maxsplit=1)
    if len(parts) == 2 and parts[1] and _is_label(parts[0]):
        return Definition(_tidy_label(parts[0]), parts[1].strip())
    for pattern in (_IS, _ZH_IS):
        found = pattern.match(without_key)
        if found:
            return Definition(_tidy_label(found["label"]), without_key)
    if _is_label(without_key) and not without_key.rstrip().endswith((".", "。")):
        return Definition(_tidy_label(without_key), "")
    return Definition("", without_key)


def _is_label(text: str) -> bool:
    return bool(text.strip()) and len(text.split()) <= _MAX_LABEL_WORDS and len(text) <= 60


def _tidy_label(text: str) -> str:
    return text.strip(" \t\n.,;:，。；：")
