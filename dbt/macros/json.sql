{# Values out of the JSON text of an event. A value of another type than asked for is unknown: null. #}

{% macro text_of(column, name) -%}
    if(JSONType({{ column }}, '{{ name }}') = 'String', JSONExtract({{ column }}, '{{ name }}', 'Nullable(String)'), null)
{%- endmacro %}

{% macro truth_of(column, name) -%}
    if(JSONType({{ column }}, '{{ name }}') = 'Bool', JSONExtract({{ column }}, '{{ name }}', 'Nullable(Bool)'), null)
{%- endmacro %}

{# Counts are whole: a fraction is cut off towards zero. #}
{% macro count_of(column, name) -%}
    if(
        JSONType({{ column }}, '{{ name }}') in ('Int64', 'UInt64', 'Double'),
        JSONExtract({{ column }}, '{{ name }}', 'Nullable(Int64)'),
        null
    )
{%- endmacro %}
