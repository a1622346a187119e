-- A webhook tells an endpoint what was committed; here one that is switched off at once, since it is not yours.
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE items (id int PRIMARY KEY, name text, taste vector(3));

-- "Tell me when a row within 0.2 of this vector arrives." The secret is shown once; leave the option out to be given one.
BEGIN;
CREATE WEBHOOK lemons ON items WHEN (insert, update)
  WHERE taste <=> '[0.1,0.9,0.1]' < 0.2
  TO 'https://example.com/hooks/lemons'
  WITH (rows = 'keys', secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
ALTER WEBHOOK lemons DISABLE;
COMMIT;

SELECT webhook, relname, events, condition, status, waiting FROM nearlake_webhooks;

-- What cannot be true of a row, what may change, and where nothing of yours should go is refused.
CREATE WEBHOOK w ON items WHEN (insert) WHERE taste TO 'https://example.com/';
CREATE WEBHOOK w ON items WHEN (insert) WHERE name = now()::text TO 'https://example.com/';
CREATE WEBHOOK w ON items WHEN (insert) TO 'https://169.254.169.254/latest/meta-data';
CREATE WEBHOOK w ON items WHEN (inserted) TO 'https://example.com/';

ALTER WEBHOOK lemons SET (timeout = '5s', attempts_max = 20);
SELECT options FROM nearlake_webhooks;
DROP WEBHOOK lemons;
SELECT count(*) FROM nearlake_webhook_deliveries;
