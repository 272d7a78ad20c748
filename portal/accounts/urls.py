from django.urls import path

from portal.accounts import views

urlpatterns = [
    path("account/", views.account, name="account"),
    path("account/tokens/", views.create_token, name="create_token"),
    path("account/tokens/<slug:token_key>/revoke/", views.revoke_token, name="revoke_token"),
    path("account/export/", views.export_own_data, name="export_account"),
    path("account/delete/", views.delete_own_account, name="delete_account"),
    path("people/", views.people, name="people"),
    path("people/<int:user_id>/", views.person, name="person"),
    path("first-admin/<str:token>/", views.first_admin, name="first_admin"),
]
