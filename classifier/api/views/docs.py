"""The OpenAPI schema, and a page to browse it and try it out: no internet, no inline script, no inline style."""

from csp.decorators import csp_update
from django.utils.decorators import method_decorator
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation


class Schema(SpectacularAPIView):
    """As YAML or JSON, whichever is asked for."""

    content_negotiation_class = DefaultContentNegotiation


# Swagger UI shows an image that it received as a blob.
@method_decorator(csp_update({"img-src": ["blob:"]}), name="dispatch")
class Docs(SpectacularSwaggerSplitView):
    url_name = "api_schema"
    template_name = "api/docs.html"
