//! The named schemas of what is asked, and the components that hold all that is shared.

use utoipa::openapi::Ref;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, Components, ComponentsBuilder, Object, ObjectBuilder, Type,
};

use super::shapes::{nullable_string, object, one_of, string};
use super::{access, meta, responses};
use crate::domain::bucket::Bucket;
use crate::domain::metric::Metric;
use crate::http::present::Format;
use crate::http::problem::ProblemKind;

/// Everything that is referred to.
pub(super) fn components() -> Components {
    let metrics = Metric::ALL.map(Metric::name);
    let mut components = ComponentsBuilder::new()
        .schema("Metric", one_of("A metric.", &metrics))
        .schema("Bucket", one_of("How long a bucket is.", &Bucket::FORMS))
        .schema("GroupBy", one_of("What a series is.", &["site", "none"]))
        .schema(
            "Fill",
            one_of(
                "What stands where there is no figure.",
                &["null", "zero", "none"],
            ),
        )
        .schema(
            "Partial",
            one_of(
                "Whether an answer may lack what could not be had.",
                &["deny", "allow"],
            ),
        )
        .schema(
            "Format",
            one_of("A form of the answer.", &Format::ALL.map(Format::name)),
        );
    for (name, schema) in meta::schemas().into_iter().chain(problem()) {
        components = components.schema(name, schema);
    }
    for (name, schema) in others() {
        components = components.schema(name, schema);
    }
    for (name, header) in responses::headers() {
        components = components.header(name, header);
    }
    for (name, response) in responses::problems() {
        components = components.response(name, response);
    }
    for (name, scheme) in access::schemes() {
        components = components.security_scheme(name, scheme);
    }
    components.build()
}

fn problem() -> [(&'static str, Object); 3] {
    let fault = object(
        "One thing that is wrong with one parameter.",
        [
            ("parameter", string("The parameter's name.").into()),
            (
                "detail",
                string("What is wrong, and an example of what is right.").into(),
            ),
        ],
    );
    let kind = ObjectBuilder::from(string(
        "What kind of problem it is: a page that explains it.",
    ))
    .format(Some(utoipa::openapi::SchemaFormat::Custom(
        "uri-reference".to_owned(),
    )));
    let status = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some("The status of the response."))
        .minimum(Some(400))
        .maximum(Some(599))
        .build();
    let faults = ArrayBuilder::new()
        .items(Ref::from_schema_name("ParameterFault"))
        .description(Some(
            "Every parameter that is wrong; empty where it is none of the parameters.",
        ));
    let problem = object(
        "What is wrong (RFC 9457).",
        [
            ("type", kind.into()),
            ("title", string("The name of the kind, for people.").into()),
            ("status", status.into()),
            ("detail", string("What is wrong this time.").into()),
            (
                "request_id",
                string("The request, as `X-Request-Id` says too.").into(),
            ),
            ("errors", faults.into()),
        ],
    );
    let slugs = ProblemKind::ALL.map(ProblemKind::slug);
    [
        ("ParameterFault", fault),
        ("Problem", problem),
        ("ProblemSlug", one_of("A kind of problem.", &slugs)),
    ]
}

fn others() -> [(&'static str, Object); 8] {
    let status = |words: &[&str]| one_of("Whether all is well.", words);
    let check = object(
        "One thing that was checked.",
        [
            ("status", status(&["pass", "warn", "fail"]).into()),
            ("detail", string("What was found, for people.").into()),
        ],
    );
    // Facts of the start have no state.
    let check = ObjectBuilder::from(check)
        .property("state", string("What was found, for programs."))
        .build();
    let checks = ObjectBuilder::new()
        .description(Some(
            "By name; the vendor's and the tokens' state are among them.",
        ))
        .additional_properties(Some(AdditionalProperties::from(Ref::from_schema_name(
            "Check",
        ))));
    let site = object(
        "A site that the caller may see.",
        [
            ("site_id", super::parameters::id().into()),
            (
                "name",
                nullable_string("Its name, where one is known.").into(),
            ),
            (
                "timezone",
                nullable_string("The IANA name of its zone, where one is known.").into(),
            ),
            ("customer_id", super::parameters::id().into()),
        ],
    );
    let sites = ArrayBuilder::new()
        .items(Ref::from_schema_name("Site"))
        .description(Some("By customer, then id."));
    let purged = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some(
            "How many cells were forgotten: figures of one metric, site and day.",
        ))
        .minimum(Some(0));
    let code = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some("The status that it is answered with."));
    [
        ("Site", site),
        ("Sites", object("Sites.", [("data", sites.into())])),
        (
            "Purged",
            object("What was forgotten.", [("purged", purged.into())]),
        ),
        ("Progress", progress()),
        ("Check", check),
        (
            "Liveness",
            object(
                "The process answers.",
                [("status", status(&["pass"]).into())],
            ),
        ),
        (
            "Readiness",
            object(
                "The process's own state, and what it knows of the vendor's.",
                [
                    ("status", status(&["pass", "warn", "fail"]).into()),
                    ("checks", checks.into()),
                ],
            ),
        ),
        (
            "ProblemExplanation",
            object(
                "What a kind of problem means.",
                [
                    ("type", string("The kind.").into()),
                    ("title", string("Its name, for people.").into()),
                    ("status", code.into()),
                    (
                        "explanation",
                        string("What it means and what to do about it.").into(),
                    ),
                ],
            ),
        ),
    ]
}

fn progress() -> Object {
    let number = |description, minimum| {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .description(Some(description))
            .minimum(Some(minimum))
    };
    object(
        "How far a query is.",
        [
            (
                "reports_done",
                number("Reports of the vendor that are done.", 0).into(),
            ),
            (
                "reports_total",
                number(
                    "Reports that the query waits for, those done among them.",
                    1,
                )
                .into(),
            ),
        ],
    )
}
