"""What Alembic runs for each command: our connection, our tables, one transaction for all revisions."""

from alembic import context

from experiments.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,  # SQLite too, because we begin transactions ourselves: a failed upgrade leaves nothing
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
