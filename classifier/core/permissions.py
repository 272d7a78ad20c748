"""The permissions for reviewing and retraining, and the default groups that have them.

classifier.radiographs.visibility decides which X-rays a user may see.
"""

VIEW = "registry.view_model"
REVIEW = "radiographs.review_radiograph"
ADJUDICATE = "reviews.adjudicate_review"
TRAIN = "registry.train_model"
PROMOTE = "registry.promote_model"

DEFAULT_GROUPS = {
    "Reviewers": (REVIEW,),
    "Adjudicators": (REVIEW, ADJUDICATE),
    "Trainers": (VIEW, REVIEW, TRAIN, PROMOTE),
}
