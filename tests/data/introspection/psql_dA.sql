-- Sent by psql 15 for \dA. {items} stands for the oid of that relation, $1 = … for parameters.

SELECT amname AS "Name",
  CASE amtype WHEN 'i' THEN 'Index' WHEN 't' THEN 'Table' END AS "Type"
FROM pg_catalog.pg_am
ORDER BY 1;
