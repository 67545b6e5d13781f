FROM rust:1.95-slim-bookworm AS build
WORKDIR /build

# The dependencies first, against an empty crate: this layer is built again only where the manifests change. rust-toolchain.toml
# stays outside, since it would have rustup fetch another copy of the toolchain that the image is named for.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches \
    && echo '//! Empty.' > src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && echo 'fn main() {}' | tee benches/cells.rs > benches/parse.rs \
    && cargo build --release --locked \
    && rm -r src benches

# The files come with their own times, which may be older than the empty crate's: touched, or cargo would take them for built.
COPY . .
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked \
    && mkdir /state

# Of the same Debian as the build image, for its glibc; brings CA certificates and no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/pitaya /usr/local/bin/pitaya
# A place for `token_store` that the user may write to: mount a volume here.
COPY --from=build --chown=nonroot:nonroot /state /var/lib/pitaya
ENV PITAYA_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/local/bin/pitaya", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/pitaya"]
CMD ["serve"]
