{# The latest known value of a column of `log`: unknown never overwrites known, the newer wins, and two of the same
   moment are told apart by their ids. #}

{% macro latest(column) -%}
    argMaxIf(log.{{ column }}, (log.event_timestamp, log.event_id), log.{{ column }} is not null)
{%- endmacro %}
