//! Which provider a path means.

use axum::{
    extract::{Path, rejection::PathRejection},
    http::StatusCode,
};

use crate::{
    control::{Control, Controls},
    http::problem::Problem,
};

/// The provider that a path names.
pub type Named = Result<Path<String>, PathRejection>;

/// The provider of this name.
///
/// # Errors
/// 404 with the names that there are.
pub fn find<'a>(controls: &'a Controls, name: &Named) -> Result<&'a Control, Problem> {
    match name.as_ref().map(|Path(name)| &**name) {
        Ok("payments") => Ok(&controls.payments),
        Ok("carrier") => Ok(&controls.carrier),
        _ => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no-such-provider",
            "there is no such provider; there are payments and carrier",
        )),
    }
}
