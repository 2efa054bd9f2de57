//! Converts a manifest to rows.

mod write;

use std::collections::BTreeSet;
use std::ops::Range;

use artifacts::{Manifest, Node};
use read_model::doc::DocEncoder;
use read_model::manifests::{ManifestFacts, ManifestRow, ManifestTexts, NodeRow, NodeSetMember, QuarantineRow};
use read_model::text::without_nul;
use read_model::texts::{TextRow, TextSet};
use schemas::{AccountId, Sha256, UploadedFile};

pub(super) use self::write::write_all;

use super::reading::{off_the_runtime, rejected};
use crate::{ApplyError, Projector};

/// A manifest that was read.
pub(crate) struct ReadManifest {
    row: ManifestRow,
    /// The compiled code, or `None` if nothing was compiled.
    compiled: Option<TextSet>,
    /// The called macros, or `None` if no node calls a macro.
    macros: Option<TextSet>,
    source: Source,
}

/// Reads a manifest from the bucket.
pub(crate) async fn read(
    projector: &Projector,
    account: AccountId,
    file: &UploadedFile,
) -> Result<ReadManifest, ApplyError> {
    let bytes = projector.bucket.read_artifact(account, file.sha256, file.size).await?;
    let sha256 = file.sha256;
    off_the_runtime(move || {
        let manifest = Manifest::read(bytes).map_err(rejected)?;
        Ok(ReadManifest::of(account, sha256, manifest))
    })
    .await
}

/// The source of the rows.
struct Source {
    account: AccountId,
    manifest: Manifest,
    members: Vec<NodeSetMember>,
    /// The range of each member in the text, and more data of it.
    facts: Vec<NodeFacts>,
}

/// The range of a node in the text, and more data of the node.
struct NodeFacts {
    range: Range<usize>,
    /// The hash of the compiled code, if there is any.
    code: Option<Sha256>,
    /// The hash of the list of called macros, if there are any.
    macros: Option<Sha256>,
    /// Whether the command has compiled or run the node, or `None` if the node does not say.
    has_traces: Option<bool>,
    /// What the node shows about the whole manifest.
    sign: Option<Sign>,
}

/// What a node shows about its manifest.
enum Sign {
    /// The node is a hook that dbt runs before the nodes.
    StartHook,
    /// The node is a hook that dbt runs after the nodes.
    EndHook,
    /// The node is a source with a limit for its age.
    CheckedSource,
}

impl Sign {
    fn of(node: &Node<'_>) -> Option<Self> {
        match node.resource_type() {
            "operation" => {
                let tags = node.tags();
                let is_of = |hook: &str| tags.iter().any(|tag| tag == hook);
                match (is_of("on-run-start"), is_of("on-run-end")) {
                    (true, _) => Some(Self::StartHook),
                    (_, true) => Some(Self::EndHook),
                    _ => None,
                }
            }
            "source" => node.has_freshness().then_some(Self::CheckedSource),
            _ => None,
        }
    }
}

/// The list of macros that a node calls, as JSON.
fn macros_of(node: &Node<'_>) -> Option<String> {
    let macros = node.depends_on_macros();
    (!macros.is_empty()).then(|| serde_json::Value::from(macros).to_string())
}

impl ReadManifest {
    /// How many nodes it defines.
    pub(crate) fn nodes(&self) -> usize {
        self.source.members.len()
    }

