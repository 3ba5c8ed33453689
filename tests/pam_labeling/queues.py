"""Steps to queue, and a worker that does them."""

from __future__ import annotations

import threading


def steps(log, name, count=1, result=None):
    for step in range(count):
        log.append(f"{name}{step}")
        yield
    return result


def worker(queue):
    thread = threading.Thread(target=queue.work)
    thread.start()
    return thread


def finish(queue, *jobs):
    """Work until the jobs are over."""
    thread = worker(queue)
    for job in jobs:
        job.future.exception(timeout=20)
    queue.close()
    thread.join(20)
