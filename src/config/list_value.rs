//! The values of keys that are lists.

use std::collections::BTreeSet;

use super::error::{Problem, Problems};
use super::value::Raw;
use crate::domain::site::CustomerId;

/// All items of a list, or the problems of all invalid ones.
pub(super) fn every<T, P: Into<Problems>>(
    raw: Raw<'_>,
    mut parse: impl FnMut(Raw<'_>) -> Result<T, P>,
) -> Result<Vec<T>, Problems> {
    let items = raw.items();
    let several = items.len() > 1;
    let mut values = Vec::new();
    let mut problems = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        match parse(item) {
            Ok(value) => values.push(value),
            Err(faults) => problems.extend(faults.into().into_iter().map(|problem| {
                if several {
                    problem.of_item(index + 1)
                } else {
                    problem
                }
            })),
        }
    }
    Problems::or(problems, values)
}

/// A list of at least one id, without repeats.
pub(super) fn ids<T: Ord + Copy>(
    raw: Raw<'_>,
    id: impl Fn(u64) -> Result<T, Problem>,
) -> Result<BTreeSet<T>, Problems> {
    let mut ids = BTreeSet::new();
    every(raw, |item| {
        let number = item.number()?;
        if ids.insert(id(number)?) {
            Ok(())
        } else {
            Err(Problem::new(format!("{number} is listed twice")))
        }
    })?;
    if ids.is_empty() {
        return Err(
            Problem::new("is an empty list; name at least one id, or leave the key out").into(),
        );
    }
    Ok(ids)
}

/// The id `number`, if `id` accepts it.
pub(super) fn id<T>(number: u64, id: impl Fn(u64) -> Option<T>) -> Result<T, Problem> {
    id(number).ok_or_else(|| Problem::echo(number, "an id, a whole number from 1 to 2^53 - 1"))
}

/// The id of one of `customers`.
pub(super) fn one_of(customers: &[CustomerId], number: u64) -> Result<CustomerId, Problem> {
    let customer = id(number, CustomerId::new)?;
    // A fault in the customers themselves is reported only once.
    if customers.is_empty() || customers.contains(&customer) {
        Ok(customer)
    } else {
        Err(Problem::echo(customer, "one of upstream.customer_ids"))
    }
}

/// A list of at least one customer id, without repeats.
pub(super) fn customer_ids(raw: Raw<'_>) -> Result<BTreeSet<CustomerId>, Problems> {
    ids(raw, |number| id(number, CustomerId::new))
}

/// Query strings that pass `check`, which only the file may contain.
pub(super) fn query_strings(
    raw: Raw<'_>,
    check: impl Fn(&str) -> Result<(), Problems>,
) -> Result<Vec<String>, Problems> {
    match raw {
        Raw::Text(_) | Raw::NotText => Err(Problem::new(
            "is allowed only in the file, as a list of texts, because query strings contain commas",
        )
        .into()),
        Raw::Toml(_) => every(raw, |item| {
            let query = item.text()?;
            check(query).map(|()| query.to_owned())
        }),
    }
}
