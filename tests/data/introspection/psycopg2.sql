-- Sent by psycopg2: register_vector, connection. {items} stands for the oid of that relation, $1 = … for parameters.

BEGIN;

SELECT typname, oid FROM pg_type WHERE oid IN (to_regtype('vector'), to_regtype('_vector'), to_regtype('halfvec'), to_regtype('_halfvec'), to_regtype('sparsevec'), to_regtype('_sparsevec'));
