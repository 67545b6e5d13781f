//! The learned knowledge, by customer.

use std::sync::OnceLock;

use super::Customer;
use crate::domain::site::CustomerId;

/// Number of chains of customers: a configuration names few, so most chains have one.
const CHAINS: usize = 64;

/// The learned knowledge, by customer. It keeps every customer, so finding one takes a load or two, without a lock.
#[derive(Debug)]
pub(in crate::upstream) struct Learned([Chain; CHAINS]);

type Chain = OnceLock<Box<Link>>;

#[derive(Debug)]
struct Link {
    id: CustomerId,
    customer: Customer,
    next: Chain,
}

impl Default for Learned {
    fn default() -> Self {
        Self([const { Chain::new() }; CHAINS])
    }
}

impl Learned {
    /// Our knowledge of that customer's sites.
    pub(in crate::upstream) fn customer(&self, id: CustomerId) -> &Customer {
        let mut chain =
            &self.0[usize::try_from(id.get() % CHAINS as u64).expect("it is below CHAINS")];
        loop {
            let link = chain.get_or_init(|| {
                Box::new(Link {
                    id,
                    customer: Customer::default(),
                    next: Chain::new(),
                })
            });
            if link.id == id {
                return &link.customer;
            }
            chain = &link.next;
        }
    }

    /// The customers of whom anything may have been learned.
    pub(in crate::upstream) fn customers(&self) -> impl Iterator<Item = (CustomerId, &Customer)> {
        let first = self.0.iter().filter_map(OnceLock::get);
        first.flat_map(|link| {
            let links = std::iter::successors(Some(link), |link| link.next.get());
            links.map(|link| (link.id, &link.customer))
        })
    }
}
