import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from classifier.online_indexes import AddIndex, RemoveForeignKeyIndex, RemoveIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('classifier', '0005_fill_prediction_owner'),
    ]

    # First what is new: what is removed is in use until then.
    operations = [
        AddIndex(
            model_name='notification',
            index=models.Index(condition=models.Q(('read_at', None)), fields=['user', '-id'], name='notification_unread'),
        ),
        AddIndex(
            model_name='prediction',
            index=models.Index(condition=models.Q(('state', 'queued')), fields=['turn', 'created_at'], name='prediction_waiting'),
        ),
        AddIndex(
            model_name='prediction',
            index=models.Index(condition=models.Q(('state', 'running')), fields=['lease_until'], name='prediction_running'),
        ),
        AddIndex(
            model_name='prediction',
            index=models.Index(condition=models.Q(('finished_at__isnull', False)), fields=['finished_at'], name='prediction_done'),
        ),
        AddIndex(
            model_name='prediction',
            index=models.Index(fields=['owner', 'class_name', 'state', 'radiograph'], name='prediction_search'),
        ),
        AddIndex(
            model_name='prediction',
            index=models.Index(condition=models.Q(('batch__isnull', False)), fields=['batch'], name='prediction_batch'),
        ),
        AddIndex(
            model_name='radiograph',
            index=models.Index(fields=['owner', '-created_at', '-id', 'deleted_at', 'name'], name='radiograph_own'),
        ),
        AddIndex(
            model_name='radiograph',
            index=models.Index(fields=['-created_at', '-id'], name='radiograph_newest'),
        ),
        AddIndex(
            model_name='radiograph',
            index=models.Index(condition=models.Q(('deleted_at__isnull', False)), fields=['owner', '-deleted_at', '-id'], name='radiograph_own_trash'),
        ),
        RemoveIndex(
            model_name='auditentry',
            name='audit_subject',
        ),
        RemoveIndex(
            model_name='prediction',
            name='prediction_class',
        ),
        RemoveIndex(
            model_name='prediction',
            name='prediction_turn',
        ),
        RemoveIndex(
            model_name='prediction',
            name='prediction_finished',
        ),
        RemoveIndex(
            model_name='radiograph',
            name='radiograph_history',
        ),
        RemoveForeignKeyIndex(
            model_name='notification',
            name='user',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='notifications', to=settings.AUTH_USER_MODEL),
        ),
        RemoveForeignKeyIndex(
            model_name='prediction',
            name='batch',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='predictions', to='classifier.predictionbatch'),
        ),
        RemoveForeignKeyIndex(
            model_name='prediction',
            name='model_version',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='predictions', to='classifier.modelversion'),
        ),
        RemoveForeignKeyIndex(
            model_name='prediction',
            name='radiograph',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='predictions', to='classifier.radiograph'),
        ),
        RemoveForeignKeyIndex(
            model_name='radiograph',
            name='owner',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='radiographs', to=settings.AUTH_USER_MODEL),
        ),
        RemoveForeignKeyIndex(
            model_name='review',
            name='radiograph',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='reviews', to='classifier.radiograph'),
        ),
    ]
