"""The example application: what a producer sends, a worker runs and beat schedules.

Replace `app/tasks/` with your own; keep `app/runtime/`, which makes any Celery application operable.
"""

__version__ = "0.1.0"
