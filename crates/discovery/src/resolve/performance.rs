//! `performance`: how long models took, how often they ran and failed, in a period of days.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use read_model::queries::discovery::{self, Execution};
use serde_json::{Value as Json, json};

use super::{Resolver, required};
use crate::arguments::{argument, number, text};
use crate::error::{Error, QueryError};
use crate::facts::time_json;
use crate::plan::{Selected, TYPENAME};
use crate::tree::Tree;
use crate::types::date;

/// The longest period, in days.
const MAX_DAYS: i64 = 366;

/// The most executions that one field is made from.
const MAX_EXECUTIONS: i64 = 500_000;

/// How many models and jobs are listed where the query does not say.
const DEFAULT_LIMIT: i64 = 10;

impl Resolver<'_> {
    pub(super) async fn performance(&mut self, selected: &Arc<Selected>) -> Result<Tree, Error> {
        let data = self.data_of_environment(required(selected, "environmentId")?).await?;
        let mut fields = Vec::new();
        for field in &selected.only().fields {
            if field.name != TYPENAME {
                self.count_read(field)?;
                check_limits(field)?;
            }
            let value = match field.name.as_str() {
                "jobInformation" => jobs(&self.executions(data, field, &["model"]).await?),
                "longestExecutedModels" | "mostExecutedModels" => {
                    executed(&self.executions(data, field, &["model"]).await?, field)
                }
                "modelExecutionHistory" => {
                    let executions = self.executions(data, field, &["model"]).await?;
                    let adapter = self.datas[data]
                        .scope
                        .head
                        .as_ref()
                        .and_then(|head| head.adapter_type.clone());
                    days(&executions, adapter.as_deref())
                }
                "mostExecutionFailedModels" => failed(&self.executions(data, field, &["model"]).await?, field),
                "mostTestFailedModels" => {
                    let executions = self.executions(data, field, &["test", "unit_test"]).await?;
                    self.failed_tests(data, &executions, field)
                }
                _ => {
                    fields.push((field.key.clone(), Self::typename_or_null(selected, field)));
                    continue;
                }
            };
            fields.push((field.key.clone(), Tree::Json(value, Arc::clone(field))));
        }
        Ok(Tree::Object(fields))
    }

    async fn executions(&mut self, data: usize, field: &Selected, types: &[&str]) -> Result<Vec<Execution>, Error> {
        let period = period(field)?;
        let types: Vec<String> = types.iter().map(|name| (*name).to_owned()).collect();
        let scope = &self.datas[data].scope;
        let unique_id = text(argument(field, "uniqueId"));
        let (account, environment) = (scope.account, scope.environment);
        let rows = discovery::executions(
            self.connection,
            account,
            environment,
            period,
            &types,
            unique_id,
            MAX_EXECUTIONS,
        );
        let rows = rows.await?;
        if rows.first().is_some_and(|first| first.matching > MAX_EXECUTIONS) {
            return Err(QueryError::too_large(format!(
                "the period has more than {MAX_EXECUTIONS} executions: ask for fewer days"
            ))
            .into());
        }
        Ok(rows)
    }

    /// The models with the runs in which one of their tests failed.
    fn failed_tests(&self, data: usize, executions: &[Execution], field: &Selected) -> Json {
        let graph = &self.datas[data].scope.graph;
        let mut runs: BTreeMap<&str, (BTreeSet<i64>, BTreeSet<i64>)> = BTreeMap::new();
        for execution in executions {
            let (Some(test), Some(run)) = (graph.find(&execution.unique_id), execution.run_id) else {
                continue;
            };
            let tested = graph
                .node(test)
                .parents
                .iter()
                .filter(|parent| graph.node(**parent).tests.contains(&test));
            for model in tested.filter(|index| &*graph.node(**index).resource_type == "model") {
                let (all, failed) = runs.entry(graph.id(*model)).or_default();
                all.insert(run);
                if !execution.has_passed {
                    failed.insert(run);
                }
            }
        }
        let mut models: Vec<(&str, usize, usize)> = runs
            .into_iter()
            .map(|(id, (all, failed))| (id, all.len(), failed.len()))
            .filter(|(.., failed)| *failed > 0)
            .collect();
        models.sort_by(|one, other| other.2.cmp(&one.2).then(one.0.cmp(other.0)));
        let models = models.into_iter().take(limit(field, "limit"));
        let models = models.map(|(id, all, failed)| {
            json!({
                "uniqueId": id,
                "totalRunsWithTests": all,
                "totalRunsWithTestFailures": failed,
                "failurePercentage": percentage(failed, all),
            })
        });
        models.collect()
    }
}

/// The days from the first to the last, both included. dbt Cloud names them differently in one of the fields.
fn period(field: &Selected) -> Result<(DateTime<Utc>, DateTime<Utc>), QueryError> {
    let day = |names: [&str; 2]| -> Result<NaiveDate, QueryError> {
        let found = names.iter().find_map(|name| argument(field, name)).and_then(date);
        found.ok_or_else(|| QueryError::invalid(format!("missing `{}`: this argument is required", names[0])))
    };
    let (from, to) = (day(["start", "startDate"])?, day(["end", "endDate"])?);
    let days = to.signed_duration_since(from).num_days();
    if !(0..=MAX_DAYS).contains(&days) {
        return Err(QueryError::invalid(format!(
            "invalid period: expected 0 to {MAX_DAYS} days from the start to the end, got `{days}`"
        )));
    }
    let at = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    let after = to.checked_add_days(Days::new(1)).unwrap_or(to);
    Ok((at(from), at(after)))
}

fn limit(field: &Selected, name: &str) -> usize {
    let limit = number(field, name).unwrap_or(DEFAULT_LIMIT);
    usize::try_from(limit).unwrap_or_default()
}

