-- The nearest rows: order by a distance, take the first k.
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE star (name text PRIMARY KEY, at vector(2));
INSERT INTO star VALUES
  ('Sol', '[0,0]'), ('Alpha', '[1,0]'), ('Barnard', '[0,2]'), ('Wolf', '[3,3]'),
  ('Twin A', '[5,0]'), ('Twin B', '[-5,0]'), ('unseen', NULL);

SELECT name FROM star ORDER BY at <-> '[0,0]' LIMIT 3;

-- The distance is a column like any other, and an alias will do.
SELECT name, at <-> '[1,1]' AS distance FROM star ORDER BY distance, name LIMIT 3;

-- Equally near: a second key makes pages stable.
SELECT name FROM star ORDER BY at <-> '[0,0]', name LIMIT 2 OFFSET 4;

-- What is nearest to a row that is there already?
SELECT s.name FROM star s
WHERE s.name <> 'Wolf'
ORDER BY s.at <-> (SELECT at FROM star WHERE name = 'Wolf'), name LIMIT 2;

-- A row without a vector is farther than every other one; it still counts.
SELECT name, at <-> '[0,0]' AS distance FROM star ORDER BY at <-> '[0,0]', name OFFSET 5;

-- The farthest, the most alike in direction, the largest inner product.
SELECT name FROM star ORDER BY at <-> '[0,0]' DESC NULLS LAST, name LIMIT 2;
SELECT name FROM star WHERE name <> 'Sol' ORDER BY at <=> '[2,2]' LIMIT 1;
SELECT name FROM star ORDER BY at <#> '[1,0]' LIMIT 1;

-- A search is a table; it can be joined and counted.
WITH near AS (SELECT name, at <-> '[0,0]' AS d FROM star ORDER BY d LIMIT 4)
SELECT count(*), max(d)::numeric(6,3) AS farthest FROM near;
