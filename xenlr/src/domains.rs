//! Domains by name or number.

use crate::error::Error;
use crate::xen::{DomainInfo, Xen};
use crate::xenstore::Xenstore;

/// A domain with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedDomain {
    /// What Xen knows.
    pub info: DomainInfo,
    /// What xenstore calls it; `domain-ID` when it has no name (yet, or any more).
    pub name: String,
}

/// Every domain that is not the control domain, with its name.
pub fn list(xen: &Xen, store: Option<&mut Xenstore>) -> Result<Vec<NamedDomain>, Error> {
    let mut store = store;
    let mut all = Vec::new();
    for info in xen.domains()? {
        if info.domid == 0 {
            continue;
        }
        let name = name_of(info.domid, store.as_deref_mut());
        all.push(NamedDomain { info, name });
    }
    Ok(all)
}

/// The name of a domain.
pub fn name_of(domid: u16, store: Option<&mut Xenstore>) -> String {
    store
        .and_then(|s| {
            s.read(&format!("/local/domain/{domid}/name"))
                .ok()
                .flatten()
        })
        .unwrap_or_else(|| format!("domain-{domid}"))
}

/// The domain that a user means: a number, or else a name.
pub fn find(xen: &Xen, wanted: &str) -> Result<NamedDomain, Error> {
    if matches!(wanted, "0" | "Domain-0") {
        return Err(Error::ControlDomain);
    }
    let mut store = Xenstore::connect().ok();
    let all = list(xen, store.as_mut())?;
    choose(all, wanted)
}

/// A number is a domain number first, as for xl.
fn choose(all: Vec<NamedDomain>, wanted: &str) -> Result<NamedDomain, Error> {
    let by_number = wanted.parse::<u16>().ok();
    let mut matches: Vec<_> = all
        .into_iter()
        .filter(|d| d.name == wanted || Some(d.info.domid) == by_number)
        .collect();
    if let Some(exact) = matches.iter().position(|d| Some(d.info.domid) == by_number) {
        return Ok(matches.swap_remove(exact));
    }
    // Two domains of one name exist while one of them is being destroyed.
    matches.sort_by_key(|d| (d.info.dying, d.info.domid));
    matches.into_iter().next().ok_or_else(|| Error::NoDomain {
        name: wanted.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xen::Uuid;

    fn domain(domid: u16, name: &str, dying: bool) -> NamedDomain {
        let info = DomainInfo {
            domid,
            uuid: Uuid::default(),
            dying,
            shutdown: false,
            paused: false,
            pages: 0,
        };
        NamedDomain {
            info,
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_number_is_a_domid_and_a_living_domain_is_preferred() {
        let all = || {
            vec![
                domain(3, "7", false),
                domain(7, "a", true),
                domain(8, "a", false),
            ]
        };
        assert_eq!(choose(all(), "7").unwrap().info.domid, 7);
        assert_eq!(choose(all(), "a").unwrap().info.domid, 8);
        assert!(matches!(choose(all(), "b"), Err(Error::NoDomain { .. })));
    }
}
