//! The kinds of nodes that the schema knows, and the names of their types.

/// A kind of node, as the schema tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Exposure,
    Group,
    Macro,
    Metric,
    Model,
    SavedQuery,
    Seed,
    SemanticModel,
    Snapshot,
    Source,
    Test,
}

impl Kind {
    pub(crate) const ALL: [Self; 11] = [
        Self::Exposure,
        Self::Group,
        Self::Macro,
        Self::Metric,
        Self::Model,
        Self::SavedQuery,
        Self::Seed,
        Self::SemanticModel,
        Self::Snapshot,
        Self::Source,
        Self::Test,
    ];

    /// The kind of a resource type of dbt, such as `model`. Analyses, operations and the like have none.
    pub(crate) fn of(resource_type: &str) -> Option<Self> {
        Some(match resource_type {
            "exposure" => Self::Exposure,
            "group" => Self::Group,
            "macro" => Self::Macro,
            "metric" => Self::Metric,
            "model" => Self::Model,
            "saved_query" => Self::SavedQuery,
            "seed" => Self::Seed,
            "semantic_model" => Self::SemanticModel,
            "snapshot" => Self::Snapshot,
            "source" => Self::Source,
            "test" | "unit_test" => Self::Test,
            _ => return None,
        })
    }

    /// The kind that the schema's enums name, such as `SemanticModel`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name in the schema.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Exposure => "Exposure",
            Self::Group => "Group",
            Self::Macro => "Macro",
            Self::Metric => "Metric",
            Self::Model => "Model",
            Self::SavedQuery => "SavedQuery",
            Self::Seed => "Seed",
            Self::SemanticModel => "SemanticModel",
            Self::Snapshot => "Snapshot",
            Self::Source => "Source",
            Self::Test => "Test",
        }
    }

    /// Whether dbt builds it in the warehouse, so that it has results.
    pub(crate) fn is_executable(self) -> bool {
        matches!(self, Self::Model | Self::Seed | Self::Snapshot | Self::Test)
    }
}

/// The form in which a node is shown. Each form has its own GraphQL type for each kind; the examples are the types of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// In `environment.applied`: `ModelAppliedStateNode`.
    Applied,
    /// Among the neighbours of a node of `environment.applied`: `ModelAppliedStateNestedNode`.
    AppliedNested,
    /// In `environment.definition`: `ModelDefinitionNode`.
    Definition,
    /// Among the neighbours of a node of `environment.definition`: `ModelDefinitionNestedNode`.
    DefinitionNested,
    /// In a job: `ModelNode`.
    Job,
    /// In a lineage: `ModelLineageNode`.
    Lineage,
}

