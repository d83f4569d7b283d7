{% test leadstream_unique_key(model, columns, final=false) %}
{# The rows of a ReplacingMergeTree are one a key only after FINAL. #}
SELECT {{ columns | join(', ') }}, count() AS rows_of_key
FROM {{ model }}{{ ' FINAL' if final else '' }}
GROUP BY {{ columns | join(', ') }}
HAVING rows_of_key > 1
{% endtest %}
