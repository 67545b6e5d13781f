//! The groups that the document lists its operations in.

use utoipa::openapi::tag::{Tag, TagBuilder};

pub(super) const TRAFFIC: &str = "Traffic";
pub(super) const CACHE: &str = "Cache";
pub(super) const OPERATION: &str = "Operation";
pub(super) const DOCUMENTATION: &str = "Documentation";

/// All groups, each with what it is about.
pub(super) fn tags() -> [Tag; 4] {
    [
        (TRAFFIC, "How many people come in, stay and buy."),
        (CACHE, "What operators do about cached figures."),
        (
            OPERATION,
            "Health and metrics, for operators and their machines.",
        ),
        (DOCUMENTATION, "Pages for people, and this document."),
    ]
    .map(|(name, description)| {
        TagBuilder::new()
            .name(name)
            .description(Some(description))
            .build()
    })
}