impl Shape {
    /// The type of a node of this kind in this form, or `None` if the schema has no such type.
    pub(crate) fn type_name(self, kind: Kind) -> Option<&'static str> {
        use Kind::{Exposure, Group, Macro, Metric, Model, SavedQuery, Seed, SemanticModel, Snapshot, Source, Test};
        Some(match (self, kind) {
            (Self::Applied, Exposure) => "ExposureAppliedStateNode",
            (Self::Applied, Model) => "ModelAppliedStateNode",
            (Self::Applied, Seed) => "SeedAppliedStateNode",
            (Self::Applied, Snapshot) => "SnapshotAppliedStateNode",
            (Self::Applied, Source) => "SourceAppliedStateNode",
            (Self::Applied, Test) => "TestAppliedStateNode",
            (Self::AppliedNested, Exposure) => "ExposureAppliedStateNestedNode",
            (Self::AppliedNested, Model) => "ModelAppliedStateNestedNode",
            (Self::AppliedNested, Seed) => "SeedAppliedStateNestedNode",
            (Self::AppliedNested, Snapshot) => "SnapshotAppliedStateNestedNode",
            (Self::AppliedNested, Source) => "SourceAppliedStateNestedNode",
            (Self::AppliedNested, Test) => "TestAppliedStateNestedNode",
            (Self::Definition, Exposure) => "ExposureDefinitionNode",
            (Self::Definition, Group) => "GroupNode",
            (Self::Definition, Model) => "ModelDefinitionNode",
            (Self::Definition, Seed) => "SeedDefinitionNode",
            (Self::Definition, Snapshot) => "SnapshotDefinitionNode",
            (Self::Definition, Source) => "SourceDefinitionNode",
            (Self::Definition, Test) => "TestDefinitionNode",
            (Self::DefinitionNested, Exposure) => "ExposureDefinitionNestedNode",
            (Self::DefinitionNested, Model) => "ModelDefinitionNestedNode",
            (Self::DefinitionNested, Seed) => "SeedDefinitionNestedNode",
            (Self::DefinitionNested, Snapshot) => "SnapshotDefinitionNestedNode",
            (Self::DefinitionNested, Source) => "SourceDefinitionNestedNode",
            (Self::DefinitionNested, Test) => "TestDefinitionNestedNode",
            (Self::Applied | Self::Definition, Macro) => "MacroDefinitionNode",
            (Self::Applied | Self::Definition, Metric) => "MetricDefinitionNode",
            (Self::Applied | Self::Definition, SavedQuery) => "SavedQueryDefinitionNode",
            (Self::Applied | Self::Definition, SemanticModel) => "SemanticModelDefinitionNode",
            (Self::AppliedNested | Self::DefinitionNested, Macro) => "MacroDefinitionNestedNode",
            (Self::AppliedNested | Self::DefinitionNested, Metric) => "MetricDefinitionNestedNode",
            (Self::AppliedNested | Self::DefinitionNested, SavedQuery) => "SavedQueryDefinitionNestedNode",
            (Self::AppliedNested | Self::DefinitionNested, SemanticModel) => "SemanticModelDefinitionNestedNode",
            (Self::Job, Exposure) => "ExposureNode",
            (Self::Job, Macro) => "MacroNode",
            (Self::Job, Metric) => "MetricNode",
            (Self::Job, Model) => "ModelNode",
            (Self::Job, Seed) => "SeedNode",
            (Self::Job, SemanticModel) => "SemanticModelNode",
            (Self::Job, Snapshot) => "SnapshotNode",
            (Self::Job, Source) => "SourceNode",
            (Self::Job, Test) => "TestNode",
            (Self::Lineage, Exposure) => "ExposureLineageNode",
            (Self::Lineage, Macro) => "MacroLineageNode",
            (Self::Lineage, Metric) => "MetricLineageNode",
            (Self::Lineage, Model) => "ModelLineageNode",
            (Self::Lineage, SavedQuery) => "SavedQueryLineageNode",
            (Self::Lineage, Seed) => "SeedLineageNode",
            (Self::Lineage, SemanticModel) => "SemanticModelLineageNode",
            (Self::Lineage, Snapshot) => "SnapshotLineageNode",
            (Self::Lineage, Source) => "SourceLineageNode",
            (Self::Lineage, Test) => "TestLineageNode",
            (Self::Applied | Self::AppliedNested | Self::DefinitionNested | Self::Lineage | Self::Job, Group)
            | (Self::Job, SavedQuery) => return None,
        })
    }

    /// The form in which the neighbours of a node in this form are shown.
    pub(crate) fn nested(self) -> Self {
        match self {
            Self::Applied | Self::AppliedNested => Self::AppliedNested,
            Self::Definition | Self::DefinitionNested => Self::DefinitionNested,
            Self::Job => Self::Job,
            Self::Lineage => Self::Lineage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TYPES;

    #[test]
    fn all_types_of_nodes_are_in_the_schema() {
        let shapes = [
            Shape::Applied,
            Shape::AppliedNested,
            Shape::Definition,
            Shape::DefinitionNested,
            Shape::Job,
            Shape::Lineage,
        ];
        for shape in shapes {
            for kind in Kind::ALL {
                if let Some(name) = shape.type_name(kind) {
                    assert!(TYPES.object(name).is_some(), "{name}");
                }
            }
        }
        assert_eq!(Kind::named("SavedQuery"), Some(Kind::SavedQuery));
        assert_eq!(Kind::of("unit_test"), Some(Kind::Test));
    }
}
