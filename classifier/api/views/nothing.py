from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from classifier.api.errors import NOTHING_HERE, respond


@csrf_exempt
def nothing(request: HttpRequest) -> JsonResponse:
    """For addresses that do not exist."""
    if not request.path_info.endswith("/"):
        return respond(404, f"{NOTHING_HERE} The addresses of the API end with a slash.")
    return respond(404, NOTHING_HERE)
