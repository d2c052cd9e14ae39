"""What alembic runs: the steps, on the connection that `upgrade` was given, within its transaction."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="ctrbench_revision",
    transactional_ddl=True,  # SQLite's too, since `Database` begins its transactions itself
)
context.run_migrations()
