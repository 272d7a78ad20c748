from django.apps import AppConfig


class RadiographsConfig(AppConfig):
    name = "classifier.radiographs"
