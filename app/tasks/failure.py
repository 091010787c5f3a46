"""Worker -> store: what happens when a task of a flow has failed for good.

Celery calls an errback of three arguments inline, on a hard time limit in the worker's main process and twice. So
`on_task_failure` is one bounded, repeatable write; work that takes time belongs into an errback of one argument,
which Celery publishes as a task.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from app.celery_app import app
from app.config import settings
from app.store import store
from app.tasks._http import post

logger = logging.getLogger(__name__)

# Characters of an exception's text that are kept.
_MESSAGE = 1000


@app.task(name="tasks.on_task_failure")
def on_task_failure(request: Any, exc: Any, traceback: Any) -> None:
    """Record a failed task among the newest 1000 failures (for link_error, called inline by Celery).

    A second call for the same task replaces the first. Never raises.
    """
    try:
        failure = {
            "task_id": str(request.id),
            "task": str(getattr(request, "task", "") or ""),
            "error": type(exc).__name__,
            "message": str(exc)[:_MESSAGE],
            "args": json.loads(json.dumps(getattr(request, "args", None) or [], default=repr)),
        }
        # It may stand in the worker's main loop, which must not wait.
        store(patient=False).record_failure(failure["task_id"], failure)
        logger.warning("Task %s failed for good: %s", failure["task_id"], failure["error"])
    except Exception:
        # In the worker's main process; the task's own failure is stored and logged by Celery already.
        logger.exception("A failure could not be recorded")


@app.task(name="tasks.report_failure", bind=True, max_retries=3, default_retry_delay=60)
def report_failure(self: Any, task_id: str) -> dict[str, str]:
    """Tell the operators about a failed task through the notification webhook (for link_error, runs as a task).

    Returns {"status": "reported" or "logged", "task_id"}: without NOTIFICATION_WEBHOOK_URL it is only logged.
    Raises HttpRefused; retries on ConnectionError and TimeoutError.
    """
    failure = store().failure(task_id) or {"task": "", "error": "unknown", "message": ""}
    message = f"Task {failure['task']} [{task_id}] failed: {failure['error']}: {failure['message']}"
    logger.error(message)
    if not settings.webhook_url:
        return {"status": "logged", "task_id": task_id}
    try:
        post(settings.webhook_url, {"user_id": "operators", "message": message}, key=f"failure:{task_id}")
    except (ConnectionError, TimeoutError) as error:
        raise self.retry(exc=error) from None
    return {"status": "reported", "task_id": task_id}
