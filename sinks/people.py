"""Which leads an e-mail address belongs to, as far as their events in ClickHouse say it."""

from __future__ import annotations

from collections.abc import Collection

from leadstream.schemas.addresses import EMAIL_FACT
from leadstream.sinks.clickhouse import ClickHouse


def leads_of_address(client: ClickHouse, spellings: Collection[str]) -> list[str]:
    """Return the leads to whom an event belongs that states the address, those merged away last.

    Args:
        spellings: the address in lower case, and what stands for it.
    """
    touchpoints, crm_events = client.table("v_touchpoints"), client.table("v_crm_events")
    places = ", ".join(f"{{spelled{number}:String}}" for number, _ in enumerate(spellings))
    of_touch, of_properties, of_crm = (
        f"lower(trimBoth({column})) IN ({places})"
        for column in ("email", f"properties['{EMAIL_FACT}']", f"attributes['{EMAIL_FACT}']")
    )
    found = client.query(
        f"""SELECT lead_id, max(merged_into != '') AS is_merged FROM (
            SELECT lead_id, '' AS merged_into FROM {touchpoints} WHERE {of_touch} OR {of_properties}
            UNION ALL SELECT lead_id, '' FROM {crm_events} WHERE {of_crm}
        ) AS told LEFT JOIN (SELECT lead_id, merged_into FROM {client.table("lead_state")} FINAL)
            AS state USING (lead_id)
        GROUP BY lead_id ORDER BY is_merged, lead_id""",  # noqa: S608  columns of our own
        {f"spelled{number}": spelling for number, spelling in enumerate(spellings)},
    )
    return [lead_id for lead_id, _ in found.rows]
