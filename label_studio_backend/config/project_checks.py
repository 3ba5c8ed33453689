"""Check what `/setup` brings, once: Label Studio sends it again before nearly every task."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
from cachetools import LRUCache, cached

from label_studio_backend.config.labeling_config import LabelingConfig, LabelingConfigError
from label_studio_backend.config.lint import LintReport, check_config
from label_studio_backend.config.options import Options, OptionsError
from label_studio_backend.config.output_mapping import map_outputs
from pam_labeling.annotator import MOST_TOKENS
from pam_labeling.validation import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from pam_labeling import Annotator

_MOST = 1000  # checks that are kept, each some hundred bytes
_encode = msgspec.json.Encoder(order="sorted", enc_hook=repr).encode


@dataclass(frozen=True)
class Checked:
    """What was found.

    Attributes:
        options: what the extra parameters say; the defaults where they cannot be used.
        problem: why the extra parameters cannot be used, or None.
        findings: about parameters and config.
        long_phrases: what the model would have to score and may have too many tokens.
    """

    options: Options
    problem: str | None
    findings: LintReport
    long_phrases: tuple[str, ...]

    def too_long(self, annotator: Annotator | None) -> str | None:
        """A sentence, where a label has more tokens than the model can score.

        Args:
            annotator: its tokenizer counts; None, while it loads, finds nothing.
        """
        if annotator is None or not self.long_phrases:
            return None
        found = annotator.too_long(self.long_phrases)
        if not found:
            return None
        return (
            f"The label {shown(found[0])} has more tokens than the model can score: shorten it, "
            'or give it a shorter name to be scored by, with predicted_values="...".'
        )


def kept_checks() -> Callable[[str, Any], Checked]:
    """`check_project`, with a memory; safe to use from any thread.

    A thread that asks for a check that another one makes waits for it, and for no other check.
    """
    return cached(LRUCache(_MOST), key=_key, condition=threading.Condition())(check_project)


def _key(xml: str, extra_params: Any) -> bytes:
    # A digest: a config may have megabytes. XML has no character "\0".
    text = xml.encode("utf-8", "surrogatepass") + b"\0" + _encode(extra_params)
    return blake2b(text, digest_size=32).digest()


def check_project(xml: object, extra_params: object) -> Checked:
    """Check a config's XML and the extra parameters, valid or not."""
    options, problem = Options(), None
    try:
        options = Options.read(extra_params)
    except OptionsError as error:
        problem = str(error)
    phrases: tuple[str, ...] = ()
    try:
        config = LabelingConfig.parse(xml)
        report = check_config(config, options)
        if not report.errors:
            phrases = _long_phrases(config, options)
    except LabelingConfigError as error:
        report = LintReport((str(error),))
    errors = report.errors if problem is None else (problem, *report.errors)
    return Checked(options, problem, LintReport(errors, report.hints), phrases)


def _long_phrases(config: LabelingConfig, options: Options) -> tuple[str, ...]:
    outputs = map_outputs(config, options)
    lists = [target.vocabulary for target in outputs.choices]
    if outputs.vocabulary is not None:
        lists.append(outputs.vocabulary)
    # Tokenizers make at most a token of a byte; of one letter NFC may make three.
    spoken = dict.fromkeys(phrase for vocabulary in lists for phrase in vocabulary.spoken)
    return tuple(phrase for phrase in spoken if 3 * len(phrase.encode()) > MOST_TOKENS)
