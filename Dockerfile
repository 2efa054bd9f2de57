# syntax=docker/dockerfile:1

FROM rust:1-bookworm AS build
WORKDIR /src
# Copied first and alone, so that the toolchain is downloaded only once.
COPY rust-toolchain.toml .
RUN cargo --version
COPY . .
# The caches are not part of the layer, so the executable is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    SQLX_OFFLINE=true cargo build --release --locked --bin dbt-api \
    && cp target/release/dbt-api /usr/local/bin/dbt-api

FROM debian:bookworm-slim
# /data holds the bucket when STORAGE_ADAPTER=local; with any other adapter the container writes only to /tmp.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -m 750 -o 10001 -g 10001 /data
COPY --from=build /usr/local/bin/dbt-api /usr/local/bin/dbt-api
ENV PORT=8080 \
    STORAGE_PATH=/data
# A numeric id, so that Kubernetes can verify that it is not root.
USER 10001:10001
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["dbt-api", "healthcheck"]
ENTRYPOINT ["dbt-api"]
CMD ["serve"]
