//! `order_by`: the field that a list is ordered by.

use std::borrow::Cow;

use read_model::queries::page::Order;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::choice::{Choice, text_of};

/// The value of `order_by`: one of the fields, with `-` in front to reverse the order. By default the first field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderBy<F>(pub(crate) Order<F>);

impl<F: Choice> Default for OrderBy<F> {
    fn default() -> Self {
        Self(Order {
            field: F::ALL[0].1,
            descending: false,
        })
    }
}

impl<'de, F: Choice> Deserialize<'de> for OrderBy<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (name, descending) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text.as_str(), false),
        };
        let field = F::named(name).ok_or_else(|| {
            let names: Vec<String> = F::ALL.iter().map(|(name, _)| format!("`{name}`")).collect();
            D::Error::custom(format_args!("{}, or one of them with `-` in front", names.join(", ")))
        })?;
        Ok(Self(Order { field, descending }))
    }
}

impl<F: Choice> PartialSchema for OrderBy<F> {
    fn schema() -> RefOr<Schema> {
        let values = F::ALL
            .iter()
            .flat_map(|(name, _)| [(*name).to_owned(), format!("-{name}")]);
        text_of(values).default(Some(F::ALL[0].0.into())).into()
    }
}

impl<F: Choice> ToSchema for OrderBy<F> {
    /// Each type of fields has values of its own, so it needs a schema of its own.
    fn name() -> Cow<'static, str> {
        let fields = std::any::type_name::<F>();
        format!("OrderBy{}", fields.rsplit("::").next().unwrap_or(fields)).into()
    }
}
