"""The control plane's first tables.

Revision 0001. Types and names are spelled out here and not taken from `store.schema`, which will move on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

INSTANT = sa.DateTime(timezone=True)
REFUSAL = "milestones are append-only"


def upgrade() -> None:
    op.create_table(
        "briefs",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("saved_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", "revision", name="pk_briefs"),
    )
    op.create_table(
        "deliveries",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("read", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.Column("duplicate", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", INSTANT, nullable=False),
        sa.Column("rejected", sa.JSON(), nullable=False),
        sa.Column("lake_versions", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_finished_at", "deliveries", ["finished_at"])
    op.create_table(
        "experiments",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("salt", sa.String(), nullable=False),
        sa.Column("control", sa.String(), nullable=False),
        sa.Column("plan_hash", sa.String()),
        sa.Column("winner", sa.String()),
        sa.Column("promoted_arm", sa.String()),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_experiments"),
    )
    op.create_index("ix_experiments_phase", "experiments", ["phase"])
    op.create_table(
        "jobs",
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("experiment", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("lease_until", INSTANT),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("result", sa.JSON()),
        sa.Column("error", sa.String()),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("job", "experiment", "period", name="pk_jobs"),
    )
    op.create_index("ix_jobs_updated_at", "jobs", ["updated_at"])
    op.create_table(
        "styles",
        sa.Column("identity", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("engine_version", sa.String(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("weights_sha256", sa.String()),
        sa.Column("first_seen", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("identity", name="pk_styles"),
    )
    op.create_index("ix_styles_name", "styles", ["name"])
    op.create_table(
        "evidence",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment", sa.String(), nullable=False),
        sa.Column("as_of", INSTANT, nullable=False),
        sa.Column("lake_versions", sa.JSON(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.name"], name="fk_evidence_experiment_experiments"),
        sa.PrimaryKeyConstraint("id", name="pk_evidence"),
        sa.UniqueConstraint("digest", name="uq_evidence_digest"),
    )
    op.create_index("ix_evidence_experiment", "evidence", ["experiment"])
    op.create_table(
        "milestones",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.name"], name="fk_milestones_experiment_experiments"),
        sa.PrimaryKeyConstraint("id", name="pk_milestones"),
        sa.UniqueConstraint("experiment", "sequence", name="uq_milestones_experiment_sequence"),
    )
    op.create_table(
        "plans",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("experiment", sa.String(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("sealed_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.name"], name="fk_plans_experiment_experiments"),
        sa.PrimaryKeyConstraint("hash", name="pk_plans"),
        sa.UniqueConstraint("experiment", name="uq_plans_experiment"),
    )
    op.create_table(
        "variants",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment", sa.String(), nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("provenance", sa.JSON(), nullable=False),
        sa.Column("gate", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.name"], name="fk_variants_experiment_experiments"),
        sa.PrimaryKeyConstraint("id", name="pk_variants"),
        sa.UniqueConstraint("experiment", "arm", "slot", name="uq_variants_experiment_arm_slot"),
    )
    op.create_index("ix_variants_sha256", "variants", ["sha256"])
    op.create_table(
        "verdicts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment", sa.String(), nullable=False),
        sa.Column("look", sa.Integer(), nullable=False),
        sa.Column("plan_hash", sa.String(), nullable=False),
        sa.Column("evidence_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("arm", sa.String()),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["evidence_id"], ["evidence.id"], name="fk_verdicts_evidence_id_evidence"),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.name"], name="fk_verdicts_experiment_experiments"),
        sa.ForeignKeyConstraint(["plan_hash"], ["plans.hash"], name="fk_verdicts_plan_hash_plans"),
        sa.PrimaryKeyConstraint("id", name="pk_verdicts"),
        sa.UniqueConstraint("experiment", "look", name="uq_verdicts_experiment_look"),
    )
    op.create_index("ix_verdicts_evidence_id", "verdicts", ["evidence_id"])
    _make_milestones_append_only()


def _make_milestones_append_only() -> None:
    """Facts are not rewritten, whoever is connected and with whatever program."""
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER milestones_refuse_{action.lower()} BEFORE {action} ON milestones "
                f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
            )
        op.execute(  # INSERT OR REPLACE deletes without asking the trigger above
            "CREATE TRIGGER milestones_refuse_replace BEFORE INSERT ON milestones "
            "WHEN EXISTS (SELECT 1 FROM milestones AS fact WHERE fact.id = NEW.id "
            "OR (fact.experiment = NEW.experiment AND fact.sequence = NEW.sequence)) "
            "BEGIN SELECT RAISE(ABORT, 'milestones are append-only'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION milestones_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        "CREATE TRIGGER milestones_refuse_change BEFORE UPDATE OR DELETE ON milestones "
        "FOR EACH ROW EXECUTE FUNCTION milestones_refuse()"
    )
    op.execute(
        "CREATE TRIGGER milestones_refuse_truncate BEFORE TRUNCATE ON milestones "
        "FOR EACH STATEMENT EXECUTE FUNCTION milestones_refuse()"
    )
