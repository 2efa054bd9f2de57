//! The console under test, and rows as the projector writes them.

use axum::body::{Body, to_bytes};
use axum::http::header::AUTHORIZATION;
use axum::http::{Request, StatusCode};
use bucket::{Bucket, Settings};
use clock::Clock;
use directory::hash_of_key;
use read_model::doc::DocEncoder;
use schemas::Sha256;
use serde_json::{Value, json};
use service::{ReadPool, Session};
use sqlx::PgPool;
use testkit::{Database, PATIENCE, Wire};
use tower::ServiceExt;

/// The keys of the tokens: of account 1, of its environment 101 only, and of account 2.
pub(crate) const ALL: &str = "all";
pub(crate) const DEV_ONLY: &str = "dev";
pub(crate) const OTHER: &str = "other";

const DIRECTORY: &str = "
INSERT INTO directory.accounts VALUES
    (1, 'One', NULL, 'active', '2026-11-01T00:00:00Z', '2026-11-01T00:00:00Z', gen_random_uuid()),
    (2, 'Two', NULL, 'active', '2026-11-01T00:00:00Z', '2026-11-01T00:00:00Z', gen_random_uuid());
INSERT INTO directory.projects VALUES
    (10, 1, 'Shop', 'shop', 'active', '2026-11-02T00:00:00Z', '2026-11-02T00:00:00Z', gen_random_uuid()),
    (20, 2, 'Other', 'other', 'active', '2026-11-02T00:00:00Z', '2026-11-02T00:00:00Z', gen_random_uuid());
INSERT INTO directory.environments VALUES
    (100, 1, 10, 'Production', 'prod', 'production', 'active', '2026-11-03T00:00:00Z', '2026-11-03T00:00:00Z', gen_random_uuid()),
    (101, 1, 10, 'Development', 'dev', 'development', 'active', '2026-11-03T00:00:00Z', '2026-11-03T00:00:00Z', gen_random_uuid()),
    (200, 2, 20, 'Production', 'prod', 'production', 'active', '2026-11-03T00:00:00Z', '2026-11-03T00:00:00Z', gen_random_uuid());
INSERT INTO directory.account_versions VALUES (1, gen_random_uuid()), (2, gen_random_uuid());
INSERT INTO jobs (id, account_id, project_id, environment_id, dag_id, created_at, updated_at) VALUES
    (5, 1, 10, 100, 'daily', '2026-11-09T09:00:00Z', '2026-11-09T09:00:00Z'),
    (6, 1, 10, 101, 'daily', '2026-11-09T09:00:00Z', '2026-11-09T09:00:00Z');
";

pub(crate) struct Console {
    router: axum::Router,
    pub(crate) pool: PgPool,
    pub(crate) bucket: Bucket,
    _database: Database,
    _storage: tempfile::TempDir,
}

/// A page, or what was answered instead of it.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
}

impl Console {
    pub(crate) async fn start() -> Self {
        let database = Database::create().await;
        let reads = database.read_pool(api::warm_up);
        Self::start_with(database, reads).await
    }

    /// Starts it with a single connection for reads, on which one can see what is asked.
    pub(crate) async fn start_behind_wire() -> (Self, Wire) {
        let database = Database::create().await;
        let wire = Wire::before(database.address()).await;
        let options = database.url_through(&wire.address).parse().unwrap();
        let session = Session::of("dbt_api_reader", read_model::SEARCH_PATH).with_timeout(PATIENCE);
        let reads = ReadPool::open(options, session, 1, api::warm_up);
        (Self::start_with(database, reads).await, wire)
    }

    async fn start_with(database: Database, reads: ReadPool) -> Self {
        let pool = database.pool("postgres");
        sqlx::raw_sql(DIRECTORY).execute(&pool).await.unwrap();
        for (key, account, environment) in [(ALL, 1, None), (DEV_ONLY, 1, Some(101)), (OTHER, 2, None)] {
            sqlx::query(
                "INSERT INTO directory.tokens VALUES (gen_random_uuid(), $1, 'token', $2, ARRAY['read'], $3, now())",
            )
            .bind(account)
            .bind(hash_of_key(key).0)
            .bind::<Option<i64>>(environment)
            .execute(&pool)
            .await
            .unwrap();
        }
        let storage = tempfile::tempdir().unwrap();
        let settings = Settings::Local {
            path: storage.path().to_owned(),
        };
        let bucket = Bucket::open(&settings).unwrap();
        let state = api::State {
            reads: service::Reads::of_primary(reads),
            token_use: api::TokenUse::default(),
            deleted_tokens: bucket::DeletedTokens::new(bucket.clone()),
            bucket: bucket.clone(),
            public_url: "https://dbt.example".to_owned(),
            clock: Clock::Fixed("2026-11-24T12:00:00Z".parse().unwrap()),
            reading: edge::Shield::new("reads", 8),
            rate: std::sync::Arc::new(edge::RateLimit::per_minute(
                api::Settings::default().requests_per_minute,
            )),
            contents: api::ContentMemory::default(),
            trimmed_manifests: api::TrimmedManifests::default(),
            discovery: discovery::Discovery::default(),
            signer: std::sync::Arc::default(),
            verifier: None,
        };
        let (routes, _) = api::router(state.clone()).split_for_parts();
        Self {
            router: console::router(state, None).merge(routes),
            pool,
            bucket,
            _database: database,
            _storage: storage,
        }
    }

