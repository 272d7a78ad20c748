"""The Redis broker: Celery's transport, changed so that a worker survives losing the broker during a task.

Kombu closes the lost connection and then uses it to acknowledge or reject the messages that the worker still holds.
Reading the address of the closed connection raises an AttributeError, which ends the worker. Celery handles a
ConnectionError and reconnects.
"""

from typing import Any

from kombu.transport import redis
from redis import exceptions


class Channel(redis.Channel):  # type: ignore[misc]
    """Raises ConnectionError when it is used after its connection was closed."""

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection is None or self.connection.client is None:
            # Redis still has the message and redelivers it. The job then finds nothing to do.
            raise exceptions.ConnectionError("This connection to the broker is closed.")
        return dict(super()._connparams(asynchronous))  # type: ignore[misc]


class Transport(redis.Transport):  # type: ignore[misc]
    """The Redis transport with this channel."""

    Channel = Channel
