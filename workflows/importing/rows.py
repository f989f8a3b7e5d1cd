"""From checked rows to table rows: for each kind the query over `good`, and which of its columns say what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from store.outbox import IMPORTED


@dataclass(frozen=True, slots=True)
class Rows:
    """
    How a kind's rows look in their table.

    Attributes:
        query: gives `row` and the table's columns from `good` and `delivery`; `feed_id` is filled in when writing.
        key: the table's columns that tell whether a row is known; the first of them is looked up.
        content: those that a known row is updated in or, where the kind does not replace, may not differ in.
        fixed: those that can never change, whatever else does.
    """

    query: str
    key: tuple[str, ...]
    content: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()


_WINDOWS: Final = """
    '[' || array_to_string(list_transform(string_split(coalesce(good.hours, '00:00-24:00'), ' '), lambda span:
        '{"days":[' || coalesce(array_to_string(list_transform(string_split(good.days, ' '), lambda day:
            (list_position(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'], day) - 1)::varchar), ','), '')
        || '],"from":' || (span[1:2]::int * 60 + span[4:5]::int)
        || ',"to":' || (span[7:8]::int * 60 + span[10:11]::int) || '}'), ',') || ']'
"""
"""Hours and days of a statement, as `store.situations` reads them: minutes of the local day, 0 = Monday."""

ROWS: Final[Mapping[str, Rows]] = {
    "people": Rows(
        """
        select good.row, good.ref, name, language, country, region, coalesce(zones, '') as zones, preferred_channel,
            bucket_of.bucket, 0 as version, delivery.now_us as created_at
        from good join bucket_of using (ref) cross join delivery""",
        ("ref",),
        ("name", "language", "country", "region", "zones", "preferred_channel"),
    ),
    "endpoints": Rows(
        """
        select good.row, good.person as person_id, good.kind, good.value, hash_of.value_hash, coalesce(good.zone, prefix.zone) as zone,
            good.place, coalesce(good.valid, true) as valid, coalesce(good.rank, 0) as rank,
            coalesce(good.basis, '') as basis, good.basis_at, coalesce(good.source, '') as source,
            coalesce(good.marks, '') as marks, '' as learnt_marks, null::bigint as lost_at,
            coalesce(good.area, '') as area, delivery.now_us as recorded_at
        from good join hash_of using (value) left join (select distinct kind, value, zone from spelling) as prefix
            on prefix.kind = good.kind and prefix.value = good.value cross join delivery""",
        ("person_id", "kind", "value_hash"),
        ("zone", "place", "valid", "rank", "basis", "basis_at", "source", "marks", "area"),
    ),
    "loans": Rows(
        """
        select row, ref, borrower as borrower_id, product, currency, principal as principal_minor, opened_on, basis,
            custody, autopay, accelerated, charged_off_on, limitation_on, 'current' as stage, opened_on as stage_on,
            0 as stage_entry, 0 as episode, null::date as episode_on, null::bigint as feed_id
        from good""",
        ("ref",),
        ("custody", "autopay", "accelerated", "charged_off_on", "limitation_on"),
        ("borrower_id", "product", "currency", "principal_minor", "opened_on", "basis"),
    ),
    "parties": Rows(
        "select row, loan as loan_id, person as person_id, role from good", ("loan_id", "person_id", "role")
    ),
    "instalments": Rows(
        """
        select row, loan as loan_id, number, due_on, amount as amount_minor,
            (sum(amount) over (partition by loan order by number))::bigint as due_total_minor
        from good""",
        ("loan_id", "number"),
        ("due_on", "amount_minor"),
    ),
    "movements": Rows(
        """
        select row, ref, delivery.source, loan as loan_id, kind, amount as amount_minor, effective_on, recorded_at,
            null::bigint as reverses_id, null::bigint as feed_id, ends
        from good cross join delivery""",
        ("ref",),
        ("loan_id", "kind", "amount_minor", "effective_on", "ends"),
    ),
    "accounts": Rows(
        """
        select row, loan as loan_id, as_of_on, dpd, overdue as overdue_minor, balance as balance_minor,
            min_payment as min_payment_minor, next_due_on, delivery.as_of_us as recorded_at, null::bigint as feed_id
        from good cross join delivery""",
        ("loan_id", "as_of_on"),
        ("dpd", "overdue_minor", "balance_minor", "min_payment_minor", "next_due_on"),
    ),
    "facts": Rows(
        """
        select row, loan as loan_id, name, number, text, as_of as as_of_at, delivery.now_us as recorded_at,
            null::bigint as feed_id
        from good join fact_number using (row) cross join delivery""",
        ("loan_id", "name", "as_of_at"),
        ("number", "text"),
    ),
    "consents": Rows(
        f"""
        select row, good.person as person_id, endpoint_id, good.kind, coalesce(scope, '') as scope,
            coalesce(channels, '') as channels, coalesce(purposes, '') as purposes, given_to,
            coalesce(how, '') as how, coalesce(evidence, '') as evidence, received_at,
            delivery.now_us as recorded_at, until_at,
            '{{' || concat_ws(',', case when good.loan is not null then '"debts":[' || good.loan || ']' end,
                case when place is not null then '"place":"' || place || '"' end,
                case when hours is not null or days is not null then '"windows":' || {_WINDOWS.strip()} end)
                || '}}' as detail_json,
            delivery.source, ref
        from good left join consent_endpoint using (row) cross join delivery""",
        ("ref",),
        ("person_id", "endpoint_id", "kind", "scope", "channels", "purposes", "received_at", "until_at", "detail_json"),
    ),
    "holds": Rows(
        """
        select row, person as person_id, loan as loan_id, kind, coalesce(blocks, '') as blocks,
            coalesce(form, '') as form, owner, review_on, starts_at, ends_at, delivery.now_us as recorded_at,
            coalesce(reason, '') as reason, ref
        from good cross join delivery""",
        ("ref",),
        ("loan_id", "kind", "blocks", "form", "owner", "review_on", "starts_at", "ends_at", "reason"),
        ("person_id",),
    ),
    "notices": Rows(
        """
        select row, loan as loan_id, person as person_id, kind, sent_on, effective_on, how, null as contact_id,
            null::bigint as voided_at, delivery.now_us as recorded_at, ref
        from good cross join delivery""",
        ("ref",),
        ("loan_id", "person_id", "kind", "sent_on", "effective_on"),
    ),
    "contacts": Rows(
        f"""
        select row, '{IMPORTED}' || ref as id, null::bigint as run_id, loan as loan_id, person as person_id, role,
            null::bigint as endpoint_id, channel, direction, purpose, null as rule, '' as name, null as queue,
            0 as stage_entry, 'import:' || ref as slot, '{{}}' as period_json,
            case when outcome in ('failed', 'bounced', 'returned', 'not_in_service') then 'failed' else 'delivered' end
                as status,
            outcome, good."at" as planned_at, good."at" as not_before_at, good."at" as expires_at, good."at", null as claimed_by,
            null::bigint as claimed_until_at, 0 as attempts, null as provider, null as provider_ref, null as error,
            '' as why, outcome in ('wrong_number', 'wrong_person') as misdirected, 0 as cost_minor, "by"
        from good""",
        ("id",),
        ("loan_id", "person_id", "role", "channel", "direction", "at", "outcome", "purpose", "by"),
    ),
    "promises": Rows(
        """
        select row, loan as loan_id, amount as amount_minor, made_at, due_on, status, 0 as paid_minor,
            null::date as settled_on, null as contact_id, ref
        from good""",
        ("ref",),
        ("amount_minor", "made_at", "due_on", "status"),
        ("loan_id",),
    ),
}


def column_of(name: str) -> str:
    """The contract's column behind a table's: `amount_minor` comes from `amount`, `loan_id` from `loan`."""
    return name.removesuffix("_minor").removesuffix("_id").removesuffix("_hash")
