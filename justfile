# Runs every step of CI, each of which is a recipe below.
ci *steps:
    .ci/run {{steps}}

# Runs the service in front of a simulated vendor, without configuration or account.
demo *arguments:
    cargo run --release -- demo {{arguments}}

test: (ci "tests")

# Runs all faults under load for minutes, and then compares every cached figure with the truth.
soak:
    cargo test --test api -- --ignored --nocapture soak

# Audits honest vendors ten thousand times: none may be accused.
audits:
    cargo test --test api -- --ignored --nocapture ten_thousand_audits

lint: (ci "format" "lint" "fuzz_targets" "docs")

# Checks that the committed document matches the code.
openapi: (ci "openapi")

# Regenerates the document.
openapi-write:
    cargo run --quiet -- openapi --format json > openapi/openapi.json
    cargo run --quiet -- openapi --format yaml > openapi/openapi.yaml

# Checks licences, sources and bans of the dependencies.
deny: (ci "deny")

# Tests the API with other people's tools.
contract: (ci "contract")

# Tests the pages in a browser.
browser: (ci "browser")

# Runs the snippets of the guide.
guide: (ci "guide")

# Checks the files for operators.
deploy: (ci "deploy")

# Builds the Debian package around the binary of the tests, and checks its content.
package: (ci "package")

# Builds a release into target/dist: the Debian package, the list of its crates, checksums.
release:
    deploy/package/build

format:
    cargo fmt

image:
    docker build --tag pitaya --build-arg BUILD_COMMIT=`git rev-parse --short=12 HEAD` .

# Compares cache hits with nginx, HAProxy, Varnish and a bare server in front of the same bytes.
compare:
    benches/compare/run

# Measures one long answer of the vendor: CPU compared with the pure parse, and peak memory.
miss:
    cargo run --release --example miss

# Fuzzes one of the targets in fuzz/ for some minutes (`just ci fuzz`: each for 20 seconds); needs a nightly toolchain and cargo-fuzz.
fuzz target seconds="300":
    cargo +nightly fuzz run {{target}} -- -dict=fuzz/{{target}}.dict -max_total_time={{seconds}}
