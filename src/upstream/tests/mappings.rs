//! Contradictory mappings of every shape.

use proptest::prelude::*;

use super::identities::{NOON, client_of, identity};
use super::odd_vendors::{Answer, at_nine, report, row};
use super::*;
use crate::upstream::credited_cells;

#[tokio::test]
async fn a_site_requested_alone_is_served_whatever_a_contradictory_mapping_claims() {
    fn answer(sites: &[u64], mapping: &str) -> String {
        let rows: Vec<_> = sites
            .iter()
            .map(|site| row(&identity(&(site + 36_000).to_string(), "Tyler"), *site))
            .collect();
        report(&rows, mapping)
    }
    let cases: [Answer; 8] = [
        |sites, _| answer(sites, r#"{"750":"36750","751":"36750","750":"36751"}"#),
        |sites, _| answer(sites, r#"{"750":"36751","751":"36750","750":"36750"}"#),
        |sites, _| answer(sites, r#"{"36750":750,"36751":751,"36750":751}"#),
        |sites, _| answer(sites, r#"{"36750":751,"36750":750,"36751":750}"#),
        |sites, _| {
            answer(
                sites,
                r#"[{"site_id":751,"entity_id":"36750"},{"site_id":750,"entity_id":"36750"}]"#,
            )
        },
        |sites, _| {
            answer(
                sites,
                r#"[{"site_id":751,"name":"Tyler"},{"site_id":750,"name":"Tyler"},{"site_id":750,"name":"Dallas"}]"#,
            )
        },
        |sites, _| {
            answer(
                sites,
                r#"{"751":{"entity_id":"36750","entity_id":"36751"}}"#,
            )
        },
        |sites, _| answer(sites, r#"{"Tyler":751,"Tyler":750,"Dallas":750}"#),
    ];
    for (case, answer) in cases.into_iter().enumerate() {
        let (client, _, _) = client_of(answer).await;

        let fetched = client.fetch(&request([750], 1)).await;

        assert_eq!(at_nine(&fetched), [(750, Some(750.0))], "case {case}");
        assert_eq!(fetched.calls, 1);
    }
}

/// A claim of a mapping: its shape, its site, and the index of the entity and name.
type Claim = (u8, u64, usize);

const ENTITIES: [&str; 5] = ["36750", "36751", "36752", "e", "750"];
const NAMES: [&str; 5] = ["Tyler", "Dallas", "Waco", "36751", "S"];

fn claim() -> impl Strategy<Value = Claim> {
    (0_u8..12, 750_u64..753, 0_usize..5)
}

/// One claim, as an element of a list or as an entry of an object.
fn text((shape, site, of): Claim, is_list: bool, entities: [&str; 5], names: [&str; 5]) -> String {
    let (entity, name) = (entities[of], names[of]);
    if is_list {
        return match shape % 6 {
            0 => format!(r#"{{"site_id":{site},"entity_id":"{entity}"}}"#),
            1 => format!(r#"{{"id":"{site}","name":"{name}"}}"#),
            2 => format!(r#"{{"site_id":{site},"entity_id":"{entity}","site_name":"{name}"}}"#),
            3 => format!(r#"{{"site_id":{site},"name":"{name}","name":"{entity}"}}"#),
            4 => format!(r#"{{"id":{site},"entity_id":"{entity}","name":"{name}"}}"#),
            _ => format!(r#"[{site},"{entity}"]"#),
        };
    }
    match shape {
        0 => format!(r#""{entity}":{site}"#),
        1 => format!(r#""{site}":"{entity}""#),
        2 => format!(r#""{site}":"{name}""#),
        3 => format!(r#""{name}":{site}"#),
        4 => format!(r#""{site}":{{"name":"{name}"}}"#),
        5 => format!(r#""{site}":{{"entity_id":"{entity}","site_name":"{name}"}}"#),
        6 => format!(r#""{entity}":{{"id":{site}}}"#),
        7 => format!(r#""{name}":{{"site_id":{site},"entity_id":"{entity}"}}"#),
        8 => format!(r#""{site}":{{"id":{site},"entity_id":"{entity}"}}"#),
        9 => format!(r#""{site}":{{"entity_id":"{entity}","entity_id":"{name}"}}"#),
        10 => format!(r#""{site}":["{entity}"]"#),
        _ => format!(r#""{entity}":"{site}""#),
    }
}

/// The text of a mapping: an object or a list.
fn mapping(texts: &[String], is_list: bool) -> String {
    if is_list {
        format!("[{}]", texts.join(","))
    } else {
        format!("{{{}}}", texts.join(","))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// One entity with one name or two, in one part or two.
    #[test]
    fn a_site_requested_alone_is_served_unless_an_uncontradicted_mapping_gives_its_rows_to_another(
        claims in prop::collection::vec(claim(), 0..6),
        own in prop::sample::select(vec![0_u8, 1, 2, 4, 6, 7, 8]), at in any::<prop::sample::Index>(),
        is_list: bool,
        of in 0_usize..5,
        shuffled in Just([0, 1]).prop_shuffle(),
    ) {
        // `"750":{"id":750}` does not contain the entity.
        prop_assume!(is_list || (own, ENTITIES[of]) != (6, "750"));
        let mut claims = claims;
        claims.insert(at.index(claims.len() + 1), (own, 750, of));
        let body = {
            let fields = identity(ENTITIES[of], NAMES[of]);
            let rows = shuffled.map(|part| row(&format!(r#"{fields}"filter_id":"{part}","#), 375));
            let texts: Vec<_> = claims.into_iter().map(|it| text(it, is_list, ENTITIES, NAMES)).collect();
            report(&rows, &mapping(&texts, is_list))
        };

        let cells = credited_cells([body.as_bytes()], &request([750], 1), &directory(), NOON.parse().unwrap());

        let cells = cells.map(|cells| cells.iter().map(|(_, cell)| cell.figures().get(36)).collect::<Vec<_>>());
        prop_assert_eq!(cells, Some(vec![Some(750.0)]), "{}", body);
    }

    /// For each site that the mapping lies about, it also contains the truth in some shape.
    #[test]
    fn no_figure_reaches_another_site_whatever_a_mapping_of_any_shape_claims_beside_the_truth(
        entities in Just(["1", "2", "36655", "36656", "e", "3"]).prop_shuffle(),
        names in Just(["A", "B", "C", "D", "36656", "2"]).prop_shuffle(),
        claims in prop::collection::vec((0_u8..12, 0_usize..4, prop::option::of((0_u8..12, 0_usize..4))), 0..6),
        is_list: bool,
        at in any::<prop::sample::Index>(),
    ) {
        let entities: [&str; 5] = std::array::from_fn(|site| entities[site]);
        let names: [&str; 5] = std::array::from_fn(|site| names[site]);
        let truths = claims.iter().map(|(shape, of, _)| (*shape, *of as u64 + 1, *of));
        let lies = claims.iter().filter_map(|(_, of, lie)| lie.map(|(shape, site)| (shape, site as u64 + 1, *of)));
        let mut texts: Vec<_> = truths.chain(lies).map(|it| text(it, is_list, entities, names)).collect();
        let middle = at.index(texts.len() + 1);
        texts.rotate_left(middle);
        let rows: Vec<_> = (0..4).map(|site| row(&identity(entities[site], names[site]), site as u64 + 1)).collect();
        let body = report(&rows, &mapping(&texts, is_list));

        let cells = credited_cells([body.as_bytes()], &request(1..5, 1), &directory(), NOON.parse().unwrap());

        // An answer whose rows all belong to other sites, by their own account, is refused.
        for (key, cell) in cells.into_iter().flatten() {
            let own = f64::from(u32::try_from(key.site.get()).unwrap());
            prop_assert_eq!(cell.figures().get(36), Some(own), "{}", body);
        }
    }
}
