-- Words and vectors in one search: what is found by either, ranked by both.
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE recipe (id int PRIMARY KEY, title text, body text, embedding vector(3),
  words tsvector GENERATED ALWAYS AS
    (setweight(to_tsvector('english', title), 'A') || to_tsvector('english', body)) STORED);
CREATE INDEX ON recipe USING gin (words);
CREATE INDEX ON recipe USING spfresh (embedding vector_cosine_ops);
INSERT INTO recipe (id, title, body, embedding) VALUES
  (1, 'Tomato soup', 'Simmer tomatoes with garlic, then blend.', '[0.9, 0.1, 0.0]'),
  (2, 'Garlic bread', 'Rub toasted bread with garlic and butter.', '[0.2, 0.9, 0.1]'),
  (3, 'Gazpacho', 'Blend raw tomatoes, cucumber and peppers; serve cold.', '[0.8, 0.0, 0.3]'),
  (4, 'Apple pie', 'Bake apples under a crust of butter and flour.', '[0.0, 0.4, 0.9]'),
  (5, 'Bread pudding', 'Bake stale bread with eggs, milk and sugar.', '[0.1, 0.8, 0.6]');

-- Words alone: inflected ones match, and the title counts more than the body.
SELECT id, title, ts_rank(words, q)::numeric(6, 4) AS rank
FROM recipe, websearch_to_tsquery('english', 'tomato or garlic') q
WHERE words @@ q ORDER BY rank DESC, id;

-- A phrase, and what must not be there.
SELECT id, title FROM recipe
WHERE words @@ websearch_to_tsquery('english', '"stale bread" -garlic') ORDER BY id;

-- Both: reciprocal rank fusion of the nearest vectors and the best words.
WITH near AS (
  SELECT id, row_number() OVER (ORDER BY distance, id) AS place
  FROM (SELECT id, embedding <=> '[0.85, 0.1, 0.1]' AS distance FROM recipe
        ORDER BY embedding <=> '[0.85, 0.1, 0.1]' LIMIT 3) AS nearest
), said AS (
  SELECT id, row_number() OVER (ORDER BY ts_rank_cd(words, q) DESC, id) AS place
  FROM recipe, websearch_to_tsquery('english', 'blend garlic') q
  WHERE words @@ to_tsquery('english', 'blend | garlic')
)
SELECT title, (coalesce(1.0 / (60 + near.place), 0) + coalesce(1.0 / (60 + said.place), 0))::numeric(6, 4) AS score
FROM near FULL JOIN said USING (id) JOIN recipe USING (id)
ORDER BY score DESC, title;
