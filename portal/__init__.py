import atexit
import gc

# Django and Celery are 130,000 objects that stay. By default Python searches them for garbage many times while it
# imports them and several times when it ends, which takes a third of the processor time of a start.
gc.set_threshold(50_000)
atexit.register(gc.freeze)

from portal.celery import app as celery_app  # noqa: E402

__all__ = ["celery_app"]
