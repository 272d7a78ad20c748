from django.urls import path

from classifier.registry import views

urlpatterns = [
    path("models/", views.overview, name="model_versions"),
    path("models/<int:number>/", views.show, name="model_version"),
    path("models/<int:number>/report/", views.report, name="model_report"),
]
