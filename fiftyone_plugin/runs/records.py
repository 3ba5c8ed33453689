"""The record of a run, kept in the dataset as one of FiftyOne's own custom runs.

It is read from the database each time, so that an App and a worker see each other's runs. Like all
of FiftyOne's runs, it survives renaming and cloning the dataset, and renaming the run.
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from dataclasses import asdict, dataclass, replace
from dataclasses import field as default
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal

import fiftyone.core.odm as foo
import psutil
from bson import ObjectId
from pydantic import TypeAdapter, ValidationError
from pymongo.errors import PyMongoError

from ..errors import PluginError
from .summaries import Summary  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fiftyone.core.collections import SampleCollection

State = Literal["running", "finished", "interrupted", "undoing", "undone"]

UNDONE = ("undoing", "undone")
"""States of a run whose values no longer count as written."""

METHOD = "@pam-labeling/pam/"
KEPT_FAILURES = 100
_SHOWN_KEYS = 10
REASON_LIMIT = 2000  # characters
_SILENCE = timedelta(minutes=10)
_PAUSE = 1.0  # seconds
_GONE = "Its process ended without a message: it was killed, or it crashed."


@dataclass(frozen=True)
class RunCounts:
    """The numbers of samples and labels that a run wrote.

    Attributes:
        samples: samples that were written to; a sample in two flushes may count twice.
        regions: labels that got values.
        added: new labels.
        failed: samples with a reason in `pam_error`.
        failed_regions: labels without an answer, in all these samples.
        gone: labels that somebody deleted before their values were written.
        kept: answers, and samples' lists of lines, that stay because they are a person's.
    """

    samples: int = 0
    regions: int = 0
    added: int = 0
    failed: int = 0
    failed_regions: int = 0
    gone: int = 0
    kept: int = 0


@dataclass(frozen=True)
class SampleFailure:
    """The reason why a sample lacks some or all of the run's results."""

    sample_id: str
    reason: str


@dataclass(frozen=True)
class Undone:
    """The outcome of undoing a run, in numbers of values and labels.

    Attributes:
        restored: values that are as before the run.
        removed: labels of the run that were removed.
        kept: values and labels that stay, because somebody edited them after the run.
        missing: values and labels whose sample, label or field no longer exists.
        undeclared: fields and attributes of the run that were removed from the schema.
    """

    restored: int = 0
    removed: int = 0
    kept: int = 0
    missing: int = 0
    undeclared: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunRecord:
    """The parameters, state and outcome of a run.

    Attributes:
        key: its name among the dataset's runs.
        operator: the operator's name, such as `"caption_regions"`.
        parameters: its parameters, in JSON's types.
        model: the checkpoint's name.
        version: the version of pam-labeling.
        field: the field of labels that it works on.
        started: when it began, in UTC, in the form of ISO 8601.
        finished: when it ended or was interrupted; None while it runs.
        state: a run whose process is gone is `"interrupted"`, whatever the database says.
        counts: see `RunCounts`.
        failures: the first hundred; `counts.failed` counts all.
        reason: why the run was interrupted, or "".
        declared: paths that this run declared in the schema.
        paths: paths of label attributes and sample fields that it writes.
        undone: see `Undone`; None unless the state is undoing or undone.
        undone_at: when it was undone; None unless the state is undone.
        summary: its summary in a field of the samples, or None.
        saved_view: a digest of the view that it saved, see `saved_views`; "" for none.
        journal: the id of its old values, see `journal`.
        process: the process that runs it: host, process id, start in seconds since 1970.
        seen: when it last wrote, in UTC.
    """

    key: str
    operator: str
    parameters: dict[str, Any]
    model: str
    version: str
    field: str
    started: str
    finished: str | None = None
    state: State = "running"
    counts: RunCounts = default(default_factory=RunCounts)
    failures: tuple[SampleFailure, ...] = ()
    reason: str = ""
    declared: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    undone: Undone | None = None
    undone_at: str | None = None
    summary: Summary | None = None
    saved_view: str = ""
    journal: str = ""
    process: tuple[str, int, float] = ("", 0, 0.0)
    seen: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The record in JSON's types."""
        return asdict(self)


_READER = TypeAdapter(RunRecord)
_UNSAVED: dict[str, RunRecord] = {}
"""The ended runs of this process, by journal, that the database does not know yet."""


def now() -> str:
    """The current time in UTC, in the form of ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def utc_now() -> datetime:
    """The current time in UTC without a time zone, as FiftyOne stores it."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def this_process() -> tuple[str, int, float]:
    """The host, the process id, and the start of this process in seconds since 1970."""
    return socket.gethostname(), os.getpid(), psutil.Process().create_time()


