import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
application = get_wsgi_application()
# Imports the pages now, before gunicorn forks its workers, instead of in each of them at its first request.
get_resolver().url_patterns  # noqa: B018
