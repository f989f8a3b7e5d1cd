"""What the loan and the borrower say of themselves."""

from typing import Final

from store.fact_sql.piece import Piece

LOAN: Final = Piece(
    name="agreement",
    key="loan_id",
    sql="""
select
    id as loan_id, stage, stage_on, product, currency, custody, autopay, accelerated, charged_off_on, limitation_on
from loan
""",
    facts={
        "stage": "agreement.stage",
        "product": "agreement.product",
        "currency": "agreement.currency",
        "custody": "agreement.custody",
        "autopay": "agreement.autopay",
        "accelerated": "agreement.accelerated",
        "charged_off": "agreement.charged_off_on is not null and agreement.charged_off_on <= borrowed.on_on",
        "days_in_stage": "date_diff('day', agreement.stage_on, borrowed.on_on)",
        "days_in_episode": "coalesce(date_diff('day', borrowed.episode_on, borrowed.on_on), 0)",
        "time_barred": "agreement.limitation_on < borrowed.on_on",
        "limitation_days_left": "date_diff('day', borrowed.on_on, agreement.limitation_on)",
    },
)

PERSON: Final = Piece(
    name="borrower",
    key="borrower_id",
    sql="""
select id as borrower_id, language, country, region, preferred_channel, bucket
from person
""",
    facts={
        "language": "nullif(borrower.language, '')",
        "country": "nullif(borrower.country, '')",
        "region": "nullif(borrower.region, '')",
        "preferred_channel": "nullif(borrower.preferred_channel, '')",
    },
)

ENDPOINTS: Final = Piece(
    name="reach",
    key="borrower_id",
    sql="""
select
    person_id as borrower_id,
    count(*) filter (where kind = 'mobile') as mobiles,
    count(*) filter (where kind = 'mobile' and valid) as mobiles_valid,
    count(*) filter (where kind = 'email') as emails,
    count(*) filter (where kind = 'email' and valid) as emails_valid
from endpoint
group by person_id
""",
    facts={
        "has_mobile": "coalesce(reach.mobiles, 0) > 0",
        "mobile_valid": "coalesce(reach.mobiles_valid, 0) > 0",
        "has_email": "coalesce(reach.emails, 0) > 0",
        "email_valid": "coalesce(reach.emails_valid, 0) > 0",
    },
)

PARTIES: Final = Piece(
    name="standing",
    key="loan_id",
    sql="""
select loan_id, count(*) filter (where role = 'guarantor') as guarantors
from party
group by loan_id
""",
    facts={"has_guarantor": "coalesce(standing.guarantors, 0) > 0"},
)

SPELLS: Final = Piece(
    name="spells",
    key="loan_id",
    sql="""
select stage_change.loan_id, count(*) as spells_12m
from stage_change join borrowed on borrowed.loan_id = stage_change.loan_id
where stage_change.source = 'current' and stage_change.target <> 'closed'
    and date_diff('day', stage_change.on_on, borrowed.on_on) between 0 and 365
group by stage_change.loan_id
""",
    facts={"episodes_12m": "coalesce(spells.spells_12m, 0)"},
)
