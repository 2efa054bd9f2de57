//! Implements `dbt-api config`.

use crate::output::Output;
use crate::settings::Settings;

pub(crate) fn check(output: Output) -> anyhow::Result<()> {
    Settings::load()?;
    output.done("The settings are valid.")
}

pub(crate) fn variables(output: Output) -> anyhow::Result<()> {
    output.lines(&Settings::variables())
}
