"""Who may: the permissions of the retraining loop, and the groups that hold them by default."""

VIEW = "classifier.view_model"
REVIEW = "classifier.review_radiograph"
TRAIN = "classifier.train_model"
PROMOTE = "classifier.promote_model"

DEFAULT_GROUPS = {
    "Reviewers": (REVIEW,),
    "Trainers": (VIEW, REVIEW, TRAIN, PROMOTE),
}
