import uuid

from django.db import migrations
from django.db.models import OuterRef, Subquery

AT_ONCE = 5000


def fill(apps, schema_editor):
    """A few thousand rows at a time, so that nobody waits for long; may be cut off and run again."""
    Prediction, Radiograph = apps.get_model('classifier', 'Prediction'), apps.get_model('classifier', 'Radiograph')
    owner = Radiograph.objects.filter(id=OuterRef('radiograph')).values('owner')
    last = uuid.UUID(int=0)
    while ids := list(Prediction.objects.filter(id__gt=last).order_by('id').values_list('id', flat=True)[:AT_ONCE]):
        Prediction.objects.filter(id__in=ids, owner=None).update(owner=Subquery(owner))
        last = ids[-1]


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('classifier', '0004_prediction_owner'),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
