use proptest::prelude::*;

use super::*;

fn site(id: u64) -> SiteId {
    SiteId::new(id).unwrap()
}

type Names = Vec<(u64, String)>;
type Entities = Vec<(String, u64)>;

fn read(json: &str) -> (Names, Entities) {
    let mut mapping = Mapping::read(json, &[site(750), site(751)]);
    mapping.settle(&[Identity {
        entity: Some("36655".into()),
        name: Some("Tyler".into()),
        ..Identity::default()
    }]);
    let names = mapping
        .names
        .iter()
        .map(|(site, name)| (site.get(), name.to_string()));
    let entities = mapping
        .entities
        .iter()
        .map(|(entity, site)| (entity.to_string(), site.get()));
    (names.collect(), entities.collect())
}

#[test]
fn names_are_read_from_every_shape_that_gives_them() {
    for json in [
        r#"{"750":"Tyler"}"#,
        r#"{"750":{"name":"Tyler"}}"#,
        r#"{"750":{"site_name":"Tyler","x":[1]}}"#,
        r#"{"Tyler":750}"#,
        r#"{"Tyler":"750"}"#,
        r#"{"Tyler":{"id":750}}"#,
        r#"[{"site_id":750,"name":"Tyler"}]"#,
        r#"[{"id":"750","site_name":"Tyler"},7,null]"#,
    ] {
        let (names, entities) = read(json);

        assert_eq!(names, [(750, "Tyler".to_owned())], "{json}");
        assert!(entities.is_empty(), "{json}");
    }
}

#[test]
fn entities_are_read_from_every_shape_that_gives_them() {
    for json in [
        r#"{"36655":750}"#,
        r#"{"36655":"750"}"#,
        r#"{"750":{"entity_id":36655}}"#,
        r#"{"36655":{"id":750}}"#,
        r#"{"750":"36655"}"#,
        r#"{"750":36655}"#,
        r#"[{"site_id":750,"entity_id":"36655"}]"#,
    ] {
        let (names, entities) = read(json);

        assert!(names.is_empty(), "{json}");
        assert_eq!(entities, [("36655".to_owned(), 750)], "{json}");
    }
}

#[test]
fn an_ambiguous_claim_does_not_count() {
    for json in [
        r#"{"750":"751"}"#,
        r#"{"750":751}"#,
        r#"{"750":{"id":751}}"#,
        r#"{"36655":{"entity_id":"36655","name":"Tyler"}}"#,
        r#"{"36655":[750]}"#,
        r#"{"a":"b"}"#,
        "{}",
        "[]",
        "null",
        "\"750\"",
        "[[750,\"Tyler\"]]",
    ] {
        assert_eq!(read(json), (vec![], vec![]), "{json}");
    }
}

proptest! {
    #[test]
    fn no_shape_causes_a_panic(json in "[\\[\\]{}\":,a0-9 ]{0,40}") {
        let _ = Mapping::read(&json, &[site(7)]);
    }
}