def list_runs(collection: SampleCollection) -> list[RunRecord]:
    """The runs of a dataset, oldest first, read from the database.

    Raises:
        PluginError: a run's record cannot be read.
    """
    found = _documents().find(
        {
            "_dataset_id": collection._root_dataset._doc.id,
            "config.method": {"$regex": f"^{METHOD}"},
        }
    )
    return sorted((_record(document) for document in found), key=lambda record: record.started)


def read_run(collection: SampleCollection, key: str) -> RunRecord:
    """One run of a dataset, read from the database.

    Raises:
        PluginError: the dataset has no such run.
    """
    records = {record.key: record for record in list_runs(collection)}
    if key not in records:
        newest = list(records)[: -_SHOWN_KEYS - 1 : -1]
        known = ", ".join(newest) or "none yet"
        left = len(records) - len(newest)
        more = f", and {left:,} older ones: see list_runs" if left else ""
        raise PluginError(
            f"{collection._root_dataset.name} has no run {key!r} of this plugin; "
            f"its runs: {known}{more}."
        )
    return records[key]


def register(collection: SampleCollection, record: RunRecord) -> RunRecord:
    """Add a new record to the dataset, under a new key if it has none.

    Raises:
        PluginError: the key is taken or invalid.
    """
    dataset = collection._root_dataset
    dataset.reload()  # another process may have added runs
    key = record.key or _free_key(set(dataset.list_runs()), record)
    if not key.isidentifier():
        raise PluginError(f"{key!r} cannot name a run: use letters, digits and underscores.")
    if key in dataset.list_runs():
        raise PluginError(f"{dataset.name} has a run {key!r} already; choose another key.")
    record = replace(record, key=key, journal=str(ObjectId()))
    dataset.register_run(key, dataset.init_run(**_config(record)))
    return record


def save(collection: SampleCollection, record: RunRecord) -> None:
    """Write a record that the dataset already has."""
    dataset = collection._root_dataset
    if record.key not in dataset.list_runs():
        dataset.reload()
    dataset.update_run_config(record.key, dataset.init_run(**_config(record)))
    # The database knows it now.
    _UNSAVED.pop(record.journal, None)


def end(collection: SampleCollection, record: RunRecord, reason: str) -> RunRecord:
    """Record that a run has ended: finished, or interrupted for a reason.

    The database itself may be unreachable: we try twice, and this process remembers the end.
    """
    state: State = "interrupted" if reason else "finished"
    record = replace(record, state=state, reason=reason, finished=now(), seen=now())
    _UNSAVED[record.journal] = record  # `save` forgets it
    try:
        save(collection, record)
    except PyMongoError:
        time.sleep(_PAUSE)
        save(collection, record)
    return record


def reason_of(error: BaseException | None) -> str:
    """The reason why an exception ended a run; "" without one."""
    if error is None:
        return ""
    if isinstance(error, (GeneratorExit, KeyboardInterrupt)):
        return "It was stopped."
    return (str(error) or type(error).__name__)[:REASON_LIMIT]


def journals_in_use() -> list[str]:
    """The journals of all runs of all datasets."""
    return [str(journal) for journal in _documents().distinct("config.journal")]


def is_alive(record: RunRecord) -> bool:
    """Whether the process of a run still exists; on another host: whether it wrote recently."""
    host, pid, start = record.process
    # A process on another machine cannot be looked up.
    if host != socket.gethostname():
        return not is_silent(record)
    try:
        # The start counts too, because process ids are reused.
        return bool(abs(psutil.Process(pid).create_time() - start) < 1)
    except psutil.NoSuchProcess:
        return False


def is_silent(record: RunRecord) -> bool:
    """Whether a run has not written for ten minutes."""
    return datetime.now(timezone.utc) - datetime.fromisoformat(record.seen) >= _SILENCE


def _documents() -> Any:
    return foo.get_db_conn().runs


def _free_key(taken: set[str], record: RunRecord) -> str:
    moment = datetime.fromisoformat(record.started).strftime("%Y%m%d_%H%M%S")
    key = f"{record.operator}_{moment}"
    numbered = (f"{key}_{number}" for number in itertools.count(2))
    return next(free for free in itertools.chain([key], numbered) if free not in taken)


def _config(record: RunRecord) -> dict[str, Any]:
    values = record.to_dict()
    del values["key"]  # FiftyOne may rename it
    return {"method": METHOD + record.operator, **values}


def _record(document: Mapping[str, Any]) -> RunRecord:
    key = document["key"]
    try:
        record = _READER.validate_python({**document["config"], "key": key})
    except ValidationError as error:
        raise PluginError(
            f"The record of the run {key!r} is damaged or from a newer pam-labeling: update the "
            f"plugin, or remove the record with dataset.delete_run({key!r}); its values then stay."
        ) from error
    if record.state != "running":
        return record
    if record.journal in _UNSAVED:
        return replace(_UNSAVED[record.journal], key=key)
    return record if is_alive(record) else replace(record, state="interrupted", reason=_GONE)
