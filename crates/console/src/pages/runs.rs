//! The runs of an account, with filters.

use std::collections::HashMap;

use api::{Error, View};
use axum::extract::{Extension, State};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use directory::queries::{Environment, account, environments};
use edge::{CloudError, Query};
use maud::{Markup, html};
use read_model::queries::jobs::{Job, JobFilter, JobOrder, jobs, jobs_by_id};
use read_model::queries::page::{Order, Page as Rows, Paging};
use read_model::queries::runs::{Run, RunFilter, RunOrder, runs};
use schemas::{AccountId, EnvironmentId, JobId, RunStatus};
use serde::Deserialize;

use crate::forms::FormToken;
use crate::layout::{Document, Page};
use crate::links::{self, encoded};
use crate::parts::{ago, duration, job_name, moment, pages, run_status};

/// How many runs one page has.
const ON_PAGE: i64 = 50;

/// How many jobs one can choose from.
const MAX_CHOICES: i64 = 500;

/// The statuses in the order in which one can choose them.
const STATUSES: [RunStatus; 6] = [
    RunStatus::Error,
    RunStatus::Success,
    RunStatus::Running,
    RunStatus::Starting,
    RunStatus::Queued,
    RunStatus::Cancelled,
];

/// Which runs; all filters must hold.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Filters {
    environment: Option<i64>,
    job: Option<i64>,
    status: Option<i64>,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    page: Option<i64>,
}

/// What the runs of a page refer to.
struct Context<'a> {
    account: AccountId,
    now: DateTime<Utc>,
    environments: &'a [Environment],
    jobs: &'a HashMap<i64, Job>,
}

/// Shows a page of runs, the newest first.
pub(crate) async fn show(
    State(state): State<api::State>,
    mut view: View,
    Query(filters): Query<Filters>,
    Extension(form_token): Extension<FormToken>,
) -> Result<Document, Error> {
    let (id, now) = (view.account(), state.clock.now());
    let record = account(view.connection(), id)
        .await?
        .ok_or_else(CloudError::not_found)?;
    let environments = environments(view.connection(), id).await?;
    let order = Order {
        field: RunOrder::Id,
        descending: true,
    };
    let found = runs(view.connection(), id, &filters.of_runs(), order, filters.paging()).await?;
    let ids: Vec<i64> = found.rows.iter().map(|run| run.job_id).collect();
    let of_runs = jobs_by_id(view.connection(), id, &ids).await?;
    let of_runs: HashMap<i64, Job> = of_runs.into_iter().map(|job| (job.id, job)).collect();
    let choices = choices(&mut view, id, &filters).await?;
    drop(view);
    let context = Context {
        account: id,
        now,
        environments: &environments,
        jobs: &of_runs,
    };
    let mut above = vec![(record.name, links::account(id))];
    let environment = environments
        .iter()
        .find(|environment| Some(environment.id) == filters.environment);
    above.extend(environment.map(|environment| (environment.name.clone(), links::environment(id, environment.id))));
    Ok(Page {
        title: "Runs",
        above: &above,
        location: Some((id, filters.environment)),
        twin: Some(filters.twin(id)),
        form_token: &form_token,
        content: content(&context, &filters, &choices, &found),
    }
    .render())
}

/// The jobs that one can choose from: of the chosen environment, or of all.
async fn choices(view: &mut View, account: AccountId, filters: &Filters) -> Result<Vec<Job>, Error> {
    let filter = JobFilter {
        environment_id: filters.environment.map(EnvironmentId),
        ..JobFilter::default()
    };
    let order = Order {
        field: JobOrder::Name,
        descending: false,
    };
    let paging = Paging {
        limit: MAX_CHOICES,
        offset: 0,
    };
    Ok(jobs(view.connection(), account, &filter, order, paging).await?.rows)
}

impl Filters {
    fn page(&self) -> i64 {
        self.page.unwrap_or(1).max(1)
    }

    fn paging(&self) -> Paging {
        Paging {
            limit: ON_PAGE,
            offset: (self.page() - 1).saturating_mul(ON_PAGE),
        }
    }

    /// The whole days, in UTC.
    fn period(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let last = NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or_default();
        let within = |day: NaiveDate| day.clamp(DateTime::UNIX_EPOCH.date_naive(), last);
        let start = |day: NaiveDate| within(day).and_time(NaiveTime::MIN).and_utc();
        let end = |day: NaiveDate| start(day) + TimeDelta::days(1) - TimeDelta::microseconds(1);
        match (self.from, self.to) {
            (None, None) => None,
            (from, to) => Some((
                from.map_or(DateTime::UNIX_EPOCH, start),
                to.map_or_else(|| start(last), end),
            )),
        }
    }

