from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    name = "classifier.datasets"

    def ready(self) -> None:
        from classifier.datasets.models import DatasetVersion
        from classifier.reviews import classes

        classes.add_source(DatasetVersion.objects.newest_classes)
