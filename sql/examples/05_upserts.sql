-- Insert or change, many rows at once, without reading first.
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE page (id bigint PRIMARY KEY, url text NOT NULL, version int NOT NULL DEFAULT 1, v vector(2));
INSERT INTO page VALUES (1, 'https://a.example/', 1, '[1,0]'), (2, 'https://b.example/', 5, '[0,1]');

-- Keep what is there.
INSERT INTO page (id, url) VALUES (1, 'ignored'), (3, 'https://c.example/') ON CONFLICT (id) DO NOTHING;

-- Replace it; excluded is the row that was offered.
INSERT INTO page (id, url, v) VALUES (1, 'https://a.example/new', '[1,1]'), (4, 'https://d.example/', '[0,0]')
ON CONFLICT (id) DO UPDATE SET url = excluded.url, v = excluded.v, version = page.version + 1
RETURNING id, version;

-- Replace it only if the offered one is newer.
INSERT INTO page (id, url, version) VALUES (2, 'stale', 4), (3, 'fresh', 9)
ON CONFLICT (id) DO UPDATE SET url = excluded.url, version = excluded.version
WHERE page.version < excluded.version;
SELECT * FROM page ORDER BY id;

-- Column by column, as drivers send large batches: three arrays, one statement.
INSERT INTO page (id, url, v)
SELECT * FROM unnest(ARRAY[2, 5]::bigint[], ARRAY['https://b.example/2', 'https://e.example/'],
                     ARRAY['[9,9]', '[8,8]']::vector[])
ON CONFLICT (id) DO UPDATE SET url = excluded.url, v = excluded.v;
SELECT id, url, v FROM page WHERE id IN (2, 5) ORDER BY id;

-- All or nothing.
BEGIN;
INSERT INTO page (id, url) VALUES (6, 'https://f.example/');
DELETE FROM page WHERE id = 1;
SELECT count(*) FROM page;
ROLLBACK;
SELECT count(*) FROM page;

-- The same key twice in one statement has no answer.
INSERT INTO page (id, url) VALUES (7, 'x'), (7, 'y') ON CONFLICT (id) DO UPDATE SET url = excluded.url;
