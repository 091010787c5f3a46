"""Producer -> broker: the settings with which the API and the command lines answer instead of wait.

A worker rides an outage out; whoever has a person or a proxy waiting must say "unavailable" at once: with the workers'
settings a publish to a hung Redis returned after 52 s.
"""

from __future__ import annotations

from celery import Celery
from celery.exceptions import BackendError
from kombu.exceptions import OperationalError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from app.config import Settings
from app.runtime.servers import Access, connect

# What a broker, backend or store that is down, hung, full or read-only raises.
UNAVAILABLE: tuple[type[Exception], ...] = (OperationalError, RedisError, BackendError, ConnectionError, TimeoutError)


def access(settings: Settings) -> Access:
    """Return what the URLs of `settings` need beside themselves."""
    return Access(
        sentinel_master=settings.sentinel_master,
        sentinel_password=settings.sentinel_password,
        ca_file=settings.ca_file,
    )


def fail_fast(app: Celery, seconds: float, connections: int) -> None:
    """Make `app` give up on Redis after `seconds` per command, on at most `connections` broker connections.

    Call it before the first connection. Publishing subscribes to no result channel any more: Celery keeps one per
    task in the publishing process, and one that never asks for results grows without bound.
    """
    app.conf.update(
        broker_transport_options={
            **app.conf.broker_transport_options,
            "socket_timeout": seconds,
            "socket_connect_timeout": seconds,
            # Kombu's own connecting, apart from publishing, otherwise repeats with pauses; 0 would mean for ever.
            "max_retries": 1,
            "interval_start": 0,
        },
        broker_pool_limit=connections,
        broker_connection_timeout=seconds,
        task_publish_retry=False,
        redis_socket_timeout=seconds,
        redis_socket_connect_timeout=seconds,
        redis_retry_on_timeout=False,
        result_backend_always_retry=False,
        # One backend, and so one connection pool, for all threads.
        result_backend_thread_safe=True,
    )
    backend = app._get_backend()
    backend.on_task_call = lambda producer, task_id: None
    app._backend = backend


def redis_client(url: str, access: Access, seconds: float) -> Redis:
    """Return a client whose commands end within `seconds`; redis-py's own default retries for seconds more."""
    return connect(
        url,
        access,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        socket_keepalive=True,
        # One repeat heals a connection that Redis closed by restarting. A timeout is not repeated.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )
