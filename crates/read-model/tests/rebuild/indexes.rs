//! Which texts indexes contain.

use testkit::Database;

/// The texts in indexes that are short: slugs, words that the service chooses itself, names of resource types, ids of invocations, and names
/// of files, which an upload may not make longer.
const SHORT: [&str; 9] = [
    "artifacts.invocation_id",
    "artifacts.kind",
    "artifacts.name",
    "aspect_heads.aspect",
    "aspect_sets.aspect",
    "environments.slug",
    "node_sets.resource_type",
    "observed.source",
    "text_sets.resource_type",
];

/// PostgreSQL refuses a row whose text is longer than about 2,700 bytes in an index, and dbt allows such names.
#[tokio::test]
async fn a_text_of_any_length_is_indexed_by_its_md5() {
    let database = Database::create().await;
    let indexed: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT c.relname || '.' || a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
         CROSS JOIN LATERAL unnest(i.indkey) AS k (number)
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
         WHERE NOT c.relispartition AND c.relnamespace::regnamespace::text IN ('read_model', 'directory')
            AND format_type(a.atttypid, NULL) IN ('text', 'character varying', 'jsonb', 'json')
         ORDER BY 1",
    )
    .fetch_all(&database.pool("postgres"))
    .await
    .unwrap();
    assert_eq!(indexed, SHORT);
}
