"""Django settings, read from environment variables.

The defaults run on loopback only, with SQLite, files and an embedded broker under var/. A wrong or unsafe value
prevents the start. docs/settings.md explains each variable.
"""

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

import ml
from ml.data.image_limits import MAX_BYTES
from portal import data_folder, database_settings, env, openapi, secret_key, storage_settings

BASE_DIR = Path(__file__).resolve().parent.parent
# The folder of installed packages is no place for data.
IS_CHECKOUT = (BASE_DIR / "manage.py").exists()
_default_data_dir = BASE_DIR / "var" if IS_CHECKOUT else Path.home() / ".local/share/callus"
DATA_DIR = Path(env.text("CALLUS_DATA_DIR") or _default_data_dir).resolve()
FILE_UPLOAD_TEMP_DIR = DATA_DIR / "incoming"
BROKER_DIR = DATA_DIR / "broker"
data_folder.prepare(DATA_DIR, [FILE_UPLOAD_TEMP_DIR, BROKER_DIR / "messages", BROKER_DIR / "control"])
VERSION = ml.__version__

# The public address of the portal, from which hosts, CSRF, cookies and links in emails are derived.
PUBLIC_URL = env.text("PUBLIC_URL").rstrip("/")
LOOPBACK_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
_public = urlsplit(PUBLIC_URL)
if PUBLIC_URL and (_public.scheme not in ("http", "https") or not _public.hostname):
    raise ImproperlyConfigured(
        f"PUBLIC_URL must look like https://callus.example.org, received {PUBLIC_URL!r}."
    )
# PUBLIC_URL without its path.
PUBLIC_ORIGIN = f"{_public.scheme}://{_public.netloc}" if PUBLIC_URL else ""
IS_PUBLIC = bool(PUBLIC_URL) and _public.hostname not in ("127.0.0.1", "localhost", "::1")
IS_TLS = _public.scheme == "https"
ALLOWED_HOSTS = [*LOOPBACK_HOSTS, *([_public.hostname] if IS_PUBLIC and _public.hostname else [])]
CSRF_TRUSTED_ORIGINS = [PUBLIC_ORIGIN] if PUBLIC_URL else []
FORCE_SCRIPT_NAME = _public.path or None

DEBUG = env.flag("DEBUG")
if DEBUG and IS_PUBLIC:
    raise ImproperlyConfigured(
        "DEBUG shows internals to everyone, so it cannot be combined with a public PUBLIC_URL. Unset one of them."
    )

SECRET_KEY = env.text("SECRET_KEY")
if SECRET_KEY:
    secret_key.check_strength(SECRET_KEY)
elif IS_PUBLIC:
    raise ImproperlyConfigured("SECRET_KEY must be set when PUBLIC_URL is public.")
else:
    SECRET_KEY = secret_key.read_or_create(DATA_DIR / "secret_key")

INSTALLED_APPS = [
    "portal.accounts",
    "portal.operations",
    "classifier.core",
    "classifier.registry",
    "classifier.radiographs",
    "classifier.reviews",
    "classifier.datasets",
    "classifier.training",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "rest_framework",
]

MIDDLEWARE = [
    "portal.middleware.TraceMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "portal.middleware.NoStoreMiddleware",
    "portal.middleware.RetryAfterMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "portal.middleware.StorageErrorMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "portal/templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context.portal",
            ],
        },
    },
]

DATABASES = {
    "default": database_settings.database(env.text("DATABASE_URL"), env.text("DATABASE_PASSWORD"), DATA_DIR)
}
# Failed sign-ins and throttles are counted in the database, because all web processes on all hosts share it and every
# page needs it anyway.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "callus_cache",
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    },
    "process": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "process"},
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEST_RUNNER = "django.test.runner.DiscoverRunner"

