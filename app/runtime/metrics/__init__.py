"""Worker, beat, API -> Prometheus: what happens to tasks, counted where it is known, on a page of the process itself.

Everything about a message is known in the worker's main process, which gets it, hands it to the pool and hears how it
ended; so it is counted there, in plain memory, whatever becomes of pool processes. One fact is known in a pool process
alone: what a task published. Each pool process has 4 KiB of memory that it shares with the main process for that
(`shared.py`), and whoever follows it there counts on.

So there is no need of prometheus-client's multiprocess mode: no folder that may be full or read-only, no file for each
process that ever lived, none to clean up, and a page does not read and parse them all. The numbers are not
prometheus-client's objects either, of which every update takes a lock that a fork can leave locked for ever: its part
is the text of the page and the server.

Nothing here disturbs a task: what fails is said once, in a sentence, and not counted.
"""

from app.runtime.metrics.page import serve_beat, serve_producer, serve_worker
from app.runtime.metrics.tasks import LEFT, buried, follow

__all__ = ["LEFT", "buried", "follow", "serve_beat", "serve_producer", "serve_worker"]
