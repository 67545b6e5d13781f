# What CI runs: every step, each of which is a recipe below.
ci *steps:
    .ci/run {{steps}}

# The service in front of a simulated vendor: no configuration, no account.
demo *arguments:
    cargo run --release -- demo {{arguments}}

test: (ci "tests")

# Minutes of all faults under load, and then every cached figure compared with the truth.
soak:
    cargo test --test api -- --ignored --nocapture soak

lint: (ci "format" "lint" "fuzz_targets" "docs")

# Whether the committed document is the one that the code describes.
openapi: (ci "openapi")

# Writes the document anew.
openapi-write:
    cargo run --quiet -- openapi --format json > openapi/openapi.json
    cargo run --quiet -- openapi --format yaml > openapi/openapi.yaml

# Licences, sources and bans of the dependencies.
deny: (ci "deny")

# What other people's tools make of the API.
contract: (ci "contract")

# What people see in a browser.
browser: (ci "browser")

# Whether the files for operators are sound.
deploy: (ci "deploy")

format:
    cargo fmt

image:
    docker build --tag pitaya .

# Hits beside nginx, HAProxy, Varnish and a bare server before the same bytes.
compare:
    benches/compare/run

# What one long answer of the vendor costs: CPU beside the pure parse, and peak memory.
miss:
    cargo run --release --example miss

# One of the targets in fuzz/, for some minutes (`just ci fuzz`: each for 20 seconds); it needs a nightly toolchain and cargo-fuzz.
fuzz target seconds="300":
    cargo +nightly fuzz run {{target}} -- -dict=fuzz/{{target}}.dict -max_total_time={{seconds}}
