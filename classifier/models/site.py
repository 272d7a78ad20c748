from django.db import models


class Site(models.Model):
    """A hospital, ward or practice whose people use this portal.

    X-rays of its people become training data only if it allows that.
    """

    name = models.CharField(max_length=200, unique=True)
    allows_training = models.BooleanField(
        default=False,
        help_text="Reviewed X-rays that this site's people sent may become part of a data set version.",
    )

    def __str__(self) -> str:
        return self.name
