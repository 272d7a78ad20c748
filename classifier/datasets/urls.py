from django.urls import path

from classifier.datasets import views

urlpatterns = [
    path("datasets/", views.overview, name="dataset_versions"),
    path("datasets/upload/", views.upload, name="upload_dataset"),
    path("datasets/from-reviews/", views.from_reviews, name="dataset_from_reviews"),
    path("datasets/<int:dataset_id>/", views.show, name="dataset_version"),
    path("datasets/<int:dataset_id>/progress/", views.progress, name="dataset_progress"),
    path("datasets/<int:dataset_id>/image/", views.image, name="dataset_image"),
]
