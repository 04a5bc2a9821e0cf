{# dividend / divisor in whole numbers, half away from zero. Exact, so that any database gets the same.
   The divisor is above zero. #}

{% macro divide_rounded(dividend, divisor) -%}
    (
        if({{ dividend }} < 0, -1, 1)
        * intDiv(2 * toInt256(abs({{ dividend }})) + toInt256({{ divisor }}), 2 * toInt256({{ divisor }}))
    )
{%- endmacro %}
