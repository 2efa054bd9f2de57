//! Files that clients store and find again by tag, name or slug.

mod answer;
pub(crate) mod naming;
pub(crate) mod v2;
pub(crate) mod v3;

use std::time::Duration;

use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use directory::{Access, EnvironmentEntry};
use edge::{FileOwner, Needed, UploadError};
use read_model::outage::explained;
use read_model::queries;
use read_model::queries::files::{File, FileKey, FileScope};
use schemas::{DeletedFiles, EventId, FileDeleted, FilesStored, StoredFile};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use crate::Ingest;
use crate::body::ClientBody;
use crate::form::{Form, FormFile, discard};
use crate::parameters::Parameters;
use crate::spool::Expected;
use crate::store::{NamedFile, Upload, to_the_end};
use crate::upload_metrics;

use answer::{Answer, Described};

/// How long an answer waits for its event to be projected: clients read back what they have just stored.
const MAX_PROJECTION_WAIT: Duration = Duration::from_secs(1);

/// The longest file name, in bytes.
const MAX_NAME_LEN: usize = 255;

/// The most characters of an invalid file name that an error repeats.
const MAX_NAME_SHOWN: usize = 100;

/// Files to store with a single event. The request holds its turn until they are stored.
struct NewFiles {
    files: Vec<NewFile>,
    /// When the file that they replace was stored.
    after: Option<DateTime<Utc>>,
    turn: OwnedSemaphorePermit,
}

/// A file to store.
struct NewFile {
    slug: Uuid,
    tag: Option<String>,
    file: NamedFile,
}

/// The parameters and files of a request.
struct Received {
    parameters: Parameters,
    files: Vec<FormFile>,
    turn: OwnedSemaphorePermit,
}

/// Reads the form of a request. Its parameters override those of the query.
async fn read_form(ingest: &Ingest, head: &Parts, body: &ClientBody) -> Result<Received, UploadError> {
    let turn = ingest.turns.admit(body, ingest.settings.idle_timeout).await?;
    let query = Parameters::of_query(head.uri.query().unwrap_or_default().as_bytes())?;
    let form = Form::read(head, body, &ingest.settings, Expected::AnyFile);
    let form = ingest.turns.unless_slow(body, form).await?.with_files()?;
    Ok(Received {
        parameters: form.parameters.or(query),
        files: form.files,
        turn,
    })
}

/// Counts a request with files and answers it. A refused body is still read for a while, so that its client sees the answer.
async fn answer(result: Result<Response, impl IntoResponse>, head: &Parts, body: ClientBody) -> Response {
    let (response, refused) = match result {
        Ok(response) => (response, false),
        Err(error) => (error.into_response(), true),
    };
    upload_metrics::count(upload_metrics::FILE, response.status());
    if refused {
        discard(head, body).await;
    }
    response
}

/// Strips the folders that some clients put before a file name, and checks the name.
fn plain_name(name: Option<&str>, field: &'static str) -> Result<String, UploadError> {
    let name = name.unwrap_or("file");
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_plain = !name.is_empty() && name != "." && name != ".." && !name.chars().any(char::is_control);
    if is_plain && name.len() <= MAX_NAME_LEN {
        return Ok(name.to_owned());
    }
    let beginning: String = name.chars().take(MAX_NAME_SHOWN).collect();
    let rule = format!(
        "expected a file name of 1 to {MAX_NAME_LEN} bytes without control characters, got `{}`",
        beginning.escape_default()
    );
    Err(UploadError::unprocessable(field, rule))
}

/// Gives a file of a form its name. A file named like a manifest must be JSON.
fn named_file(name: String, file: FormFile) -> Result<NamedFile, UploadError> {
    let FormFile { part, spooled, .. } = file;
    let checked = spooled.check_name(&name);
    checked.map_err(|error| UploadError::unprocessable(part, error.to_string()))?;
    Ok(NamedFile::new(name, spooled))
}

