//! Isolation, shown: why one row can or can't be reached (`why`, and `verdict`, which is pure), and whether attacks
//! on a table succeed (`prove`, with `scene`, `attacks`, `plant`). May import `catalog`, `guc` and what is below.

mod attacks;
mod outcome;
mod plant;
mod prove;
mod scene;
mod values;
mod verdict;
mod views;
mod why;

pub use prove::prove;
pub use why::{Acting, why};
