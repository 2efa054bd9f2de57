//! The read model in PostgreSQL, which is what the API shows: the migrations, the writes of the projector and the queries of the API.

mod airflow;
mod artifacts;
mod aspects;
mod catalogs;
mod dead_letters;
mod doc;
mod failures;
mod files;
mod format;
mod ids;
mod journal;
mod manifests;
mod outage;
mod places;
mod projects;
mod prune;
pub mod queries;
mod rebuild;
mod results;
mod run_keys;
mod runs;
mod steps;
mod text;
mod texts;

pub use airflow::{
    Observation, Observed, active_observations, insert_observation, newest_observations, observations,
    prune_observations, try_lock_observing,
};
pub use artifacts::{Artifact, insert_artifacts};
pub use aspects::{FileAspects, aspects_of_files, environments_of_files, note_aspects, recompute_aspects};
pub use catalogs::{CatalogRow, has_catalog, insert_catalog};
pub use dead_letters::{DeadLetter, count_dead_letters, dead_letter, dead_letters, drop_dead_letter};
pub use doc::{DocDecoder, DocEncoder, InvalidDoc, decode_doc, doc_size};
pub use files::{delete_files, insert_files};
pub use format::needs_rebuild;
pub use ids::{JobKey, Numbers, RunKey, first_free_id, id_of_key, lock_ids, record_id, step_id, unrecorded_ids};
pub use journal::{
    Admission, Generation, add_to_ledger, begin_attempt, begin_removal, end_attempt, forget_attempt, generation,
    insert_dead_letter, lock_account, lock_account_alone, lock_contents, lock_event, remove_from_ledger,
    set_swept_upto, swept_upto, unknown_of,
};
pub use manifests::{
    ManifestFacts, ManifestTexts, NodeRow, NodeSetMember, QuarantineRow, has_manifest, has_node_set, ids_of_nodes,
    insert_manifest, insert_node_set, insert_nodes, project_of_manifest,
};
pub use outage::{is_outage, is_timeout};
pub use places::{Placed, lock_placement, places_of_files, places_of_invocations, set_placement, unplaced_alike};
pub use projects::{
    ProjectManifest, manifests_of_project, projects_of_environment, refresh_environment_nodes, refresh_run_nodes,
    retire_project,
};
pub use prune::{
    Candidate, FileOfUpload, Prunable, artifacts_of, forget_contents, is_pruned, note_pruned, prunable_runs,
    remove_upload, uploads_of_runs,
};
pub use rebuild::{
    Difference, analyze, compare, copy_dropped, create_schema, drop_schema, has_schema, is_lock_conflict,
    is_of_this_version, lock_read_model, lock_rebuild, missing_in, search_path, swap,
};
pub use results::{ResultFile, ResultRow, has_results, insert_results, limit_times};
pub use run_keys::key_of_run;
pub use runs::{RunPlace, refresh_run, shrink_run};
pub use steps::refresh_steps;
pub use text::without_nul;
pub use texts::{TextRow, TextSet, has_text_set, ids_of_texts, insert_text_set, insert_texts};

/// The migrations, which create tables, policies and roles. They must run on a connection with the default search path.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// The search path that all statements assume.
pub const SEARCH_PATH: &str = "read_model,ids,directory,public";
