from django.urls import path

from classifier.reviews import views

urlpatterns = [
    path("radiographs/<uuid:radiograph_id>/", views.show, name="radiograph"),
    path("radiographs/<uuid:radiograph_id>/answer/", views.answer, name="radiograph_answer"),
    path(
        "radiographs/<uuid:radiograph_id>/review/<uuid:prediction_id>/",
        views.review,
        name="review_radiograph",
    ),
    path(
        "radiographs/<uuid:radiograph_id>/adjudicate/<uuid:prediction_id>/",
        views.decide,
        name="adjudicate_radiograph",
    ),
    path("reviews/", views.worklist, name="worklist"),
]
