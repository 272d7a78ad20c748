from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "classifier.training"
