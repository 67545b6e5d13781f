//! The vendor's envelope around an answer, and around a refusal.

use serde::Serialize;
use utoipa::ToSchema;

/// A refusal in the vendor's language.
#[derive(Serialize, ToSchema)]
#[schema(as = VendorRefusal)]
pub(in crate::http) struct Refusal<'a> {
    /// Always false.
    pub(in crate::http) success: bool,
    /// Explanation for people.
    pub(in crate::http) message: &'a str,
}
