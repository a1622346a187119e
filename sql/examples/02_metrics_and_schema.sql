-- Four ways to measure distance, and what a schema can say about vectors.
CREATE EXTENSION IF NOT EXISTS vector;

SELECT '[1, 2]'::vector <-> '[4, 6]' AS euclidean,
       '[1, 2]'::vector <#> '[4, 6]' AS negative_inner_product,
       '[1, 0]'::vector <=> '[0, 1]' AS cosine,
       '[1, 2]'::vector <+> '[4, 6]' AS taxicab;

-- The same by name.
SELECT l2_distance(a, b), inner_product(a, b), l1_distance(a, b), cosine_distance(a, '[-2, 1]')
FROM (VALUES ('[1, 2]'::vector, '[4, 6]'::vector)) AS pair (a, b);

-- A schema of its own; two vector columns; defaults; a key of two columns.
CREATE SCHEMA shop;
CREATE TABLE shop.product (
  tenant    int,
  sku       text,
  title     text NOT NULL DEFAULT 'untitled',
  tags      text[],
  added     date DEFAULT '2024-02-29',
  words     vector(4),
  picture   vector(2),
  PRIMARY KEY (tenant, sku)
);

INSERT INTO shop.product (tenant, sku, tags, words, picture) VALUES
  (1, 'a-1', '{new,red}', '[1, 0, 0, 0]', '[0.5, 0.5]'),
  (2, 'a-1', NULL,        '[0, 1, 0, 0]', NULL);

SELECT tenant, sku, title, tags, added, vector_dims(words) AS dims, vector_norm(picture)::numeric(6,4) AS norm
FROM shop.product ORDER BY tenant;

-- Unit length makes cosine and inner product agree.
SELECT l2_normalize('[3, 4]'::vector);

-- The schema can change while there are rows.
ALTER TABLE shop.product ADD COLUMN stock int DEFAULT 0;
ALTER TABLE shop.product RENAME COLUMN title TO name;
ALTER TABLE shop.product DROP COLUMN added;

SELECT column_name, data_type, is_nullable FROM information_schema.columns
WHERE table_schema = 'shop' AND table_name = 'product' ORDER BY ordinal_position;

SELECT a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_attribute a WHERE a.attrelid = 'shop.product'::regclass AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;