    /// Asks for a page with a key.
    pub(crate) async fn get(&self, path: &str, key: &str) -> Answer {
        let request = Request::get(path).header(AUTHORIZATION, format!("Bearer {key}"));
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Answer {
            status,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// Asks for a page of account 1 that must be there.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path, ALL).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    }

    /// Asks for the JSON that a page names as its twin.
    pub(crate) async fn twin(&self, page: &str) -> Value {
        let (_, rest) = page
            .split_once(r#"<link rel="alternate" type="application/json" href=""#)
            .unwrap();
        let (address, _) = rest.split_once('"').unwrap();
        let answer = self.get(&address.replace("&amp;", "&"), ALL).await;
        assert_eq!(answer.status, StatusCode::OK, "{address}: {}", answer.body);
        serde_json::from_str::<Value>(&answer.body).unwrap()["data"].take()
    }

    /// Stores a run of an environment with a manifest that defines these nodes. Later runs have higher numbers.
    pub(crate) async fn run(&self, environment: i64, run: i64, nodes: &[Value]) {
        let time = time_of(run);
        sqlx::query(
            "INSERT INTO runs (id, account_id, project_id, environment_id, job_id, dag_id, airflow_run_id, status, created_at, updated_at,
                started_at, finished_at, kinds)
             VALUES ($1, 1, 10, $2, $2 - 95, 'daily', $1::text, 10, $3::timestamptz, $3::timestamptz, $3::timestamptz, $3::timestamptz,
                '{manifest,run_results}')",
        )
        .bind(run)
        .bind(environment)
        .bind(&time)
        .execute(&self.pool)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO run_steps (account_id, id, environment_id, run_id, invocation_id, status, created_at, updated_at, started_at)
             VALUES (1, $1 + 9000, $2, $1, 'x', 10, $3::timestamptz, $3::timestamptz, $3::timestamptz)",
        )
        .bind(run)
        .bind(environment)
        .bind(&time)
        .execute(&self.pool)
        .await
        .unwrap();
        let manifest = Sha256::of(format!("manifest {run}").as_bytes()).0;
        sqlx::query("INSERT INTO manifests (account_id, sha256, node_set, project_name) VALUES (1, $1, $1, 'shop')")
            .bind(manifest)
            .execute(&self.pool)
            .await
            .unwrap();
        let mut types: Vec<&str> = nodes.iter().map(type_of).collect();
        types.sort_unstable();
        types.dedup();
        for resource_type in types {
            let mut ids = Vec::new();
            for node in nodes.iter().filter(|node| type_of(node) == resource_type) {
                ids.push(self.node(node).await);
            }
            sqlx::query("INSERT INTO node_sets VALUES (1, $1, $2, $3)")
                .bind(manifest)
                .bind(resource_type)
                .bind(ids)
                .execute(&self.pool)
                .await
                .unwrap();
        }
        self.file(environment, run, "manifest", manifest).await;
    }

    async fn node(&self, node: &Value) -> i64 {
        let doc = node.to_string();
        let texts = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap_or_default() };
        sqlx::query_scalar(
            "INSERT INTO nodes (account_id, format, hash, unique_id, resource_type, name, folded_name, doc, depends_on, attached_node,
                package_name)
             VALUES (1, 2, $1, $2, $3, $4, lower($4), $5, $6, $7, 'shop')
             ON CONFLICT (account_id, hash) DO UPDATE SET name = excluded.name RETURNING id",
        )
        .bind(Sha256::of(doc.as_bytes()).0)
        .bind(node["unique_id"].as_str().unwrap())
        .bind(type_of(node))
        .bind(node["name"].as_str())
        .bind(DocEncoder::new().unwrap().encode(doc.as_bytes()).unwrap())
        .bind(texts(&node["depends_on"]["nodes"]))
        .bind(node["attached_node"].as_str())
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    async fn file(&self, environment: i64, run: i64, kind: &str, sha256: [u8; 32]) {
        sqlx::query(
            "INSERT INTO artifacts (event_id, place, account_id, project_id, environment_id, event_time, kind, name, sha256, size, run_id,
                step_id, dbt_project)
             VALUES (gen_random_uuid(), 0, 1, 10, $1, $2::timestamptz, $3, $3 || '.json', $4, 1, $5, $5 + 9000, 'shop')",
        )
        .bind(environment)
        .bind(time_of(run))
        .bind(kind)
        .bind(sha256)
        .bind(run)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// Stores the results of a run: ids, statuses and messages.
    pub(crate) async fn results(&self, environment: i64, run: i64, results: &[(&str, &str, &str)]) {
        let file = Sha256::of(format!("results {run}").as_bytes()).0;
        sqlx::query(
            "INSERT INTO result_files (account_id, environment_id, sha256, which, elapsed_time, failed, touches_nodes)
             VALUES (1, $1, $2, 'build', 9, false, true)",
        )
        .bind(environment)
        .bind(file)
        .execute(&self.pool)
        .await
        .unwrap();
        for (place, (unique_id, status, message)) in results.iter().enumerate() {
            let doc = json!({"unique_id": unique_id, "status": status, "message": message, "execution_time": 1.5})
                .to_string();
            let has_passed = matches!(*status, "success" | "pass");
            sqlx::query(
                "INSERT INTO node_results (account_id, environment_id, sha256, place, unique_id, status, is_attempt, at, execution_time, doc,
                    has_passed, is_success, failure)
                 VALUES (1, $1, $2, $3, $4, $5, true, $6::timestamptz, 1.5, $7, $8, $8, $9)",
            )
            .bind(environment)
            .bind(file)
            .bind(i32::try_from(place).unwrap())
            .bind(unique_id)
            .bind(status)
            .bind(time_of(run))
            .bind(DocEncoder::new().unwrap().encode(doc.as_bytes()).unwrap())
            .bind(has_passed)
            .bind(i16::from(!has_passed))
            .execute(&self.pool)
            .await
            .unwrap();
        }
        self.file(environment, run, "run_results", file).await;
    }

    /// Stores the code that the warehouse got for a node in a run's manifest, whose nodes of this type are all of them.
    pub(crate) async fn compiled(&self, environment: i64, run: i64, unique_id: &str, code: &str) {
        let manifest = Sha256::of(format!("manifest {run}").as_bytes()).0;
        let text: i64 =
            sqlx::query_scalar("INSERT INTO texts (account_id, hash, text) VALUES (1, $1, $2) RETURNING id")
                .bind(Sha256::of(code.as_bytes()).0)
                .bind(DocEncoder::new().unwrap().encode(code.as_bytes()).unwrap())
                .fetch_one(&self.pool)
                .await
                .unwrap();
        sqlx::query(
            "WITH one AS (SELECT n.id, n.resource_type FROM node_sets s JOIN nodes n ON n.id = ANY(s.node_ids)
                WHERE s.hash = $1 AND n.unique_id = $2),
             stored AS (INSERT INTO text_sets SELECT 1, $1, s.resource_type, array(SELECT CASE WHEN u.id = one.id THEN $3::bigint END
                    FROM unnest(s.node_ids) WITH ORDINALITY AS u (id, place) ORDER BY u.place)
                FROM node_sets s JOIN one USING (resource_type) WHERE s.hash = $1),
             pointed AS (INSERT INTO aspect_heads VALUES (1, $4, 'compiled_code', md5($2)::uuid, $3, $5::timestamptz))
             UPDATE manifests SET compiled_set = $1 WHERE sha256 = $1",
        )
        .bind(manifest)
        .bind(unique_id)
        .bind(text)
        .bind(environment)
        .bind(time_of(run))
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// Stores the catalog of a run with a single table.
    pub(crate) async fn catalog(&self, environment: i64, run: i64, unique_id: &str, columns: &[(&str, &str)]) {
        let columns = columns.iter().enumerate().map(|(index, (name, kind))| {
            (
                (*name).to_owned(),
                json!({"name": name, "type": kind, "index": index + 1}),
            )
        });
        let columns: serde_json::Map<String, Value> = columns.collect();
        let doc =
            json!({"unique_id": unique_id, "metadata": {"type": "BASE TABLE", "owner": "etl"}, "columns": columns})
                .to_string();
        let file = Sha256::of(format!("catalog {run}").as_bytes()).0;
        sqlx::query(
            "WITH node AS (INSERT INTO catalog_nodes (account_id, hash, unique_id, doc) VALUES (1, $1, $2, $3) RETURNING id),
             stored AS (INSERT INTO catalog_sets SELECT 1, $1, ARRAY[id] FROM node),
             pointed AS (INSERT INTO aspect_heads SELECT 1, $4, 'catalog', md5($2)::uuid, id, $5::timestamptz FROM node)
             INSERT INTO catalogs (account_id, sha256, catalog_set) VALUES (1, $1, $1)",
        )
        .bind(file)
        .bind(unique_id)
        .bind(DocEncoder::new().unwrap().encode(doc.as_bytes()).unwrap())
        .bind(environment)
        .bind(time_of(run))
        .execute(&self.pool)
        .await
        .unwrap();
        self.file(environment, run, "catalog", file).await;
    }
}

fn type_of(node: &Value) -> &str {
    node["resource_type"].as_str().unwrap()
}

/// When the run with this number was: each is an hour after the one before.
fn time_of(run: i64) -> String {
    format!("2026-11-10T{run:02}:00:00Z")
}

/// A node with these fields beside those that every node has.
pub(crate) fn node(unique_id: &str, fields: Value) -> Value {
    let parts: Vec<&str> = unique_id.split('.').collect();
    let mut node = json!({"unique_id": unique_id, "resource_type": parts[0], "name": parts[2], "package_name": "shop"});
    node.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    node
}

/// The text of a page as a browser shows it, without what is in elements that it does not show.
pub(crate) fn text_of(page: &str) -> String {
    let mut text = String::new();
    let mut is_text = true;
    for letter in page.chars() {
        match letter {
            '<' => is_text = false,
            '>' => is_text = true,
            letter if is_text => text.push(letter),
            _ => {}
        }
    }
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}
