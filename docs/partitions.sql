-- Partitions the tables of accounts by account. Run it once, as DB_USER and with psql, after `dbt-api migrate`, while no process of dbt-api runs:
--
--     psql --single-transaction -v ON_ERROR_STOP=1 -v partitions=16 -f partitions.sql postgresql://…
--
-- dbt-api works the same with both, and `dbt-api rebuild` keeps the partitions. After an upgrade, run this again: it partitions new tables, and
-- leaves the others as they are. PostgreSQL's autovacuum does not collect statistics of partitioned tables, only of their partitions: run
-- `ANALYZE` regularly, such as once a day.

SELECT set_config('dbt_api.partitions', :'partitions', true);
SET LOCAL ROLE dbt_api_projector;
SET LOCAL search_path = read_model;

DO $$
DECLARE
    partitions int := current_setting('dbt_api.partitions');
    before record;
    made text;
    columns text;
    statement text;
    -- What must be made again: views and policies refer to tables that are replaced, indexes and triggers belong to them.
    views text[] := '{}';
    policies text[];
    again text[];
BEGIN
    FOR before IN SELECT c.oid, c.relname FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'v' ORDER BY c.oid
    LOOP
        views := views || format('CREATE VIEW %I WITH (security_invoker) AS %s', before.relname, pg_get_viewdef(before.oid))
            || ARRAY(SELECT format('GRANT %s ON %I TO %s', a.privilege_type, before.relname, a.grantee::regrole)
                FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = before.oid AND a.grantee <> c.relowner);
        EXECUTE format('DROP VIEW %I CASCADE', before.relname);
    END LOOP;

    policies := ARRAY(SELECT format('CREATE POLICY %I ON %I AS %s FOR %s TO %s%s%s', policyname, tablename, permissive, cmd, array_to_string(roles, ', '),
            ' USING (' || qual || ')', ' WITH CHECK (' || with_check || ')')
        FROM pg_policies WHERE schemaname = current_schema());
    FOR statement IN SELECT format('DROP POLICY %I ON %I', policyname, tablename) FROM pg_policies WHERE schemaname = current_schema() LOOP
        EXECUTE statement;
    END LOOP;

    -- The tables whose rows belong to accounts, and whose keys all contain the account.
    FOR before IN SELECT c.oid, c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id'
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
            AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND NOT a.attnum = ANY (i.indkey))
            AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique)
        ORDER BY c.relname
    LOOP
        again := ARRAY(SELECT format('ALTER TABLE %I ADD CONSTRAINT %I %s', before.relname, conname, pg_get_constraintdef(oid))
                FROM pg_constraint WHERE conrelid = before.oid AND contype IN ('p', 'u'))
            || ARRAY(SELECT pg_get_indexdef(indexrelid) FROM pg_index i WHERE indrelid = before.oid
                AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid))
            || ARRAY(SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = before.oid AND NOT tgisinternal)
            || ARRAY(SELECT format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relname) FROM pg_class WHERE oid = before.oid AND relrowsecurity)
            || ARRAY(SELECT format('GRANT %s ON %I TO %s', a.privilege_type, before.relname, a.grantee::regrole)
                FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = before.oid AND a.grantee <> c.relowner)
            || ARRAY(SELECT format('GRANT %s (%I) ON %I TO %s', a.privilege_type, t.attname, before.relname, a.grantee::regrole)
                FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attrelid = before.oid);
        EXECUTE format('ALTER TABLE %I RENAME TO dbt_api_before', before.relname);
        EXECUTE format('CREATE TABLE %I (LIKE dbt_api_before INCLUDING ALL EXCLUDING INDEXES) PARTITION BY HASH (account_id)', before.relname);
        FOR number IN 0 .. partitions - 1 LOOP
            made := format('%s_%s', before.relname, number);
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS %s, REMAINDER %s)', made, before.relname, partitions, number);
        END LOOP;
        columns := (SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
            WHERE attrelid = before.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '');
        EXECUTE format('INSERT INTO %I (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM dbt_api_before', before.relname, columns, columns);
        -- Ids go on where they were.
        FOR statement IN SELECT format('SELECT setval(pg_get_serial_sequence(%L, %L), nextval(pg_get_serial_sequence(''dbt_api_before'', %L)))',
                before.relname, attname, attname)
            FROM pg_attribute WHERE attrelid = before.oid AND attidentity <> ''
        LOOP
            EXECUTE statement;
        END LOOP;
        -- With their names, by which later migrations know them.
        DROP TABLE dbt_api_before;
        FOREACH statement IN ARRAY again LOOP
            EXECUTE statement;
        END LOOP;
        EXECUTE format('ANALYZE %I', before.relname);
    END LOOP;

    FOREACH statement IN ARRAY views || policies LOOP
        EXECUTE statement;
    END LOOP;
END
$$;

RESET ROLE;
