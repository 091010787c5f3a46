"""`helm test`: a task through every queue, beat's last tick, and the health of Flower and the API.

Usage: round_trip.py APP SECONDS GROUP=QUEUE[,QUEUE] ... [--beat] [--get URL ...]. Ends with 1 and names what failed.
The task is celery.accumulate, which every Celery application has and which returns one of its arguments.
"""

import argparse
import sys
import time
import urllib.request

from celery.app.utils import find_app


def through_queues(app, queues, seconds):
    """Yield (name, failure or None) for each queue, by group."""
    deadline = time.monotonic() + seconds
    sent = [
        (group, queue, app.send_task("celery.accumulate", [queue], {"index": 0}, queue=queue))
        for group, queue in queues
    ]
    for group, queue, result in sent:
        name = f"queue {queue} of group {group}"
        try:
            answer = result.get(timeout=max(1.0, deadline - time.monotonic()))
        except Exception as error:
            yield name, f"{type(error).__name__}: {error}"
        else:
            yield name, None if answer == queue else f"the task answered {answer!r}"


def last_tick(app):
    """Return a failure or None: who ticks extends RedBeat's lock, so the lock's age is that of the tick."""
    try:
        from redbeat.schedulers import RedBeatConfig, get_redis
    except ImportError:
        print("  --    beat: no RedBeat in this image, and Celery's own scheduler shows no tick; not checked")
        return None
    config, deadline = RedBeatConfig(app), time.monotonic() + 30
    while (left := get_redis(app).pttl(config.lock_key)) < 0:
        if time.monotonic() > deadline:
            return f"nobody holds the lock {config.lock_key}: no beat ticks"
        time.sleep(0.5)
    age = config.lock_timeout - left / 1000
    return None if age < config.lock_timeout / 2 else f"the last tick is {age:.0f} s ago"


def answers(url):
    """Return a failure or None."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return None if answer.status == 200 else f"answers {answer.status}"
    except OSError as error:
        return str(error)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("app", help="as for celery --app")
    parser.add_argument("seconds", type=float, help="patience for all queues together")
    parser.add_argument("groups", nargs="+", metavar="GROUP=QUEUES")
    parser.add_argument("--beat", action="store_true", help="check beat's last tick, too")
    parser.add_argument("--get", action="append", default=[], metavar="URL", help="must answer 200")
    options = parser.parse_args(argv)
    app = find_app(options.app)
    groups = [group.partition("=") for group in options.groups]
    queues = [(group, queue) for group, _, names in groups for queue in names.split(",")]
    results = list(through_queues(app, queues, options.seconds))
    if options.beat:
        results.append(("beat", last_tick(app)))
    results += [(url, answers(url)) for url in options.get]
    for name, failure in results:
        print(f"  {'FAIL' if failure else 'ok  '}  {name}{': ' + failure if failure else ''}")
    failed = [name for name, failure in results if failure]
    if failed:
        sys.exit(f"{len(failed)} of {len(results)} checks failed: {', '.join(failed)}.")
    print(f"All {len(results)} checks passed.")


if __name__ == "__main__":
    main()