# Files: a folder that the web server does not serve, or a bucket.
FILES_DIR = DATA_DIR / "files"
STORAGES = {
    "default": storage_settings.storage(env.text("STORAGE_URL"), FILES_DIR),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Absolute, because Django would prefix a relative URL before the first request sets the script name.
STATIC_URL = f"{FORCE_SCRIPT_NAME or ''}/static/"
STATICFILES_DIRS = [BASE_DIR / "portal/static"]
WHITENOISE_USE_FINDERS = True
FILE_UPLOAD_HANDLERS = [
    "portal.uploads.SizeLimitUploadHandler",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "portal.uploads.UnnamedFileUploadHandler",
]
UPLOAD_MAX_BYTES = MAX_BYTES
UPLOADS_PER_DAY = env.number("UPLOADS_PER_DAY", 5000, minimum=0)
RADIOGRAPHS_PER_USER = env.number("RADIOGRAPHS_PER_USER", 100_000, minimum=0)
# Refuses X-rays into which text seems to be drawn, instead of warning the sender.
REFUSE_TEXT_IN_IMAGES = env.flag("REFUSE_TEXT_IN_IMAGES")
TRASH_DAYS = env.number("TRASH_DAYS", 30, minimum=0)
# Limit of an uploaded data set zip.
DATASET_MAX_BYTES = env.number("CALLUS_DATASET_MAX_MB", 2048) * 1024**2

# Accounts
AUTH_USER_MODEL = "core.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": name, "OPTIONS": options}
    for name, options in {
        "django.contrib.auth.password_validation.UserAttributeSimilarityValidator": {},
        "django.contrib.auth.password_validation.MinimumLengthValidator": {"min_length": 10},
        "django.contrib.auth.password_validation.CommonPasswordValidator": {},
        "django.contrib.auth.password_validation.NumericPasswordValidator": {},
        "portal.accounts.passwords.RevokesTokens": {},
    }.items()
]
SIGN_UP = env.choice("SIGN_UP", ("open", "closed"))
ACCOUNT_ADAPTER = "portal.accounts.adapter.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "portal.accounts.forms.SignInForm",
    "signup": "portal.accounts.forms.SignUpForm",
}
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Callus] "
# Five wrong passwords or codes lock a username for five minutes; ten within a minute lock an IP address.
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/5m/key"}
# Changing the email address requires the password, because the address receives password reset links.
ACCOUNT_REAUTHENTICATION_REQUIRED = True
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Callus"
# Email addresses are not verified, and two-factor authentication does not need them.
MFA_ALLOW_UNVERIFIED_EMAIL = True
# The number of proxies whose X-Forwarded-For header is trusted. With TLS there is always one, which terminates it.
TRUSTED_PROXIES = env.number("TRUSTED_PROXIES", 1 if IS_TLS else 0, minimum=0)
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXIES
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "upload"

# Email is printed to the console unless EMAIL_HOST is set.
EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_PORT = env.number("EMAIL_PORT", 587)
EMAIL_HOST_USER = env.text("EMAIL_USER")
EMAIL_HOST_PASSWORD = env.text("EMAIL_PASSWORD")
EMAIL_USE_TLS = env.flag("EMAIL_TLS", default=True)
# Pages write mails to the database, and workers deliver them.
EMAIL_BACKEND = "portal.accounts.mail.QueueBackend"
EMAIL_DELIVERY_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'console'}.EmailBackend"
EMAIL_TIMEOUT = env.number("EMAIL_TIMEOUT", 20)
DEFAULT_FROM_EMAIL = env.text("EMAIL_FROM", f"callus@{_public.hostname or 'localhost'}")

# REST API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "classifier.core.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["classifier.core.api.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "classifier.core.api.negotiation.AnyMediaType",
    "DEFAULT_PAGINATION_CLASS": "classifier.core.api.pagination.PageNumberPagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": "classifier.core.api.metadata.NameAndDescription",
    "EXCEPTION_HANDLER": "classifier.core.api.errors.handle_exception",
    "DEFAULT_THROTTLE_CLASSES": [
        "classifier.core.api.throttles.ReadThrottle",
        "classifier.core.api.throttles.WriteThrottle",
    ],
    "NUM_PROXIES": TRUSTED_PROXIES,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
API_READS_PER_MINUTE = env.number("API_READS_PER_MINUTE", 3000)
API_WRITES_PER_MINUTE = env.number("API_WRITES_PER_MINUTE", 1200)
REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer", "TOKEN_TTL": timedelta(days=env.number("TOKEN_DAYS", 30))}
SPECTACULAR_SETTINGS = {
    "TITLE": "Callus",
    "DESCRIPTION": "Finds fractures on bone X-rays. An answer is not a diagnosis.",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "COMPONENT_SPLIT_REQUEST": True,  # uploads have other types in requests than in responses
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "classifier.core.api.schema.refuse_null_characters",
        "classifier.core.api.schema.refuse_unknown_fields",
    ],
    "SERVERS": [{"url": FORCE_SCRIPT_NAME}] if FORCE_SCRIPT_NAME else [],
    "AUTHENTICATION_WHITELIST": ["classifier.core.api.authentication.TokenAuthentication"],
    "ENUM_NAME_OVERRIDES": openapi.ENUM_NAMES,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# Celery: Redis, or the filesystem under var/broker. With both, the database is the source of truth.
