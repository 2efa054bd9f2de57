# syntax=docker/dockerfile:1

FROM rust:1.95.0-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1 AS build
WORKDIR /src
# Copied first and alone: if it names another toolchain than the image has, that is downloaded only once.
COPY rust-toolchain.toml .
RUN cargo --version
COPY . .
# The caches are not part of the layer, so the executable is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    SQLX_OFFLINE=true cargo build --release --locked --bin dbt-api \
    && cp target/release/dbt-api /usr/local/bin/dbt-api

FROM debian:bookworm-slim@sha256:7b140f374b289a7c2befc338f42ebe6441b7ea838a042bbd5acbfca6ec875818 AS base
# /data holds the bucket when STORAGE_ADAPTER=local; with any other adapter the container writes only to /tmp.
RUN apt-get update \
    && apt-get upgrade -y \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -m 750 -o 10001 -g 10001 /data
COPY --from=build /usr/local/bin/dbt-api /usr/local/bin/dbt-api
ENV PORT=8080 \
    STORAGE_PATH=/data
# A numeric id, so that Kubernetes can verify that it is not root.
USER 10001:10001
VOLUME /data

# Creates an account with a sample, and prints its tokens; docker-compose.yml runs it.
FROM base AS sample
USER root
RUN apt-get update \
    && apt-get install -y --no-install-recommends curl python3 \
    && rm -rf /var/lib/apt/lists/*
USER 10001:10001
WORKDIR /sample
COPY scripts scripts
COPY fixtures/situations fixtures/situations
ENTRYPOINT ["scripts/prepare-sample"]

# The last stage is the image of the service.
FROM base AS dbt-api
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["dbt-api", "healthcheck"]
ENTRYPOINT ["dbt-api"]
CMD ["serve"]
