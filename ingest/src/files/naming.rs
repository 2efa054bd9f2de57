//! How a request names the files that it stores, replaces or deletes.

use edge::UploadError;
use read_model::queries::files::FileKey;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::form::FormFile;
use crate::parameters::{Parameters, number_in_batch};

/// The parameters of files to store, from the form or else from the query. The tags of a batch have numbered names.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct NewFileParams {
    /// The same as in the form, which takes precedence.
    tag: Option<String>,
}

/// Which files to replace or delete, from the form or body, or else from the query.
#[derive(Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
pub(crate) struct FileNaming {
    /// The file's own slug, which wins over `tag`.
    #[param(value_type = Option<Uuid>)]
    #[schema(value_type = Option<Uuid>)]
    slug: Option<String>,
    /// The file's tag.
    pub(super) tag: Option<String>,
}

impl FileNaming {
    /// Returns the key of the files, by slug or else by tag.
    pub(super) fn key(&self) -> Result<FileKey<'_>, UploadError> {
        match (&self.slug, &self.tag) {
            (Some(slug), _) => {
                let slug: Uuid = slug.parse().map_err(|_| UploadError::no_file())?;
                Ok(FileKey::Slug(slug))
            }
            (None, Some(tag)) => Ok(FileKey::Tag(tag)),
            (None, None) => Err(UploadError::unprocessable(
                "slug",
                "can't be blank: send `slug` or `tag`",
            )),
        }
    }
}

/// Returns the tag of a file in a form: `tag` for `file`, `files[N][tag]` for `files[N][file]`.
pub(super) fn tag_of(file: &FormFile, params: &NewFileParams, parameters: &Parameters) -> Result<String, UploadError> {
    let (name, tag) = match number_in_batch(&file.part, "file") {
        None => ("tag".to_owned(), params.tag.clone()),
        Some(number) => {
            let name = format!("files[{number}][tag]");
            let tag = parameters.text(&name);
            (name, tag)
        }
    };
    tag.ok_or_else(|| UploadError::unprocessable(name, "can't be blank"))
}
