"""Migrations' operations on indexes of tables that are large and in use: on PostgreSQL they block no writer.

The migration needs `atomic = False` and may be cut off and run again: what it did already is done anew or left out.
SQLite knows no such thing and needs none: it has one writer at a time anyway.
"""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState

Editor = BaseDatabaseSchemaEditor


def _is_postgres(editor: Editor) -> bool:
    return editor.connection.vendor == "postgresql"


def _drop(editor: Editor, name: str) -> None:
    how = "CONCURRENTLY IF EXISTS" if _is_postgres(editor) else "IF EXISTS"
    editor.execute(f"DROP INDEX {how} {editor.quote_name(name)}")


class AddIndex(AddIndexConcurrently):
    def database_forwards(self, app_label: str, editor: Editor, old: ProjectState, new: ProjectState) -> None:
        # Building it may have been cut off, which leaves an index that nobody uses.
        _drop(editor, self.index.name)
        if _is_postgres(editor):
            super().database_forwards(app_label, editor, old, new)
        else:
            migrations.AddIndex.database_forwards(self, app_label, editor, old, new)

    def database_backwards(
        self, app_label: str, editor: Editor, old: ProjectState, new: ProjectState
    ) -> None:
        _drop(editor, self.index.name)


class RemoveIndex(RemoveIndexConcurrently):
    def database_forwards(self, app_label: str, editor: Editor, old: ProjectState, new: ProjectState) -> None:
        _drop(editor, self.name)

    def database_backwards(
        self, app_label: str, editor: Editor, old: ProjectState, new: ProjectState
    ) -> None:
        if _is_postgres(editor):
            super().database_backwards(app_label, editor, old, new)
        else:
            migrations.RemoveIndex.database_backwards(self, app_label, editor, old, new)


class RemoveForeignKeyIndex(migrations.AlterField):
    """To db_index=False. Django's own way would drop the foreign key and check all rows against it anew."""

    def database_forwards(self, app_label: str, editor: Editor, old: ProjectState, new: ProjectState) -> None:
        table, column = self._place(app_label, old)
        _drop(editor, editor._create_index_name(table, [column]))  # type: ignore[attr-defined]

    def database_backwards(
        self, app_label: str, editor: Editor, old: ProjectState, new: ProjectState
    ) -> None:
        table, column = self._place(app_label, new)
        name = editor.quote_name(editor._create_index_name(table, [column]))  # type: ignore[attr-defined]
        how = "CONCURRENTLY IF NOT EXISTS" if _is_postgres(editor) else "IF NOT EXISTS"
        editor.execute(f"CREATE INDEX {how} {name} ON {editor.quote_name(table)} ({column})")

    def _place(self, app_label: str, state: ProjectState) -> tuple[str, str]:
        model = state.apps.get_model(app_label, self.model_name)
        return model._meta.db_table, str(model._meta.get_field(self.name).column)
