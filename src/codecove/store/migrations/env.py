"""What Alembic runs to apply the migrations, over the connection that `store/migrate.py` gives it."""

from alembic import context

from codecove.store.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    # SQLite can undo schema changes too, once the driver's own handling of transactions is off.
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
