-- From raw text to answers: a model inside the server makes every vector.
-- `make model` prepares all-MiniLM-L6-v2; NEARLAKE_MODEL names its folder.
\getenv model NEARLAKE_MODEL
CREATE EXTENSION IF NOT EXISTS vector;
CREATE EMBEDDING MODEL minilm WITH (path = :'model');
SET nearlake.embedding_model = 'minilm';
SELECT name, dims, max_length, pooling, normalize, overflow FROM nearlake_models;

-- A generated column keeps the vector of each text.
CREATE TABLE note (id int PRIMARY KEY, topic text, body text,
  embedding vector(384) GENERATED ALWAYS AS (embed(body)) STORED);
INSERT INTO note (id, topic, body) VALUES
  (1, 'animals', 'The cat sits on the windowsill and watches the birds.'),
  (2, 'animals', 'A dog needs a long walk every day.'),
  (3, 'kitchen', 'Knead the dough for ten minutes and let it rise for an hour.'),
  (4, 'kitchen', 'Simmer the tomatoes with garlic and a little sugar.'),
  (5, 'travel', 'The night train from Vienna arrives at six in the morning.'),
  (6, 'travel', 'Ferries to the island leave from the old harbour.'),
  (7, 'computers', 'An index over vectors finds similar documents quickly.'),
  (8, 'computers', 'The server writes every transaction to a log before it answers.'),
  (9, 'music', 'She practises the violin before breakfast.'),
  (10, 'music', 'The choir sings two songs by Schubert.');
CREATE INDEX ON note USING spfresh (embedding vector_cosine_ops);

-- A question is text, too.
SELECT id, topic FROM note ORDER BY embedding <=> embed('how do I bake bread?') LIMIT 1;
SELECT id, topic FROM note ORDER BY embedding <=> embed('a feline looking outside') LIMIT 1;
SELECT id FROM note WHERE topic = 'travel' ORDER BY embedding <=> embed('going somewhere by ship') LIMIT 1;

-- A text that changes has another vector at once; one that stays keeps its own.
UPDATE note SET body = 'Bake the bread until its crust is dark.' WHERE id = 4;
SELECT id FROM note ORDER BY embedding <=> embed('how do I bake bread?') LIMIT 2;

-- Without a table: which of these is nearest?
SELECT topic FROM unnest(ARRAY['sports', 'cooking', 'astronomy']) AS topic
ORDER BY embed(topic) <=> embed('The moons of Jupiter were seen by Galileo.') LIMIT 1;

-- What is too long for a model is an error, unless the model says otherwise.
SELECT vector_dims(embed(repeat('word ', 300)));
CREATE EMBEDDING MODEL patient WITH (path = :'model', overflow = mean_of_chunks);
SELECT vector_dims(embed(repeat('word ', 300), 'patient'));
