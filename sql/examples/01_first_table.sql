-- A table with a vector column, a few rows, a first question.
CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE fruit (
  id     bigint PRIMARY KEY,
  name   text NOT NULL,
  price  numeric(10,2) DEFAULT 1.00,
  taste  vector(3)             -- sweet, sour, bitter
);

INSERT INTO fruit (id, name, price, taste) VALUES
  (1, 'banana',     0.25, '[0.9, 0.1, 0.0]'),
  (2, 'lemon',      0.40, '[0.1, 0.9, 0.1]'),
  (3, 'grapefruit', 0.95, '[0.4, 0.6, 0.6]');
INSERT INTO fruit (id, name, taste) VALUES (4, 'mango', '[0.8, 0.3, 0.0]');

SELECT * FROM fruit ORDER BY id;

-- What tastes most like something sweet with a little acid?
SELECT name, round((taste <-> '[0.8, 0.2, 0]')::numeric, 3) AS distance
FROM fruit ORDER BY taste <-> '[0.8, 0.2, 0]' LIMIT 2;

-- A vector has the dimensions of its column; anything else is refused.
INSERT INTO fruit (id, name, taste) VALUES (5, 'water', '[0, 0]');

-- Everything else is SQL as you know it.
UPDATE fruit SET price = price * 2 WHERE name = 'lemon' RETURNING name, price;
DELETE FROM fruit WHERE taste IS NULL;
SELECT count(*), avg(price)::numeric(10,2) AS average, avg(taste) AS typical FROM fruit;
