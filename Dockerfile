# A release gives both with their digests: see "A release" in deploy/README.md.
ARG BUILD_BASE=rust:1.95.0-slim-bookworm
# Of the same Debian as the build image, for its glibc; brings CA certificates and no shell.
ARG RUN_BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_BASE} AS build
WORKDIR /build

# The dependencies first, against an empty crate: this layer is built again only where the manifests change. rust-toolchain.toml
# stays outside, since it would have rustup fetch another copy of the toolchain that the image is named for. Cargo wants to see the
# benches that the manifest names.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches \
    && echo '//! Empty.' > src/lib.rs \
    && printf '//! Empty.\nfn main() {}\n' > src/main.rs \
    && sed -n '/^\[\[bench\]\]$/{n;s|^name = "\(.*\)"$|benches/\1.rs|p}' Cargo.toml > /tmp/benches \
    && xargs touch < /tmp/benches \
    && cargo build --release --locked \
    && rm -r src benches

# The files come with their own times, which may be older than the empty crate's: touched, or cargo would take them for built.
COPY . .
# `pitaya --version` shows it: `--build-arg BUILD_COMMIT=$(git rev-parse --short=12 HEAD)`.
ARG BUILD_COMMIT=""
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked \
    && mkdir /state

FROM ${RUN_BASE}
ARG BUILD_COMMIT=""
ARG VERSION=""
LABEL org.opencontainers.image.title="Pitaya" \
    org.opencontainers.image.description="A caching and aggregating proxy for Dragonfruit's Traffic Analysis Metrics API" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${BUILD_COMMIT}"
COPY --from=build /build/target/release/pitaya /usr/local/bin/pitaya
# A place for `token_store` that the user may write to: mount a volume here.
COPY --from=build --chown=nonroot:nonroot /state /var/lib/pitaya
ENV PITAYA_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/local/bin/pitaya", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/pitaya"]
CMD ["serve"]
