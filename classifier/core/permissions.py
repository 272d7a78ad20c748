"""The permissions for reviewing and retraining, and the default groups that have them.

classifier.radiographs.visibility decides which X-rays a user may see.
"""

VIEW = "registry.view_model"
REVIEW = "radiographs.review_radiograph"
TRAIN = "registry.train_model"
PROMOTE = "registry.promote_model"

DEFAULT_GROUPS = {
    "Reviewers": (REVIEW,),
    "Trainers": (VIEW, REVIEW, TRAIN, PROMOTE),
}
