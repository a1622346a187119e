-- An index makes searches fast; it never changes what is right, and never needs a rebuild.
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE point (id int PRIMARY KEY, v vector(4));
INSERT INTO point
SELECT i, ARRAY[i % 17, i % 31, i % 7, i % 11]::vector FROM generate_series(1, 5000) AS g(i);

-- CREATE INDEX returns when every row is in it. hnsw and ivfflat are accepted names, too.
CREATE INDEX point_v ON point USING spfresh (v vector_l2_ops);
SELECT indexname FROM pg_indexes WHERE tablename = 'point' ORDER BY indexname;

SELECT id, v FROM point ORDER BY v <-> '[3,5,2,7]', id LIMIT 3;

-- Rows are found as soon as they are committed.
INSERT INTO point VALUES (9001, '[3,5,2,7.25]');
SELECT id FROM point ORDER BY v <-> '[3,5,2,7.2]' LIMIT 1;
UPDATE point SET v = '[100,100,100,100]' WHERE id = 9001;
SELECT id FROM point ORDER BY v <-> '[99,99,99,99]' LIMIT 1;
DELETE FROM point WHERE id = 9001;
SELECT count(*) FROM (SELECT id FROM point ORDER BY v <-> '[99,99,99,99]' LIMIT 10) AS found;

-- In a transaction an index comes and goes with it.
BEGIN;
CREATE INDEX point_cosine ON point USING hnsw (v vector_cosine_ops);
SELECT count(*) FROM pg_indexes WHERE tablename = 'point';
ROLLBACK;
SELECT count(*) FROM pg_indexes WHERE tablename = 'point';

-- What an index is asked for can be said for a session: 1 is exact.
SET nearlake.recall_target = 1.0;
SELECT id FROM point ORDER BY v <-> '[16,30,6,10]', id LIMIT 2;
RESET nearlake.recall_target;

DROP INDEX point_v;
