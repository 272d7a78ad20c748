"""The pages on which an admin gives roles and sites to people."""

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from classifier.core.models import AuditEntry, Site, User
from portal.accounts.services import create_default_groups
from tests.people import signed_in


@pytest.fixture
def as_ada(db: None) -> Client:
    create_default_groups()
    return signed_in(User.objects.create_superuser("ada", "ada@example.org"))


def test_an_admin_makes_somebody_a_reviewer_at_a_site(as_ada: Client, alice: User) -> None:
    ward = Site.objects.create(name="Ward 3", allows_training=True)
    page = as_ada.get(f"/people/{alice.pk}/").text
    assert "reviews the answers" in page
    assert "Decides which model is live" in page
    reviewers = Group.objects.get(name="Reviewers")
    sent = {"roles": [reviewers.pk], "site": ward.pk}
    assert (
        "The changes to alice have been saved." in as_ada.post(f"/people/{alice.pk}/", sent, follow=True).text
    )
    alice = User.objects.get(pk=alice.pk)
    assert alice.has_perm("radiographs.review_radiograph")
    assert alice.site == ward
    assert signed_in(alice).get("/reviews/").status_code == 200
    entries = AuditEntry.objects.about(alice).order_by("id").values_list("actor_name", "action", "detail")
    assert list(entries) == [
        ("ada", "roles changed", {"before": "none", "after": "Reviewers"}),
        ("ada", "site changed", {"before": "none", "after": "Ward 3"}),
    ]


def test_saving_without_a_change_records_nothing_and_roles_are_taken_away(
    as_ada: Client, alice: User
) -> None:
    alice.groups.set(Group.objects.filter(name="Reviewers"))
    as_ada.post(f"/people/{alice.pk}/", {"roles": [alice.groups.get().pk], "site": ""})
    assert not AuditEntry.objects.about(alice).exists()
    as_ada.post(f"/people/{alice.pk}/", {"site": ""})
    assert not User.objects.get(pk=alice.pk).has_perm("radiographs.review_radiograph")


def test_a_role_or_a_site_that_does_not_exist_changes_nothing(as_ada: Client, alice: User) -> None:
    for sent in ({"roles": ["70000"]}, {"roles": ["x"]}, {"site": "70000"}):
        assert as_ada.post(f"/people/{alice.pk}/", sent).status_code == 400
    assert not AuditEntry.objects.about(alice).exists()


def test_people_are_found_by_name_and_by_email(as_ada: Client, alice: User, bob: User) -> None:
    everyone = as_ada.get("/people/").text
    assert ("3 people" in everyone, "No role" in everyone, "Admin" in everyone) == (True, True, True)
    found = as_ada.get("/people/", {"q": "BOB@"}).text
    assert (f"/people/{bob.pk}/" in found, f"/people/{alice.pk}/" in found) == (True, False)
    assert "No people found" in as_ada.get("/people/", {"q": "nobody"}).text
    assert as_ada.get("/people/", {"q": "a\0"}).status_code == 400
    assert as_ada.get("/people/", {"name": "bob"}).status_code == 400


def test_a_group_of_the_installation_is_a_role_too(as_ada: Client, alice: User) -> None:
    Group.objects.create(name="Guests")
    page = as_ada.get(f"/people/{alice.pk}/").text
    assert "Guests" in page
    assert "Has no rights of its own." in page


@pytest.mark.parametrize("address", ["/people/", "/people/1/"])
def test_nobody_else_finds_these_pages(as_alice: Client, address: str) -> None:
    assert as_alice.get(address).status_code == 404


def test_the_administration_records_who_gives_which_power(as_ada: Client, alice: User) -> None:
    fields = {"username": "alice", "email": "alice@example.org", "is_active": "on", "is_staff": "on"}
    joined = {"date_joined_0": "2026-01-02", "date_joined_1": "03:04:05"}
    reviewers = Group.objects.get(name="Reviewers")
    sent = {**fields, **joined, "groups": [reviewers.pk]}
    assert as_ada.post(f"/admin/core/user/{alice.pk}/change/", sent).status_code == 302
    entry = AuditEntry.objects.about(alice).get()
    assert (entry.actor_name, entry.action) == ("ada", "user changed")
    assert entry.detail == {"is_staff": "yes", "groups": "Reviewers"}
    as_ada.post("/admin/core/site/add/", {"name": "Ward 3", "allows_training": "on"})
    site = AuditEntry.objects.get(action="site added")
    assert site.detail == {"name": "Ward 3", "allows_training": "yes"}
    as_ada.post(f"/admin/auth/group/{reviewers.pk}/change/", {"name": "Reviewers", "permissions": []})
    assert AuditEntry.objects.get(action="group changed").detail == {"permissions": "none"}
