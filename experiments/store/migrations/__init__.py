"""Alembic's environment and its revisions, numbered in order; run by `store.database.migrate`, without an alembic.ini.

A new revision is a file ``versions/vNNNN_what.py`` and the number in `store.database.HEAD`. A test compares what the
revisions build with `store.schema` on both databases.
"""
