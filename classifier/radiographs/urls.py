from django.urls import path

from classifier.radiographs.views import history, pictures, predict_again, trash, upload

urlpatterns = [
    path("", upload.upload, name="upload"),
    path("radiographs/", history.history, name="history"),
    path("radiographs/answers/", history.answers, name="answers"),
    path("radiographs/delete/", history.delete, name="delete_radiographs"),
    path("radiographs/trash/", trash.show, name="trash"),
    path("radiographs/<uuid:radiograph_id>/restore/", trash.restore, name="restore_radiograph"),
    path("radiographs/<uuid:radiograph_id>/remove/", trash.remove, name="remove_radiograph"),
    path("radiographs/<uuid:radiograph_id>/retry/", predict_again.retry, name="retry_radiograph"),
    path("radiographs/<uuid:radiograph_id>/image/", pictures.image, name="radiograph_image"),
    path("radiographs/<uuid:radiograph_id>/thumbnail/", pictures.thumbnail, name="radiograph_thumbnail"),
    path("predictions/again/", predict_again.again, name="predict_again"),
    path("predictions/batches/<int:batch_id>/", predict_again.show, name="prediction_batch"),
    path("predictions/batches/<int:batch_id>/progress/", predict_again.progress, name="batch_progress"),
]