    fn of_runs(&self) -> RunFilter {
        RunFilter {
            environment_id: self.environment.map(EnvironmentId),
            job_id: self.job.map(JobId),
            statuses: self.status.map(|status| vec![status]),
            created: self.period(),
            ..RunFilter::default()
        }
    }

    /// The query of this page, with another number of the page.
    fn query(&self, page: i64) -> String {
        let text = |name: &str, value: Option<String>| value.map(|value| format!("{name}={value}"));
        let number = |name: &str, value: Option<i64>| text(name, value.map(|value| value.to_string()));
        let parts = [
            number("environment", self.environment),
            number("job", self.job),
            number("status", self.status),
            text("from", self.from.map(|day| day.to_string())),
            text("to", self.to.map(|day| day.to_string())),
            number("page", Some(page).filter(|page| *page > 1)),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("&")
    }

    fn twin(&self, AccountId(account): AccountId) -> String {
        let mut address = format!(
            "/api/v2/accounts/{account}/runs?order_by=-id&limit={ON_PAGE}&offset={}",
            self.paging().offset
        );
        let numbers = [
            ("environment_id", self.environment),
            ("job_definition_id", self.job),
            ("status", self.status),
        ];
        for (name, value) in numbers {
            if let Some(value) = value {
                address.push_str(&format!("&{name}={value}"));
            }
        }
        if let Some((from, to)) = self.period() {
            let range = format!("[\"{}\",\"{}\"]", from.to_rfc3339(), to.to_rfc3339());
            address.push_str(&format!("&created_at__range={}", encoded(&range)));
        }
        address
    }
}

fn content(context: &Context<'_>, filters: &Filters, choices: &[Job], found: &Rows<Run>) -> Markup {
    let address = |page| links::runs(context.account, &filters.query(page));
    html! {
        h1 { "Runs" }
        (form(context, filters, choices))
        @if found.rows.is_empty() {
            p.empty { "No run meets these filters." }
        } @else {
            div.scroll { table {
                thead { tr {
                    th { "Run" } th { "Status" } th { "Job" } th { "Environment" } th { "Started" } th.number { "Took" } th { "dbt" }
                } }
                tbody { @for run in &found.rows { (row(context, run)) } }
            } }
            (pages(filters.page(), ON_PAGE, found.rows.len(), found.total, address))
        }
    }
}

fn form(context: &Context<'_>, filters: &Filters, choices: &[Job]) -> Markup {
    html! {
        form.filters method="get" action=(links::runs(context.account, "")) {
            label { "Environment"
                select name="environment" {
                    option value="" { "All" }
                    @for environment in context.environments {
                        option value=(environment.id) selected[filters.environment == Some(environment.id)] { (environment.name) }
                    }
                }
            }
            label { "Job"
                select name="job" {
                    option value="" { "All" }
                    @for job in choices {
                        option value=(job.id) selected[filters.job == Some(job.id)] { (choice(context, filters, job)) }
                    }
                }
            }
            label { "Status"
                select name="status" {
                    option value="" { "All" }
                    @for status in STATUSES {
                        option value=(status.number()) selected[filters.status == Some(status.number().into())] { (status.humanized()) }
                    }
                }
            }
            label { "From" input type="date" name="from" value=[filters.from]; }
            label { "To" input type="date" name="to" value=[filters.to]; }
            button type="submit" { "Show" }
        }
    }
}

/// The name of a job, with its environment unless one is chosen: jobs of several environments may have the same name.
fn choice(context: &Context<'_>, filters: &Filters, job: &Job) -> String {
    let name = job_name(job.dag_id.as_deref());
    let mut environments = context.environments.iter();
    match environments.find(|environment| environment.id == job.environment_id) {
        Some(environment) if filters.environment.is_none() => format!("{name} ({})", environment.name),
        _ => name.to_owned(),
    }
}

fn row(context: &Context<'_>, run: &Run) -> Markup {
    let job = context.jobs.get(&run.job_id);
    let environment = context
        .environments
        .iter()
        .find(|environment| environment.id == run.environment_id);
    let started = run.started_at.unwrap_or(run.created_at);
    html! {
        tr {
            td { a href=(links::run(context.account, run.id)) { "#" (run.id) } }
            td { (run_status(run.status)) }
            td { @if let Some(job) = job {
                a href=(links::runs(context.account, &format!("environment={}&job={}", job.environment_id, job.id))) { bdi { (job_name(job.dag_id.as_deref())) } }
            } }
            td { @if let Some(environment) = environment {
                a href=(links::environment(context.account, environment.id)) { bdi { (environment.name) } }
            } }
            td { (moment(started)) div.note { (ago(started, context.now)) } }
            td.number { (run.finished_at.map_or_else(|| "–".to_owned(), |end| duration(end - started))) }
            td { (run.dbt_version.as_deref().unwrap_or_default()) }
        }
    }
}