REDIS_URL = env.redis_url("REDIS_URL")
WORKER_ROLE = env.text("CALLUS_ROLE", "web")
CELERY_BROKER_URL = REDIS_URL or "filesystem://localhost//"
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {
        "visibility_timeout": env.number("CALLUS_VISIBILITY_SECONDS", 600),
        # The index of unacknowledged messages is shared by default, so the timeout of one role would redeliver
        # the running tasks of another.
        "unacked_key": f"unacked.{WORKER_ROLE}",
        "unacked_index_key": f"unacked_index.{WORKER_ROLE}",
        "unacked_mutex_key": f"unacked_mutex.{WORKER_ROLE}",
        "socket_connect_timeout": 1,
        "socket_timeout": 1 if WORKER_ROLE == "web" else 30,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }
    if REDIS_URL
    else {
        "data_folder_in": str(BROKER_DIR / "messages"),
        "data_folder_out": str(BROKER_DIR / "messages"),
        "control_folder": str(BROKER_DIR / "control"),
        # Half of it is added to the time of an answer. An idle worker uses 1.5% of a processor to look this often.
        "polling_interval": 0.02,
    }
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_max": 0}
# A message is acknowledged after its task is done, so a task can be delivered more than once. Each job checks in the
# database whether there is anything to do.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# By default Celery closes the database connection before and after each task. Opening one in PostgreSQL costs more
# than a prediction. portal/celery.py closes it under the same conditions as Django.
CELERY_DB_REUSE_MAX = 2**31
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = "predict"
CELERY_TASK_ROUTES = {
    "radiographs.predict_next": {"queue": "predict"},
    "datasets.build": {"queue": "train"},
    "training.train": {"queue": "train"},
    "training.compare": {"queue": "train"},
    "training.recalibrate": {"queue": "train"},
    "accounts.send_mail": {"queue": "sweep"},
    "operations.sweep": {"queue": "sweep"},
    "training.follow_schedule": {"queue": "sweep"},
    "operations.purge": {"queue": "sweep"},
    "operations.send_canaries": {"queue": "sweep"},
}
CELERY_TIMEZONE = "UTC"
SWEEP_SECONDS = env.number("CALLUS_SWEEP_SECONDS", 5)
# How often the retraining schedule is checked.
SCHEDULE_SECONDS = env.number("CALLUS_SCHEDULE_SECONDS", 300)
# How often a test task is sent through each queue, and by each idle worker to itself.
CANARY_SECONDS = env.number("CALLUS_CANARY_SECONDS", 15)

# A worker that does not renew its lease for this long loses its claim on a prediction.
LEASE_SECONDS = env.number("CALLUS_LEASE_SECONDS", 60)
PREDICTION_PROCESSES = env.number("CALLUS_PREDICTION_PROCESSES", 2)
# Users wait for predictions, not for training, so training runs at a lower priority.
TRAINING_NICENESS = env.number("CALLUS_TRAINING_NICENESS", 10, minimum=0, maximum=19)

# The bearer token with which Prometheus reads /metrics.
METRICS_TOKEN = env.text("METRICS_TOKEN")

# Security
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_TLS
# Other applications of the same host, under other paths, do not receive the cookies.
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{FORCE_SCRIPT_NAME or ''}/"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_TLS else None
SECURE_SSL_REDIRECT = IS_TLS
# Called within the host or cluster, not through the proxy. The path may start with that of PUBLIC_URL.
SECURE_REDIRECT_EXEMPT = [r"(^|/)(livez|readyz|metrics)$"]
SECURE_HSTS_SECONDS = 31_536_000 if IS_TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = False
# Not set, because other hosts of the domain may not support TLS.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

LANGUAGE_CODE = "en"
TIME_ZONE = env.time_zone("TIME_ZONE", "UTC")
USE_TZ = True
USE_I18N = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "portal.logs.KeyValueFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "celery": {"level": "WARNING"},
        # Its warnings contain the URLs of refused requests, which may contain a token.
        "django.request": {"level": "ERROR"},
        "django.server": {"level": "ERROR"},
        # Scanners ask for unknown hosts all the time, and get 400.
        "django.security.DisallowedHost": {"level": "CRITICAL"},
    },
}
