-- Handoffs: the entries of leads into stages (`v_entries`) with the leaks that opened there.
SELECT
    entries.*,
    opened.leaks AS leaks
FROM {database}.v_entries AS entries
LEFT JOIN
(
    SELECT lead_id, cycle, toString(stage) AS stage, arraySort(groupUniqArray(toString(leak))) AS leaks
    FROM {database}.leaks FINAL
    GROUP BY lead_id, cycle, stage
) AS opened ON opened.lead_id = entries.lead_id AND opened.cycle = entries.cycle AND opened.stage = entries.stage
