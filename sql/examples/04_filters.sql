-- Nearest among those that match. LIMIT k gives k rows whenever k rows match.
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE doc (id int PRIMARY KEY, tenant int NOT NULL, lang text, made date, tags text[], v vector(2));
INSERT INTO doc
SELECT i, i % 10, CASE WHEN i % 3 = 0 THEN 'de' ELSE 'en' END, date '2024-01-01' + i,
       ARRAY['t' || (i % 4)], ARRAY[i % 50, i / 50]::vector
FROM generate_series(1, 1000) AS g(i);
CREATE INDEX ON doc USING spfresh (v vector_l2_ops);

SELECT id FROM doc WHERE tenant = 7 ORDER BY v <-> '[20,10]', id LIMIT 3;
SELECT id FROM doc WHERE tenant = 7 AND lang = 'de' ORDER BY v <-> '[20,10]', id LIMIT 3;
SELECT id FROM doc WHERE made BETWEEN '2024-02-01' AND '2024-02-05' ORDER BY v <-> '[20,10]', id LIMIT 10;
SELECT id FROM doc WHERE 't3' = ANY(tags) AND id % 2 = 1 AND tenant IN (1, 3) ORDER BY v <-> '[0,0]', id LIMIT 3;
SELECT id FROM doc WHERE NOT (tenant < 9) AND lang LIKE 'e%' ORDER BY v <-> '[49,19]', id LIMIT 2;

-- Few rows match, and all of them are found, however far away they are.
SELECT count(*) FROM (SELECT id FROM doc WHERE id > 995 ORDER BY v <-> '[0,0]' LIMIT 10) AS found;
SELECT id FROM doc WHERE id IN (3, 999) ORDER BY v <-> '[0,0]' LIMIT 10;

-- A distance can be a condition, too.
SELECT count(*) FROM doc WHERE v <-> '[20,10]' < 1.5;

-- The best of each group.
SELECT tenant, id FROM (
  SELECT tenant, id, row_number() OVER (PARTITION BY tenant ORDER BY v <-> '[20,10]', id) AS place FROM doc
) AS ranked WHERE place = 1 AND tenant < 3 ORDER BY tenant;
