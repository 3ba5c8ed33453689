"""Write the results of a run, a few hundred regions at a time.

Each flush reads the old values (one query), writes them to the journal, and then sets all values of
a document by one operation. If it is killed between these steps, every document holds all of a
flush or nothing of it, and the journal holds at least the changed values: `undo_run` restores them,
and another run can do the rest. Memory depends on the size of a flush, not on the dataset.
"""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from bson import ObjectId
from cachetools import FIFOCache
from mongoengine.errors import ValidationError

from ..errors import PluginError
from ..labels import fields
from ..labels.fields import Attribute
from ..targets.copies import refresh_copies
from . import records
from .bulk_write import DELETED, Pending, flush
from .journal import Journal, collect
from .records import KEPT_FAILURES, RunRecord, SampleFailure
from .schema import check_present
from .summaries import Summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    import fiftyone as fo
    from fiftyone.core.collections import SampleCollection

    from .authorship import Authorship

ERROR = Attribute("pam_error", "text", "Why PAM's last run on this sample failed.")
_FLUSH_BYTES = 16 * 1024 * 1024
_RECENT = 1000


class RunWriter:
    """Declares the attributes of one run on one field of labels, writes them, and records the run.

    Use it in a `with` block. Leaving the block writes the pending values, and marks the run as
    finished, or as interrupted if an exception (or closing a generator) leaves it.

    Ids of samples are those of the source dataset, even if the collection is a view of patches; if
    the field is one of frames, they are ids of frames.

    Args:
        collection: a dataset or view. Nothing in it is changed before the `with` block.
        field_name: the field of labels, as the collection names it.
        operator: the operator's name, such as `"caption_regions"`.
        attributes, sample_attributes: the attributes to write onto labels, and onto samples.
        create, description: the type (such as `fo.Detections`) and the description of the field,
            if it may be missing.
        parameters: the parameters to record, in JSON's types.
        model, version: the checkpoint's name, and the version of pam-labeling.
        key: the run's name; by default the operator and the time.
        flush_regions, flush_seconds: the number of regions, and the time, after which to flush.

    Attributes:
        record: the run's record as of the last flush.

    Raises:
        PluginError: the field, a name or a type cannot be used.
    """

    def __init__(
        self,
        collection: SampleCollection,
        field_name: str,
        *,
        operator: str,
        attributes: Sequence[Attribute] = (),
        sample_attributes: Sequence[Attribute] = (),
        create: type[fo.Label] | None = None,
        description: str = "",
        parameters: Mapping[str, Any] | None = None,
        model: str = "",
        version: str = "",
        key: str = "",
        flush_regions: int = 500,
        flush_seconds: float = 10.0,
    ) -> None:
        self._collection = collection
        self._place = fields.label_field(collection, field_name, create)
        self._dataset, root = self._place.dataset, self._place.schema_root
        self._missing: dict[str, fields.Declaration] = {
            **fields.undeclared_labels(self._place, create, description),
            **fields.undeclared(self._place, attributes),
            **fields.undeclared(self._place, sample_attributes, on_samples=True),
        }
        self._flush_regions = flush_regions
        self._flush_seconds = flush_seconds
        self.record = RunRecord(
            key=key,
            operator=operator,
            parameters=dict(parameters or {}),
            model=model,
            version=version,
            field=field_name,
            started=records.now(),
            declared=tuple(self._missing),
            paths=(
                *([root] if create is not None else ()),
                *(f"{root}.{attribute.name}" for attribute in attributes),
                *(self._place.field_path(attribute.name) for attribute in sample_attributes),
            ),
            process=records.this_process(),
            seen=records.now(),
        )
        self._field_of = functools.cache(self._dataset.get_field)
        self._pending: dict[ObjectId, Pending] = {}
        self._regions = self._bytes = 0
        self._last_flush = time.monotonic()
        self._last_results: set[ObjectId] = set()
        self._recently_failed: FIFOCache[ObjectId, None] = FIFOCache(_RECENT)
        self._failure: BaseException | None = None
        self._authorship: Authorship | None = None

    def __enter__(self) -> RunWriter:
        # The plugin is not notified when runs and datasets are deleted, so it removes their
        # journals when a run begins.
        collect(records.journals_in_use)
        self.record = records.register(self._collection, self.record)
        try:
            self._journal = Journal(self.record.journal)
            self._declare(self._missing)
        except BaseException as error:
            self._end(error)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._failure is None:  # else pending values are not written
                self.flush()
        finally:
            self._end(self._failure or error)
        if self._collection._dataset is not self._dataset:  # patches and frames are copies
            refresh_copies(self._collection)

    def _end(self, error: BaseException | None) -> None:
        if not self._dataset.deleted:  # else its runs are deleted too
            self.record = records.end(self._collection, self.record, records.reason_of(error))

    def write(self, sample_id: str, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Set attributes of labels.

        Args:
            sample_id: the sample in the source dataset, or the frame.
            values: values by label id, then by attribute; None clears an attribute.

        Raises:
            PluginError: a value does not fit its attribute, or the field was renamed meanwhile.
        """
        root = self._place.schema_root
        found = {
            ObjectId(label): {
                name: self._for_mongo(f"{root}.{name}", value) for name, value in attributes.items()
            }
            for label, attributes in values.items()
        }
        pending = self._of(sample_id, *(each.values() for each in found.values()))
        for label, attributes in found.items():
            pending.labels.setdefault(label, {}).update(attributes)
        self._regions += len(values)
        self._flush_if_due()

    def summarise(self, name: str, attribute: str) -> None:
        """Keep a line for each label that has a text in a field of the samples.

        Samples whose labels get values get lines for all their labels, including other runs' texts.

        Args:
            name: the field, one of `sample_attributes`.
            attribute: the labels' attribute with the text.
        """
        summary = Summary(name, self._place.root, attribute, self._place.frames)
        self.record = replace(self.record, summary=summary)

    def keep(self, authorship: Authorship) -> None:
        """Leave what is a person's as it is, even if it was written while the run was going on."""
        self._authorship = authorship

    def count_kept(self, answers: int) -> None:
        """Record that answers of a person were not asked for again."""
        counts = self.record.counts
        self.record = replace(self.record, counts=replace(counts, kept=counts.kept + answers))

    def add_labels(self, sample_id: str, labels: Sequence[fo.Label]) -> None:
        """Append new labels to the field's list.

        Raises:
            PluginError: the field has no list.
        """
        if not self._place.in_list:
            raise PluginError(
                f"{self._place.name!r} holds one {self._place.label_class.__name__} for each "
                "sample, so none can be added; choose a field with a list of labels."
            )
        documents = [label.to_dict() for label in labels]
        self._of(sample_id, *(each.values() for each in documents)).added.extend(documents)
        self._regions += len(documents)
        self._flush_if_due()

    def fail(self, sample_id: str, reason: str, *, regions: int = 0) -> None:
        """Record why a sample, or this number of its labels, lacks results: see `pam_error`."""
        _id = ObjectId(sample_id)
        self._note_failure(_id, reason)
        counts = self.record.counts
        counts = replace(counts, failed_regions=counts.failed_regions + regions)
        self.record = replace(self.record, counts=counts)
        self._of(sample_id).fields[ERROR.name] = reason[: records.REASON_LIMIT]
        self._flush_if_due()

    def flush(self) -> None:
        """Write the pending values and the record; if that fails, the run cannot continue."""
        try:
            # Checked each time: people may rename fields during a run.
            check_present(self._place, self.record.paths)
            # Usually once; again if samples refused their values and get the reason instead.
            while self._pending:
                pending, self._pending = self._pending, {}
                self._regions = self._bytes = 0
                self._write(pending)
            self.record = replace(self.record, seen=records.now())
            records.save(self._collection, self.record)
            self._last_flush = time.monotonic()
        except BaseException as error:
            self._failure = error
            raise

    def _write(self, pending: dict[ObjectId, Pending]) -> None:
        if any(ERROR.name in one.fields for one in pending.values()):
            # The field is made when the first sample fails; recorded first, so undo knows it.
            missing = fields.undeclared(self._place, [ERROR], on_samples=True)
            self._add_path(self._place.field_path(ERROR.name), missing)
            self._declare(missing)
        outcome = flush(
            self._place,
            self._journal,
            pending,
            ERROR.name,
            self._recently_failed.keys(),
            self.record.summary,
            {} if self._authorship is None else self._authorship.held(pending),
        )
        counts = self.record.counts
        self.record = replace(
            self.record,
            counts=replace(
                counts,
                samples=counts.samples + len(outcome.results - self._last_results),
                regions=counts.regions + outcome.regions,
                added=counts.added + outcome.added,
                gone=counts.gone + outcome.gone,
                kept=counts.kept + outcome.kept,
            ),
        )
        self._last_results = outcome.results
        # This run changed the field: undo has to know.
        if outcome.cleared:
            self._add_path(self._place.field_path(ERROR.name), ())
        for document, reason in outcome.refused.items():
            self._note_failure(document, reason)
            if reason != DELETED:  # else there is no sample left for the reason
                self._of(str(document)).fields[ERROR.name] = reason

    def _declare(self, missing: Mapping[str, fields.Declaration]) -> None:
        try:
            fields.declare(self._dataset, missing)
        except ValueError as error:
            raise PluginError(f"FiftyOne refuses the run's fields: {error}") from error

    def _add_path(self, path: str, declared: Iterable[str]) -> None:
        if path not in self.record.paths:
            self.record = replace(
                self.record,
                declared=(*self.record.declared, *declared),
                paths=(*self.record.paths, path),
            )
            records.save(self._collection, self.record)

    def _note_failure(self, document: ObjectId, reason: str) -> None:
        counts = self.record.counts
        failure = SampleFailure(str(document), reason[: records.REASON_LIMIT])
        failures = (*self.record.failures, failure)[:KEPT_FAILURES]
        # A sample counts once, even if its labels fail in several flushes.
        if document not in self._recently_failed:
            counts = replace(counts, failed=counts.failed + 1)
        self.record = replace(self.record, counts=counts, failures=failures)
        self._recently_failed[document] = None

    def _flush_if_due(self) -> None:
        # We flush after some time too, so that a slow model loses little and the run seems alive.
        late = time.monotonic() - self._last_flush > self._flush_seconds
        if late or self._regions >= self._flush_regions or self._bytes >= _FLUSH_BYTES:
            self.flush()

    def _of(self, sample_id: str, *values: Iterable[Any]) -> Pending:
        """The pending values of a sample, whose size grows by these values."""
        pending = self._pending.setdefault(ObjectId(sample_id), Pending())
        size = sum(
            len(value) if isinstance(value, bytes | str) else 8 for each in values for value in each
        )
        pending.size += size
        self._bytes += size
        return pending

    def _for_mongo(self, path: str, value: Any) -> Any:
        """Convert a value to MongoDB's types.

        Raises:
            PluginError: it does not fit the path's type in the schema.
        """
        if value is None:
            return None
        field = self._field_of(path)
        if field is None:
            raise PluginError(f"{path!r} was not declared: name it when the run starts.")
        # MongoDB does not know NumPy's types.
        if isinstance(value, np.generic):
            value = value.item()
        try:
            field.validate(value)
        except ValidationError as error:
            raise PluginError(f"{value!r} does not fit {path!r}: {error}") from error
        return field.to_mongo(value)
