-- Sent by Knex: hasTable, columnInfo. {items} stands for the oid of that relation, $1 = … for parameters.

select version();

-- $1 = 'items'
select * from information_schema.tables where table_name = $1 and table_schema = current_schema();

-- $1 = 'items'
select * from information_schema.columns where table_name = $1 and table_catalog = current_database() and table_schema = current_schema();

-- $1 = 'items', $2 = 'id'
select * from information_schema.columns where table_name = $1 and column_name = $2 and table_schema = current_schema();