    fn of(account: AccountId, sha256: Sha256, manifest: Manifest) -> Self {
        let mut nodes = manifest.map_nodes(|node| {
            let member = NodeSetMember {
                resource_type: without_nul(node.resource_type()),
                unique_id: without_nul(node.unique_id()),
                hash: node.content().sha256,
            };
            let facts = NodeFacts {
                range: manifest.range_of(&node),
                code: node.compiled_code().map(|code| Sha256::of(code.as_bytes())),
                macros: macros_of(&node).map(|macros| Sha256::of(macros.as_bytes())),
                has_traces: node.says_where_built().then(|| node.has_traces()),
                sign: Sign::of(&node),
            };
            (member, facts)
        });
        nodes.sort_unstable_by(|(one, at), (other, there)| {
            let order = one.cmp(other);
            order.then((at.code, at.macros).cmp(&(there.code, there.macros)))
        });
        let (members, facts): (Vec<NodeSetMember>, Vec<NodeFacts>) = nodes.into_iter().unzip();
        let codes = facts.iter().map(|one| one.code).collect();
        let macros = facts.iter().map(|one| one.macros).collect();
        let mut all = Vec::with_capacity(members.len() * 32);
        for member in &members {
            all.extend_from_slice(&member.hash.0);
        }
        let metadata = &manifest.metadata;
        let text = |value: &Option<String>| value.as_deref().map(without_nul);
        let (compiled, macros) = (TextSet::of(&members, codes), TextSet::of(&members, macros));
        let hooks = |is_wanted: fn(&Sign) -> bool| -> Vec<String> {
            let signs = members.iter().zip(&facts);
            signs
                .filter(|(_, one)| one.sign.as_ref().is_some_and(is_wanted))
                .map(|(member, _)| member.unique_id.clone())
                .collect()
        };
        let project = match &metadata.project_name {
            Some(name) => Some(name.clone()),
            None => metadata.project(&packages_of(&manifest)),
        };
        let row = ManifestRow {
            account,
            sha256,
            facts: ManifestFacts {
                dbt_schema_version: text(&metadata.dbt_schema_version),
                dbt_version: text(&metadata.dbt_version),
                project_name: text(&project),
                adapter_type: text(&metadata.adapter_type),
                generated_at: metadata.generated_at,
                start_hooks: hooks(|sign| matches!(sign, Sign::StartHook)),
                end_hooks: hooks(|sign| matches!(sign, Sign::EndHook)),
                checks_freshness: facts.iter().any(|one| matches!(one.sign, Some(Sign::CheckedSource))),
                // A manifest without this information counts as complete.
                has_traces: facts.iter().any(|one| one.has_traces == Some(true))
                    || facts.iter().all(|one| one.has_traces.is_none()),
                texts: ManifestTexts {
                    compiled: compiled.as_ref().map(|set| set.hash),
                    macros: macros.as_ref().map(|set| set.hash),
                },
            },
            node_set: Sha256::of(&all),
            quarantine: manifest
                .quarantined
                .iter()
                .map(|node| QuarantineRow {
                    section: without_nul(&node.section),
                    unique_id: without_nul(&node.unique_id),
                    reason: without_nul(&node.reason),
                })
                .collect(),
        };
        Self {
            row,
            compiled,
            macros,
            source: Source {
                account,
                manifest,
                members,
                facts,
            },
        }
    }
}

impl Source {
    fn node_rows(&self, of: &[usize]) -> Result<Vec<NodeRow>, ApplyError> {
        let mut encoder = DocEncoder::new().map_err(rejected)?;
        of.iter()
            .map(|at| {
                let node = self.node(*at)?;
                let doc = encoder.encode(&node.content().json).map_err(rejected)?;
                Ok(row_of(&node, self.account, self.members[*at].hash, doc))
            })
            .collect()
    }

    fn code_rows(&self, of: &[usize]) -> Result<Vec<TextRow>, ApplyError> {
        let hash = |facts: &NodeFacts| facts.code;
        self.text_rows(of, hash, |node| node.compiled_code().map(|code| code.into_owned()))
    }

    fn macro_rows(&self, of: &[usize]) -> Result<Vec<TextRow>, ApplyError> {
        self.text_rows(of, |facts| facts.macros, macros_of)
    }

    fn text_rows(
        &self,
        of: &[usize],
        hash: fn(&NodeFacts) -> Option<Sha256>,
        text: fn(&Node<'_>) -> Option<String>,
    ) -> Result<Vec<TextRow>, ApplyError> {
        let (mut rows, mut encoder) = (Vec::new(), DocEncoder::new().map_err(rejected)?);
        for at in of {
            if let (Some(hash), Some(text)) = (hash(&self.facts[*at]), text(&self.node(*at)?)) {
                let text = encoder.encode(text.as_bytes()).map_err(rejected)?;
                rows.push(TextRow {
                    account: self.account,
                    hash,
                    text,
                });
            }
        }
        Ok(rows)
    }

    fn node(&self, at: usize) -> Result<Node<'_>, ApplyError> {
        let (member, facts) = (&self.members[at], &self.facts[at]);
        self.manifest
            .node_at(facts.range.clone(), &member.unique_id, &member.resource_type)
            .ok_or_else(|| rejected("a node was not found at its position in the manifest"))
    }
}

/// Returns the packages of the nodes that are built or tested.
fn packages_of(manifest: &Manifest) -> BTreeSet<String> {
    let packages = manifest.map_nodes(|node| {
        let is_built = ["model", "seed", "snapshot", "test", "analysis"].contains(&node.resource_type());
        node.package_name().filter(|_| is_built).map(String::from)
    });
    packages.into_iter().flatten().collect()
}

fn row_of(node: &Node<'_>, account: AccountId, hash: Sha256, doc: Vec<u8>) -> NodeRow {
    NodeRow {
        account,
        hash,
        unique_id: without_nul(node.unique_id()),
        resource_type: without_nul(node.resource_type()),
        name: node.name().as_deref().map(without_nul),
        package_name: node.package_name().as_deref().map(without_nul),
        materialized: node.materialized().as_deref().map(without_nul),
        attached_node: node.attached_node().as_deref().map(without_nul),
        depends_on: node.depends_on_nodes().iter().map(|id| without_nul(id)).collect(),
        doc,
    }
}
