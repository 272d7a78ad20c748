"""What gunicorn serves."""

# First, because it sets Django up.
from portal.wsgi import application as django_application  # isort: split

from portal.server.app import Application

application = Application(django_application)
