"""The Redis broker: Celery's transport, in which a worker outlives the loss of its broker in the middle of a task.

The library closes the lost connection, and then wants to acknowledge or give back over it what the worker still holds.
It meets no server where it looks for its address, and that error ends the worker; a lost connection does not.
"""

from typing import Any

from kombu.transport import redis
from redis import exceptions


class Channel(redis.Channel):  # type: ignore[misc]
    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection is None or self.connection.client is None:
            # Redis still holds the message, and delivers it again; its job finds nothing to do.
            raise exceptions.ConnectionError("This connection to the broker is closed.")
        return dict(super()._connparams(asynchronous))  # type: ignore[misc]


class Transport(redis.Transport):  # type: ignore[misc]
    Channel = Channel
