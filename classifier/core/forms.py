"""The form that filters the audit log."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms

from classifier.core.models import AuditEntry, AuditEntryQuerySet


class AuditLogForm(forms.Form):
    """Filters the audit log. Empty fields match all entries."""

    person = forms.CharField(label="Person", required=False, max_length=150, widget=forms.SearchInput())
    action = forms.CharField(label="Action", required=False, max_length=50, widget=forms.SearchInput())
    since = forms.DateField(label="From", required=False, widget=forms.DateInput({"type": "date"}))
    until = forms.DateField(label="To", required=False, widget=forms.DateInput({"type": "date"}))

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        since, until = found.get("since"), found.get("until")
        if since and until and until < since:
            self.add_error("until", "This day is before the first one.")
        return found

    @property
    def is_filtered(self) -> bool:
        return any(self.cleaned_data.values())

    def entries(self) -> AuditEntryQuerySet:
        """Returns the entries that match a valid form. Days are in UTC, as on the page."""
        wanted = self.cleaned_data
        entries = AuditEntry.objects.all()
        if wanted["person"]:
            entries = entries.filter(actor_name__iexact=wanted["person"])
        if wanted["action"]:
            entries = entries.filter(action__icontains=wanted["action"])
        if wanted["since"]:
            entries = entries.filter(created_at__gte=datetime.combine(wanted["since"], time(), UTC))
        if wanted["until"]:
            next_day = datetime.combine(wanted["until"], time(), UTC) + timedelta(days=1)
            entries = entries.filter(created_at__lt=next_day)
        return entries
