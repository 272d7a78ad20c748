from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.api.errors import NOTHING_HERE
from classifier.api.schema import PREDICTION_EXAMPLES, errors
from classifier.api.serializers import PredictionSerializer
from classifier.models import Prediction


class OnePrediction(APIView):
    @extend_schema(
        operation_id="prediction_retrieve",
        responses={200: PredictionSerializer, **errors(404)},
        examples=PREDICTION_EXAMPLES,
    )
    def get(self, request: Request, id: UUID) -> Response:
        """One model version's answer for one radiograph. It is finished when succeeded or failed.

        No answer is a diagnosis. The model tells kinds of fracture apart; it cannot say that a bone is whole.
        """
        long = ("saliency", "model_version__card", "model_version__report")
        slim = Prediction.objects.select_related("model_version").defer(*long)
        prediction = slim.one_for(request.user, id)
        if prediction is None:
            raise NotFound(NOTHING_HERE)
        return Response(PredictionSerializer(prediction).data)
