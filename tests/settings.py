"""The portal's own settings on an empty data folder; passwords are quick to check, attempts counted in memory."""

import atexit
import os
import shutil
import tempfile

for name in ("DEBUG", "EMAIL_HOST", "PUBLIC_URL", "REDIS_URL", "SIGN_UP", "STORAGE_URL"):
    os.environ.pop(name, None)
os.environ["CALLUS_DATA_DIR"] = tempfile.mkdtemp(prefix="callus-test-")
atexit.register(shutil.rmtree, os.environ["CALLUS_DATA_DIR"], ignore_errors=True)

from portal.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CACHES = {**CACHES, "default": CACHES["process"]}  # noqa: F405
if not os.environ.get("DATABASE_URL"):
    # A file, as users have it: in memory, SQLite refuses two writers at once instead of letting one wait.
    DATABASES["default"]["TEST"] = {"NAME": f"{os.environ['CALLUS_DATA_DIR']}/test.sqlite3"}  # noqa: F405
# Else each test client would list all static files anew when it is made.
WHITENOISE_AUTOREFRESH = True