impl Ingest {
    /// Stores all of the files with a single event, or none of them.
    async fn store_files(
        &self,
        access: &Access,
        at: FileScope,
        environment: &str,
        new: NewFiles,
    ) -> Result<Vec<Described>, UploadError> {
        let (ingest, uploader, environment) = (self.clone(), access.token_id, environment.to_owned());
        to_the_end(async move {
            let NewFiles { files, after, turn } = new;
            let (mut stored, mut contents) = (Vec::new(), Vec::new());
            for NewFile { slug, tag, file } in files {
                contents.push((file.uploaded.sha256, file.compressed));
                let file = file.uploaded;
                stored.push(StoredFile { slug, tag, file });
            }
            let data = FilesStored {
                account_id: at.account,
                project_id: at.project,
                environment_id: at.environment,
                uploader,
                files: stored.clone(),
            };
            let upload = Upload {
                event_id: None,
                after,
                data: data.into(),
                contents,
            };
            let event = ingest.store(upload).await?;
            drop(turn);
            ingest.await_projection(event.id).await;
            Ok(stored
                .iter()
                .map(|file| Described::new(file, FileOwner::Environment(environment.clone()), event.time))
                .collect())
        })
        .await
    }

    /// Stores a project's file whose bytes are already in the bucket.
    async fn store_again(&self, access: &Access, at: FileScope, file: StoredFile) -> Result<Described, UploadError> {
        let data = FilesStored {
            account_id: at.account,
            project_id: at.project,
            environment_id: at.environment,
            uploader: access.token_id,
            files: vec![file.clone()],
        };
        let event = self.store(Upload::without_bytes(data, None)).await?;
        self.await_projection(event.id).await;
        let owner = FileOwner::Project(at.account, at.project);
        Ok(Described::new(&file, owner, event.time))
    }

    /// Deletes all files with this key: a tag or name may have several. Returns `None` if there is no such file.
    async fn delete_files(&self, access: &Access, at: FileScope, key: FileKey<'_>) -> Result<Option<()>, UploadError> {
        let found = match self.file(at, key).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) => {
                let error = explained(&self.pool, error).await;
                return Err(UploadError::unavailable(Needed::Database, &error));
            }
        };
        let data = FileDeleted {
            account_id: at.account,
            project_id: at.project,
            environment_id: at.environment,
            files: match key {
                FileKey::Slug(slug) => DeletedFiles::Slug(slug),
                FileKey::Tag(tag) => DeletedFiles::Tag(tag.to_owned()),
                FileKey::Filename(name) => DeletedFiles::Filename(name.to_owned()),
            },
            deleted_by: access.token_id,
        };
        let event = self.store(Upload::without_bytes(data, Some(found.inserted_at))).await?;
        self.await_projection(event.id).await;
        Ok(Some(()))
    }

    /// Returns the newest file with this key.
    async fn file(&self, at: FileScope, key: FileKey<'_>) -> sqlx::Result<Option<File>> {
        let mut connection = self.pool.acquire().await?;
        queries::files::file(&mut connection, at, key).await
    }

    fn new_slug(&self) -> Uuid {
        self.clock.new_id(self.clock.now())
    }

    /// Waits briefly until an event has been applied. The answer is the same if it has not.
    async fn await_projection(&self, event: EventId) {
        let applied = async {
            let mut pause = Duration::from_millis(4);
            while matches!(queries::files::is_applied(&self.pool, event).await, Ok(false)) {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
        };
        tokio::time::timeout(MAX_PROJECTION_WAIT, applied).await.ok();
    }
}

/// Returns the scope of an environment's files.
fn of_environment(entry: &EnvironmentEntry) -> FileScope {
    FileScope {
        account: entry.account_id,
        project: entry.project_id,
        environment: Some(entry.environment_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_cannot_leave_their_folder() {
        let name = |name: &str| plain_name(Some(name), "file").ok();
        assert_eq!(name("a.json").as_deref(), Some("a.json"));
        assert_eq!(name("../../etc/passwd").as_deref(), Some("passwd"));
        assert_eq!(name("C:\\x\\y.txt").as_deref(), Some("y.txt"));
        for bad in ["", "..", ".", "a/", "a\nb", "/", &"a".repeat(256)] {
            assert_eq!(name(bad), None, "{bad}");
        }
        assert_eq!(plain_name(None, "file").unwrap(), "file");
        let refused = format!("{:?}", plain_name(Some("folder/a\nb"), "file").unwrap_err());
        assert!(
            refused.contains("expected a file name of 1 to 255 bytes without control characters, got `a"),
            "{refused}"
        );
    }
}
