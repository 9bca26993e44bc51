//! Keys and indexes led by the tenant, and numbers that each tenant counts for itself. May import `catalog` and below.

mod advice;
mod index;
mod numbers;

pub use advice::{Advice, advice};
pub use index::{Definition, create_index};
pub use numbers::{next_number, reserve_numbers, set_number};