fn check_limits(field: &Selected) -> Result<(), QueryError> {
    for name in ["limit", "jobLimit"] {
        if let Some(limit) = number(field, name).filter(|limit| *limit < 0) {
            let message = format!("invalid `{name}`: expected a whole number from 0, got `{limit}`");
            return Err(QueryError::invalid(message));
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "numbers of runs are small")]
fn percentage(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}

fn times(executions: &[&Execution]) -> Vec<f64> {
    executions
        .iter()
        .filter_map(|execution| execution.execution_time)
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "numbers of runs are small")]
fn mean(times: &[f64]) -> Option<f64> {
    (!times.is_empty()).then(|| times.iter().sum::<f64>() / times.len() as f64)
}

fn max(times: &[f64]) -> Option<f64> {
    times.iter().copied().reduce(f64::max)
}

fn by<'e, K: Ord>(executions: &[&'e Execution], key: impl Fn(&'e Execution) -> K) -> BTreeMap<K, Vec<&'e Execution>> {
    let mut groups: BTreeMap<K, Vec<&Execution>> = BTreeMap::new();
    for execution in executions {
        groups.entry(key(execution)).or_default().push(execution);
    }
    groups
}

/// Models by their execution times, or by how often they ran.
fn executed(executions: &[Execution], field: &Selected) -> Json {
    let job = number(field, "jobId");
    let wanted: Vec<&Execution> = executions
        .iter()
        .filter(|one| job.is_none() || one.job_id == job)
        .collect();
    let by_mean = text(argument(field, "orderBy")) == Some("AVG");
    let is_by_count = field.name == "mostExecutedModels";
    let rank = |executions: &[&Execution]| -> f64 {
        let times = times(executions);
        let of_times = if by_mean { mean(&times) } else { max(&times) };
        #[expect(clippy::cast_precision_loss, reason = "numbers of runs are small")]
        let count = executions.len() as f64;
        if is_by_count {
            count
        } else {
            of_times.unwrap_or_default()
        }
    };
    let mut models: Vec<(&str, Vec<&Execution>)> = by(&wanted, |one| one.unique_id.as_str()).into_iter().collect();
    models.sort_by(|one, other| rank(&other.1).total_cmp(&rank(&one.1)).then(one.0.cmp(other.0)));
    let models = models.into_iter().take(limit(field, "limit")).map(|(id, executions)| {
        let mut jobs: Vec<(Option<i64>, Vec<&Execution>)> = by(&executions, |one| one.job_id).into_iter().collect();
        jobs.sort_by(|one, other| rank(&other.1).total_cmp(&rank(&one.1)));
        let jobs = jobs
            .into_iter()
            .take(limit(field, "jobLimit"))
            .map(|(job, executions)| {
                let mut of_job = totals(&executions);
                of_job["jobId"] = json!(job);
                of_job
            });
        let mut model = totals(&executions);
        model["byJob"] = jobs.collect();
        model["uniqueId"] = json!(id);
        model
    });
    models.collect()
}

fn totals(executions: &[&Execution]) -> Json {
    let times = times(executions);
    json!({
        "averageExecutionTime": mean(&times),
        "maxExecutionTime": max(&times),
        "totalExecutions": executions.len(),
    })
}

fn failed(executions: &[Execution], field: &Selected) -> Json {
    let all: Vec<&Execution> = executions.iter().collect();
    let count = |executions: &[&Execution]| executions.iter().filter(|one| !one.has_passed).count();
    let mut models: Vec<(&str, usize, usize)> = by(&all, |one| one.unique_id.as_str())
        .into_iter()
        .map(|(id, executions)| (id, executions.len(), count(&executions)))
        .filter(|(.., failed)| *failed > 0)
        .collect();
    models.sort_by(|one, other| other.2.cmp(&one.2).then(one.0.cmp(other.0)));
    let models = models.into_iter().take(limit(field, "limit")).map(|(id, all, failed)| {
        json!({
            "uniqueId": id,
            "totalExecutions": all,
            "totalFailedExecutions": failed,
            "failurePercentage": percentage(failed, all),
        })
    });
    models.collect()
}

/// The executions of a model by day and job.
fn days(executions: &[Execution], adapter: Option<&str>) -> Json {
    let all: Vec<&Execution> = executions.iter().collect();
    let days = by(&all, |one| one.at.date_naive())
        .into_iter()
        .map(|(day, executions)| {
            let of_day = times(&executions);
            let jobs = by(&executions, |one| one.job_id).into_iter().map(|(job, executions)| {
                let of_job = times(&executions);
                json!({
                    "jobId": job,
                    "meanExecutionTime": mean(&of_job),
                    "executionTimes": of_job,
                    "executions": executions.iter().map(|one| execution(one, adapter)).collect::<Json>(),
                })
            });
            json!({
                "date": day.to_string(),
                "meanExecutionTime": mean(&of_day),
                "executionTimes": of_day,
                "executionsByJob": jobs.collect::<Json>(),
            })
        });
    days.collect()
}

fn execution(execution: &Execution, adapter: Option<&str>) -> Json {
    json!({
        "adapter": adapter,
        "executionTime": execution.execution_time,
        "runId": execution.run_id,
        "runStartedAt": time_json(execution.run_started_at),
        "status": execution.status,
    })
}

/// The jobs that ran a model.
fn jobs(executions: &[Execution]) -> Json {
    let jobs: BTreeMap<i64, &str> = executions
        .iter()
        .filter_map(|one| Some((one.job_id?, one.dag_id.as_deref().unwrap_or("(unknown DAG)"))))
        .collect();
    jobs.into_iter()
        .map(|(job, name)| json!({ "jobId": job, "name": name }))
        .collect()
}
