-- Sent by psql 15 for \dconfig jit. {items} stands for the oid of that relation, $1 = … for parameters.

SELECT s.name AS "Parameter", pg_catalog.current_setting(s.name) AS "Value"
FROM pg_catalog.pg_settings s
WHERE pg_catalog.lower(s.name) OPERATOR(pg_catalog.~) '^(jit)$' COLLATE pg_catalog.default
ORDER BY 1;
